import ObjectStore
import Platform
import Repository
import Synchronization

/// Writes one pack whose layout is known, byte for byte, from chunks that come from elsewhere.
struct PackBuild {
  let store: any ObjectStore
  let resources: Resources
  /// Bytes of a part, as the pack was sent at first: the ETag depends on them.
  let part: Int
  /// How many ranges of a buffer's size are brought at once.
  let batchSize: Int

  /// Chunks of a pack by their offsets.
  typealias Found = [Int: Slice]

  /// Brings all chunks batch by batch and writes the pack under `key`; the next batch is brought while one is sent.
  ///
  /// - Parameter bring: gives what can be had of a batch; each chunk is right.
  /// - Returns: the chunks that could not be had; where there are any, nothing was written.
  func run(
    _ layout: PackLayout, key: String,
    bring: @escaping @Sendable (_ batch: [FetchRange]) async throws -> Found
  ) async throws -> [WantedChunk] {
    let ranges = FetchRange.ranges(of: layout.chunks, in: key, limit: resources.buffers.bufferSize)
    let batches = stride(from: 0, to: ranges.count, by: batchSize).map {
      Array(ranges[$0..<min($0 + batchSize, ranges.count)])
    }
    let writer = PackWriter(
      store: store, pool: resources.processors, buffers: resources.buffers, fileClass: layout.fileClass,
      key: key, end: layout.end, part: part)
    var missing: [WantedChunk] = []
    var pending: Task<Found, any Error>?
    do {
      for (index, batch) in batches.enumerated() {
        let task = pending ?? Task { try await bring(batch) }
        let found = try await task.joined
        pending = nil
        try Task.checkCancellation()
        if index + 1 < batches.count {
          pending = Task { [next = batches[index + 1]] in try await bring(next) }
        }
        for chunk in batch.flatMap(\.chunks) {
          if let bytes = found[chunk.offset] {
            if missing.isEmpty { _ = writer.append(chunk.id, bytes) }
          } else {
            if missing.isEmpty { await writer.abandon() }
            missing.append(chunk)
          }
        }
        if missing.isEmpty { try await writer.sendFullParts() }
      }
      if missing.isEmpty { _ = try await writer.finish() }
    } catch {
      pending?.cancel()
      await writer.abandon()
      throw error
    }
    return missing
  }
}

/// Chunks that several threads find.
final class FoundChunks: Sendable {
  private let state = Mutex<PackBuild.Found>([:])

  /// What was found so far.
  var all: PackBuild.Found { state.withLock { $0 } }

  func add(_ bytes: Slice, at offset: Int) { state.withLock { $0[offset] = bytes } }
}

/// Ids of chunks that several threads find.
final class FoundIDs: Sendable {
  private let state = Mutex<Set<ChunkID>>([])

  func contains(_ id: ChunkID) -> Bool { state.withLock { $0.contains(id) } }
  func add(_ id: ChunkID) { state.withLock { _ = $0.insert(id) } }
}

/// Losses of several batches.
final class LostChunks: Sendable {
  private let state = Mutex<[ChunkFetcher.Loss]>([])

  /// What was lost so far.
  var all: [ChunkFetcher.Loss] { state.withLock { $0 } }

  func add(_ losses: [ChunkFetcher.Loss]) { state.withLock { $0 += losses } }
}
