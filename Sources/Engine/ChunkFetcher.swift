import Digests
import ObjectStore
import Platform
import Repository

/// A chunk that is wanted from a pack.
struct WantedChunk: Hashable, Sendable {
  let id: ChunkID
  /// Where in the pack it begins, in bytes.
  let offset: Int
  let length: Int
}

/// A run of bytes of one pack, fetched by one request, and the chunks in it.
struct FetchRange: Sendable {
  let pack: String
  let offset: Int
  var length: Int
  var chunks: [WantedChunk]

  /// Puts neighbouring chunks of a pack together into ranges of at most `limit` bytes.
  static func ranges(of chunks: [WantedChunk], in pack: String, limit: Int) -> [FetchRange] {
    var ranges: [FetchRange] = []
    for chunk in chunks.sorted(by: { $0.offset < $1.offset }) {
      if let last = ranges.last, chunk.offset == last.offset + last.length,
        last.length + chunk.length <= limit
      {
        ranges[ranges.count - 1].length += chunk.length
        ranges[ranges.count - 1].chunks.append(chunk)
      } else {
        ranges.append(FetchRange(pack: pack, offset: chunk.offset, length: chunk.length, chunks: [chunk]))
      }
    }
    return ranges
  }
}

/// Fetches chunks from packs, holds each to its digest, and hands on only what is right.
struct ChunkFetcher: Sendable {
  let store: any ObjectStore
  let resources: Resources
  let progress: Progress
  /// Asks for packs that are in an archive class; their chunks are left out. Without it such a pack is an error.
  var thaws: Thaws?

  /// What could not be had of a pack.
  struct Loss: Sendable {
    let pack: String
    let kind: Damage.Kind
    let chunks: [WantedChunk]
  }

  /// Fetches all ranges, several at once, and gives what is lost or damaged; it goes on after each loss, and past packs that are in an
  /// archive class.
  ///
  /// - Parameter deliver: called on a blocking thread for each chunk that matches its digest.
  /// - Throws: what `deliver` throws, and any store error that does not mean damage.
  func fetch(
    _ ranges: [FetchRange], deliver: @escaping @Sendable (WantedChunk, String, Slice) throws -> Void
  ) async throws -> [Loss] {
    // Two ranges go together, since two SHA-256 chains side by side take hardly longer than one.
    let pairs = stride(from: 0, to: ranges.count, by: 2).map { Array(ranges[$0..<min($0 + 2, ranges.count)]) }
    // Each holds two buffers; a third of all is left to whoever keeps what it is given.
    let workers = max(1, min(resources.connections / 2, resources.buffers.count / 3))
    return try await concurrently(pairs, limit: workers) { pair in
      var losses: [Loss] = []
      var read: [(range: FetchRange, bytes: Slice)] = []
      for (range, result) in try await load(pair) {
        switch result {
        case .success(let bytes): read.append((range, bytes))
        case .failure(.damage(let kind)):
          losses.append(Loss(pack: range.pack, kind: kind, chunks: range.chunks))
        case .failure(.frozen): break
        }
      }
      let settled = read
      for (range, bytes, failed) in try await resources.disk.run({ try check(settled, deliver) }) {
        losses += try await again(failed, of: range, in: bytes, deliver)
      }
      return losses
    }.flatMap { $0 }
  }

  private enum Unread: Error {
    case damage(Damage.Kind)
    case frozen
  }

  private func load(_ ranges: [FetchRange]) async throws -> [(FetchRange, Result<Slice, Unread>)] {
    try await concurrently(ranges, limit: ranges.count) { range in
      if let thaws, thaws.isAsked(range.pack) { return (range, .failure(.frozen)) }
      let buffer = try await resources.buffers.take()
      return (range, try await load(range, into: buffer.slice(0..<range.length)))
    }
  }

  /// Reads a range into memory that nobody reads yet.
  private func load(_ range: FetchRange, into bytes: Slice) async throws -> Result<Slice, Unread> {
    do {
      try await store.read(range.pack, at: range.offset, into: WritableSlice(bytes.buffer, bytes.range))
    } catch StoreError.missing {
      return .failure(.damage(.missing))
    } catch StoreError.short(_, let expected, let received) {
      let found = range.offset + received
      return .failure(.damage(.wrongSize(expected: range.offset + expected, found: found)))
    } catch let error as StoreError {
      guard let thaws, error.isArchived else { throw error }
      try await thaws.ask(range.pack)
      return .failure(.frozen)
    }
    progress.add(transferred: range.length)
    return .success(bytes)
  }

  /// Hands on the chunks that match; gives those that do not.
  private func check(
    _ read: [(range: FetchRange, bytes: Slice)], _ deliver: (WantedChunk, String, Slice) throws -> Void
  ) throws -> [(FetchRange, Slice, [WantedChunk])] {
    var payloads: [Payload] = []
    for (range, bytes) in read {
      for chunk in range.chunks {
        let start = chunk.offset - range.offset
        payloads.append(Payload(bytes.sub(start..<start + chunk.length)))
      }
    }
    var digests = SHA256.hash(each: payloads).makeIterator()
    var failed: [(FetchRange, Slice, [WantedChunk])] = []
    for (range, bytes) in read {
      var wrong: [WantedChunk] = []
      for chunk in range.chunks {
        guard let digest = digests.next(), ChunkID(digest) == chunk.id else {
          wrong.append(chunk)
          continue
        }
        let start = chunk.offset - range.offset
        try deliver(chunk, range.pack, bytes.sub(start..<start + chunk.length))
        progress.add(done: chunk.length)
      }
      if !wrong.isEmpty { failed.append((range, bytes, wrong)) }
    }
    return failed
  }

  /// Fetches chunks that did not match once more, one by one: the fault may have been on the way. They go where they were, since
  /// nobody was given these bytes, so that no buffer more is needed.
  private func again(
    _ chunks: [WantedChunk], of range: FetchRange, in bytes: Slice,
    _ deliver: @escaping @Sendable (WantedChunk, String, Slice) throws -> Void
  ) async throws -> [Loss] {
    var lost: [WantedChunk] = []
    for chunk in chunks {
      let single = FetchRange(pack: range.pack, offset: chunk.offset, length: chunk.length, chunks: [chunk])
      let start = chunk.offset - range.offset
      switch try await load(single, into: bytes.sub(start..<start + chunk.length)) {
      case .failure(.frozen): break
      case .failure(.damage): lost.append(chunk)
      case .success(let bytes):
        let wrong = try await resources.disk.run { try check([(single, bytes)], deliver) }
        if !wrong.isEmpty { lost.append(chunk) }
      }
    }
    return lost.isEmpty ? [] : [Loss(pack: range.pack, kind: .wrongContent, chunks: lost)]
  }
}
