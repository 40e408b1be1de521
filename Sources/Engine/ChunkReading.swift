import Platform
import Repository

/// Chunks of one class that were read and hashed.
struct HashedBatch: Sendable {
  let fileClass: FileClass
  /// The chunks with the files that they belong to, by index; those of one file come in order.
  let chunks: [(file: Int, bytes: Slice, id: ChunkID)]
  /// The files that end among them.
  let finished: [(file: Int, digests: FileDigests.Finished)]
}

/// Where an upload has its chunks from.
protocol ChunkReading: Sendable {
  /// The next chunks, or nil when all files are read. One task asks, for one batch after the other.
  ///
  /// - Throws: `EngineError.changedWhileRead` or `.vanished`, `SystemError`, `CancellationError`.
  func next() async throws -> HashedBatch?
  /// Says that nothing more is wanted, before what may take long is done.
  func end() async
}

extension ChunkReading {
  func end() async {}
}

/// Reads files and makes their digests, one class after the other: a pack holds one class. Files that are empty have no chunk.
///
/// The next batch is read while the last one is hashed and worked on, where there is memory for both.
actor HashedReader: ChunkReading {
  private let files: [SourceFile]
  private let root: OpenDirectory
  private let resources: Resources
  private var classes = FileClass.allCases[...]
  private var current: (fileClass: FileClass, indices: [Int], reading: ReadAhead)?
  private var digests = FileDigests()

  /// A reader of `files` below `root`.
  init(_ files: [SourceFile], below root: OpenDirectory, _ resources: Resources) {
    self.files = files
    self.root = root
    self.resources = resources
  }

  func next() async throws -> HashedBatch? {
    while let (fileClass, indices, reading) = open() {
      guard let chunks = try await reading.next() else {
        current = nil
        continue
      }
      var running = digests
      let (ids, finished) = try await running.add(
        chunks, isSingle: { [files] in files[indices[$0]].cuts.count == 1 }, on: resources.processors)
      digests = running
      return HashedBatch(
        fileClass: fileClass, chunks: zip(chunks, ids).map { (indices[$0.file], $0.bytes, $1) },
        finished: finished.map { (indices[$0], $1) })
    }
    return nil
  }

  /// The class that is being read, or the next one that has files.
  private func open() -> (fileClass: FileClass, indices: [Int], reading: ReadAhead)? {
    while current == nil, let next = classes.popFirst() {
      let indices = files.indices.filter { files[$0].fileClass == next }
      if indices.isEmpty { continue }
      let reader = SourceReader(root: root, files: indices.map { files[$0] }, resources: resources)
      current = (next, indices, ReadAhead(reader, resources.readsAhead))
    }
    return current
  }
}

/// Reads the next batch while the last one is worked on, where it is asked to.
private actor ReadAhead {
  private let reader: SourceReader
  private let isAhead: Bool
  private var pending: Task<[SourceChunk], any Error>?
  private var isAtEnd = false

  init(_ reader: SourceReader, _ isAhead: Bool) {
    self.reader = reader
    self.isAhead = isAhead
    if isAhead { pending = Task { try await reader.next() } }
  }

  /// The next batch, or nil at the end. A cancelled task cancels the reading.
  func next() async throws -> [SourceChunk]? {
    if isAtEnd { return nil }
    let task = pending ?? Task { [reader] in try await reader.next() }
    // A task that failed stays, and fails again: what it was to read must not be passed over.
    pending = task
    let batch = try await task.joined
    try Task.checkCancellation()
    isAtEnd = batch.isEmpty
    pending = isAhead && !isAtEnd ? Task { [reader] in try await reader.next() } : nil
    return isAtEnd ? nil : batch
  }
}
