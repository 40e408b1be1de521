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
    // Two groups go together, since two SHA-256 chains side by side take hardly longer than one.
    let pairs = stride(from: 0, to: groups.count, by: 2).map { groups[$0..<min($0 + 2, groups.count)] }
    // Each takes one buffer after the other; together they must never hold all while they wait.
    let workers = max(1, min(4, (resources.buffers.count - 1) / 2))
    _ = try await concurrently(pairs, limit: workers) { pair in
      var work: [(buffer: Buffer, group: [(Int, LocalCandidate)])] = []
      for group in pair {
        let buffer = try await resources.buffers.take(for: candidates[group[0]].offset)
        work.append((buffer, group.map { ($0, candidates[$0]) }))
      }
      try await resources.disk.run { [work] in
        let parts = work.flatMap { read($0.group, $0.buffer) }
        let digests = SHA256.hash(each: parts.map { Payload($0.bytes) })
        for (part, digest) in zip(parts, digests) {
          guard let id = ChunkID(digest), part.expected == nil || part.expected == id else { continue }
          try found(part.index, id, part.bytes)
        }
      }
    }
  }

  private func read(
    _ group: [(Int, LocalCandidate)], _ buffer: Buffer
  ) -> [(index: Int, expected: ChunkID?, bytes: Slice)] {
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
    return read
  }
}
