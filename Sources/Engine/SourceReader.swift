import Glibc
import Platform
import Repository

/// A file that is to be pushed: where it is, how it looked when the tree was scanned, and how it is cut.
struct SourceFile: Sendable {
  let path: RelativePath
  let status: FileStatus
  let fileClass: FileClass
  /// Lengths of its chunks, in order.
  let cuts: [Int]
}

/// A chunk of a source file in memory.
struct SourceChunk: Sendable {
  /// Index of the file in the reader's list.
  let file: Int
  /// Where in the file it begins, in bytes.
  let offset: Int
  let bytes: Slice
  let isLast: Bool
}

/// Reads files chunk by chunk in batches, several files side by side so that their digests can be made side by side.
///
/// One task asks for batches, one after the other. Chunks of one file come in order. Memory comes from the buffer pool: a batch fills at most so many buffers.
actor SourceReader {
  /// A file of which some chunks are read and some are not.
  private struct Cursor {
    let file: Int
    var nextCut = 0
    var offset = 0
    var open: OpenFile?
  }

  /// The part of a batch that one file has: read by one job.
  private struct Job: Sendable {
    let file: Int
    let source: SourceFile
    let open: OpenFile?
    var places: [(offset: Int, target: WritableSlice)] = []
    var finishes = false
  }

  private let root: OpenDirectory
  private let files: [SourceFile]
  private let resources: Resources
  private var nextFile = 0
  private var lanes: [Cursor] = []
  private static let mostChunksInBatch = 4096

  /// A reader of `files` below `root`, in their order.
  init(root: OpenDirectory, files: [SourceFile], resources: Resources) {
    self.root = root
    self.files = files
    self.resources = resources
  }

  /// The next chunks, or none when all files are read.
  ///
  /// - Throws: `EngineError.changedWhileRead` or `.vanished` for a file that is not as it was scanned, `SystemError`.
  func next() async throws -> [SourceChunk] {
    var space = BatchSpace(resources: resources, limit: resources.pushBatchBuffers)
    var jobs: [Int: Job] = [:]
    var chunks: [SourceChunk] = []
    var full = false
    while !full, chunks.count < Self.mostChunksInBatch {
      fillLanes()
      if lanes.isEmpty { break }
      var index = 0
      while index < lanes.count, !full {
        let cursor = lanes[index]
        let source = files[cursor.file]
        let length = source.cuts[cursor.nextCut]
        guard let (buffer, range) = try await space.reserve(length, for: cursor.offset) else {
          full = true
          break
        }
        let isLast = cursor.nextCut == source.cuts.count - 1
        let slice = buffer.slice(range)
        var job = jobs[cursor.file] ?? Job(file: cursor.file, source: source, open: cursor.open)
        job.places.append((cursor.offset, WritableSlice(buffer, range)))
        job.finishes = isLast
        jobs[cursor.file] = job
        chunks.append(SourceChunk(file: cursor.file, offset: cursor.offset, bytes: slice, isLast: isLast))
        if isLast {
          lanes.remove(at: index)
        } else {
          lanes[index].nextCut += 1
          lanes[index].offset += length
          index += 1
        }
      }
    }
    try await read(Array(jobs.values))
    return chunks
  }

  private func fillLanes() {
    while lanes.count < resources.pushBatchBuffers, nextFile < files.count {
      if !files[nextFile].cuts.isEmpty { lanes.append(Cursor(file: nextFile)) }
      nextFile += 1
    }
  }

  private func read(_ jobs: [Job]) async throws {
    // A few jobs a thread, so that thousands of small files are not thousands of hops.
    let shares = stride(from: 0, to: jobs.count, by: max(1, (jobs.count + 7) / 8)).map { start in
      Array(jobs[start..<min(jobs.count, start + max(1, (jobs.count + 7) / 8))])
    }
    let still = try await concurrently(shares, limit: shares.count) { [root, resources] share in
      try await resources.disk.run { try share.map { ($0.file, try Self.read($0, below: root)) } }
    }
    let open = Dictionary(still.joined().map { ($0.0, $0.1) }, uniquingKeysWith: { first, _ in first })
    for index in lanes.indices {
      if let file = open[lanes[index].file] { lanes[index].open = file }
    }
  }

  /// Reads one file's part of a batch and holds the file to how it was scanned. Gives the file while more is to come.
  private static func read(_ job: Job, below root: OpenDirectory) throws -> OpenFile? {
    let source = job.source
    let file: OpenFile
    do {
      file = try job.open ?? root.open(source.path)
    } catch let error as SystemError where error.isMissing {
      throw EngineError.vanished(path: root.display(source.path))
    }
    if job.open == nil {
      try check(file.status, source, root)
      file.willReadInOrder()
    }
    for place in job.places {
      let got = try place.target.withMemory { memory throws(SystemError) in
        try file.readOnce(at: place.offset, into: memory)
      }
      if got != place.target.count { throw EngineError.changedWhileRead(path: root.display(source.path)) }
    }
    guard job.finishes else { return file }
    try check(try file.currentStatus(), source, root)
    return nil
  }

  private static func check(_ status: FileStatus, _ source: SourceFile, _ root: OpenDirectory)
    throws(EngineError)
  {
    let scanned = source.status
    guard status.size == scanned.size, status.modified == scanned.modified, status.changed == scanned.changed,
      status.inode == scanned.inode,
      status.device == scanned.device
    else { throw .changedWhileRead(path: root.display(source.path)) }
  }
}

/// Room for chunks in buffers of the pool: small ones share a buffer.
private struct BatchSpace {
  private let resources: Resources
  private let limit: Int
  private var taken = 0
  private var current: Buffer?
  private var used = 0

  init(resources: Resources, limit: Int) {
    self.resources = resources
    self.limit = limit
  }

  /// A range for `length` bytes at `offset` of a file, or nil where the batch has its buffers. A batch's first chunk always finds room.
  mutating func reserve(_ length: Int, for offset: Int) async throws -> (Buffer, Range<Int>)? {
    if let current, current.capacity - used >= length {
      defer { used += length }
      return (current, used..<used + length)
    }
    guard taken < limit else { return nil }
    let buffer = try await resources.buffers.take(for: offset)
    taken += 1
    // Of the two buffers the emptier one stays open for what comes.
    if current == nil || buffer.capacity - length > (current?.capacity ?? 0) - used {
      current = buffer
      used = length
    }
    return (buffer, 0..<length)
  }
}
