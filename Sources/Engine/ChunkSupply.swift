import Checkpoints
import ObjectStore
import Platform
import Repository

/// Where a repair has chunks from that a repository has lost.
public enum RepairSource: Sendable {
  /// Another repository that has the same chunks, in whatever packs.
  case repository(Repository)
  /// A directory with a checkpoint's files, as they were when it was pushed.
  case directory(String)
}

/// Finds chunks by their ids in another repository, or in local files at the places that manifests name.
struct ChunkSupply: Sendable {
  private enum Base: Sendable {
    case repository(any ObjectStore, ChunkIndex)
    case directory(OpenDirectory, [ChunkID: [LocalCandidate]])
  }
  private let base: Base
  private let resources: Resources
  private let progress: Progress

  /// A supply for the chunks of some packs that manifests name.
  static func open(
    _ source: RepairSource, packs: Set<String>,
    manifests: [(snapshot: Snapshot, manifest: Manifest)], resources: Resources, progress: Progress
  ) async throws -> ChunkSupply {
    let base: Base
    switch source {
    case .repository(let other):
      base = .repository(other.store, try await KnownChunks.load(from: other).index)
    case .directory(let path):
      let root = try await resources.disk.run { try OpenDirectory(path) }
      base = .directory(root, places(of: packs, in: manifests))
    }
    return ChunkSupply(base: base, resources: resources, progress: progress)
  }

  /// Where in the files of a checkpoint the chunks of packs stand.
  private static func places(
    of packs: Set<String>, in manifests: [(snapshot: Snapshot, manifest: Manifest)]
  ) -> [ChunkID: [LocalCandidate]] {
    var places: [ChunkID: [LocalCandidate]] = [:]
    for (_, manifest) in manifests {
      let wanted = manifest.packs.map { packs.contains($0.key) }
      for file in manifest.files {
        var offset = 0
        for chunk in file.chunks {
          defer { offset += chunk.length }
          guard wanted[chunk.pack],
            places[chunk.id]?.contains(where: { $0.path == file.path && $0.offset == offset }) != true
          else { continue }
          places[chunk.id, default: []].append(
            LocalCandidate(path: file.path, offset: offset, length: chunk.length, expected: chunk.id))
        }
      }
    }
    return places
  }

  /// Gives what can be had of `wanted`, each chunk held to its id, on blocking threads. It may give one more than once.
  func bring(
    _ wanted: [WantedChunk], deliver: @escaping @Sendable (ChunkID, Slice) -> Void
  ) async throws {
    switch base {
    case .repository(let store, let index):
      let fetcher = ChunkFetcher(store: store, resources: resources, progress: progress)
      let places = wanted.compactMap { chunk in
        index[chunk.id].flatMap { $0.length == chunk.length ? $0 : nil }.map { (chunk.id, $0) }
      }
      for (pack, chunks) in Dictionary(grouping: places, by: \.1.pack) {
        let here = chunks.map { WantedChunk(id: $0.0, offset: $0.1.offset, length: $0.1.length) }
        // One range after the other, so that a repair never waits for buffers that it holds itself.
        for range in FetchRange.ranges(
          of: here, in: index.packs[pack].key, limit: resources.buffers.bufferSize)
        { _ = try await fetcher.fetch([range]) { chunk, _, bytes in deliver(chunk.id, bytes) } }
      }
    case .directory(let root, let places):
      let local = LocalChunks(root: root, resources: resources)
      let found = FoundIDs()
      for turn in 0... {
        let candidates = wanted.compactMap { chunk -> LocalCandidate? in
          guard !found.contains(chunk.id), let all = places[chunk.id], turn < all.count else { return nil }
          return all[turn].length == chunk.length ? all[turn] : nil
        }
        let isLast = !wanted.contains { (places[$0.id]?.count ?? 0) > turn }
        if isLast { return }
        try await local.scan(candidates) { _, id, bytes in
          found.add(id)
          deliver(id, bytes)
        }
      }
    }
  }
}
