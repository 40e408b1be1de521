import ObjectStore
import Platform
import Repository
import Synchronization

/// Repairs one pack.
struct PackRepair: Sendable {
  /// What became of it.
  enum Outcome: Sendable {
    /// It was whole already.
    case unharmed
    /// It is whole again; so many bytes of chunks came from elsewhere.
    case repaired(broughtBytes: Int)
    /// Nothing was written: of the chunks that are `bad` in the pack, those that are `missing` cannot be had.
    case lost(bad: [WantedChunk], missing: [WantedChunk])
    /// Nobody knows any more what all of its bytes were.
    case unknown
  }

  let pack: Manifest.PackReference
  let repository: Repository
  let source: RepairSource
  let supply: ChunkSupply
  let manifests: [(snapshot: Snapshot, manifest: Manifest)]
  let resources: Resources
  let progress: Progress
  let part: Int

  /// Looks at what is left of the pack, and writes it again where all of it can be had.
  func run() async throws -> Outcome {
    let own = try await layout(in: repository)
    guard let layout = try await own.asyncOr(elsewhere) else { return .unknown }
    // What a manifest names must be in it, or it is another pack's.
    guard PackLayout.wanted(of: pack.key, in: manifests).isSubset(of: layout.chunks) else { return .unknown }
    let bad = try await damaged(layout)
    if own != nil, bad.isEmpty { return .unharmed }

    let brought = Atomic<Int>(0)
    let build = PackBuild(store: repository.store, resources: resources, part: part, batchSize: 1)
    let missing = try await build.run(layout, key: pack.key) { batch in
      let gathering = Gathering(try await resources.buffers.take(), batch)
      let left = batch.flatMap(\.chunks)
      try await supply.bring(left.filter { bad.contains($0.offset) }) { id, bytes in
        brought.add(gathering.add(id, bytes), ordering: .relaxed)
      }
      let good = left.filter { !bad.contains($0.offset) }
      for range in FetchRange.ranges(of: good, in: pack.key, limit: resources.buffers.bufferSize) {
        _ = try await fetcher.fetch([range]) { chunk, _, bytes in _ = gathering.add(chunk.id, bytes) }
      }
      return gathering.found
    }
    guard missing.isEmpty else {
      return .lost(bad: layout.chunks.filter { bad.contains($0.offset) }, missing: missing)
    }
    // It is said to be whole when its bytes were read back.
    guard try await self.layout(in: repository) != nil else { return .unknown }
    let still = try await damaged(layout)
    return still.isEmpty
      ? .repaired(broughtBytes: brought.load(ordering: .relaxed))
      : .lost(bad: layout.chunks.filter { still.contains($0.offset) }, missing: [])
  }

  private var fetcher: ChunkFetcher {
    ChunkFetcher(store: repository.store, resources: resources, progress: progress)
  }

  /// The layout that the pack itself tells in a repository, or nil.
  private func layout(in repository: Repository) async throws -> PackLayout? {
    guard try await repository.store.head(pack.key)?.size == pack.size else { return nil }
    do {
      return try await PackLayout.read(pack, from: repository)
    } catch let error as FormatError where error.isDamage {
      return nil
    } catch StoreError.missing {
      return nil
    } catch StoreError.short {
      return nil
    }
  }

  /// The layout by a copy of the pack in the other repository, or by the manifests.
  private func elsewhere() async throws -> PackLayout? {
    if case .repository(let other) = source, let layout = try await layout(in: other) { return layout }
    return try PackLayout.make(of: pack, from: manifests)
  }

  /// The offsets of chunks that cannot be read from the pack, or not right.
  private func damaged(_ layout: PackLayout) async throws -> Set<Int> {
    let ranges = FetchRange.ranges(of: layout.chunks, in: pack.key, limit: resources.buffers.bufferSize)
    let losses = try await fetcher.fetch(ranges) { _, _, _ in }
    return Set(losses.flatMap(\.chunks).map(\.offset))
  }
}

extension Optional {
  /// The value, or what `other` gives where there is none.
  fileprivate func asyncOr(_ other: () async throws -> Wrapped?) async throws -> Wrapped? {
    if let value = self { return value }
    return try await other()
  }
}

/// One range of a pack that is put together in a buffer from chunks that come in any order.
private final class Gathering: Sendable {
  private let buffer: Buffer
  private let start: Int
  private let places: [ChunkID: [WantedChunk]]
  private let state = Mutex<PackBuild.Found>([:])

  init(_ buffer: Buffer, _ batch: [FetchRange]) {
    self.buffer = buffer
    start = batch.first?.offset ?? 0
    places = Dictionary(grouping: batch.flatMap(\.chunks), by: \.id)
  }

  /// The chunks that have come, by their offsets.
  var found: PackBuild.Found { state.withLock { $0 } }

  /// Copies a chunk to its places and gives the bytes of those that were open.
  func add(_ id: ChunkID, _ bytes: Slice) -> Int {
    state.withLock { found in
      var added = 0
      for chunk in places[id] ?? [] where found[chunk.offset] == nil && chunk.length == bytes.count {
        let range = chunk.offset - start..<chunk.offset - start + chunk.length
        bytes.withBytes { WritableSlice(buffer, range).write($0, at: 0) }
        found[chunk.offset] = buffer.slice(range)
        added += chunk.length
      }
      return added
    }
  }
}
