import Digests
import Platform
import Repository

/// A chunk that may stand in a local file already.
struct LocalCandidate: Sendable {
  let path: RelativePath
  let offset: Int
  let length: Int
  /// What it should be, or nil to learn what it is.
  let expected: ChunkID?
}

/// Reads local files that may hold chunks already, so that they need not be fetched: the remains of an interrupted restore, or a
/// directory that the user points to.
struct LocalChunks: Sendable {
  let root: OpenDirectory
  let resources: Resources

  /// Hashes candidates and gives `found` each one that can be read (and is what it should be where that is known), on a blocking
  /// thread, with its bytes.
  func scan(
    _ candidates: [LocalCandidate], found: @escaping @Sendable (Int, ChunkID, Slice) throws -> Void
  ) async throws {
    var groups: [[Int]] = []
    var filled = resources.buffers.bufferSize
    for (index, candidate) in candidates.enumerated() {
      if filled + candidate.length > resources.buffers.bufferSize || groups[groups.count - 1].count >= 512 {
        groups.append([])
        filled = 0
      }
      groups[groups.count - 1].append(index)
      filled += candidate.length
    }
    _ = try await concurrently(groups, limit: 4) { group in
      let buffer = try await resources.buffers.take()
      try await resources.disk.run { try read(group.map { ($0, candidates[$0]) }, buffer, found) }
    }
  }

  private func read(
    _ group: [(Int, LocalCandidate)], _ buffer: Buffer, _ found: (Int, ChunkID, Slice) throws -> Void
  ) throws {
    var read: [(index: Int, expected: ChunkID?, bytes: Slice)] = []
    var used = 0
    var open: (path: RelativePath, file: OpenFile?)?
    for (index, candidate) in group {
      if open?.path != candidate.path {
        open = (candidate.path, try? root.open(candidate.path))
      }
      guard let file = open?.file else { continue }
      let range = used..<used + candidate.length
      let got = try? WritableSlice(buffer, range).withMemory {
        try file.readOnce(at: candidate.offset, into: $0)
      }
      guard got == candidate.length else { continue }
      read.append((index, candidate.expected, buffer.slice(range)))
      used += candidate.length
    }
    let digests = SHA256.hash(
      each:
        read.map { part in
          var payload = Payload()
          payload.append(part.bytes)
          return payload
        })
    for (part, digest) in zip(read, digests) {
      guard let id = ChunkID(digest), part.expected == nil || part.expected == id else { continue }
      try found(part.index, id, part.bytes)
    }
  }
}
