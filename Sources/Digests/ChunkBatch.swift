import CDigests
import Platform

/// Chunks to be hashed together, and the files whose own digests grow with them: the work of one step of a backup.
///
/// A chunk needs its SHA-256; the file that it is a part of needs a SHA-256 and an MD5 over all its chunks. Two passes give
/// these. They only read the batch, so that two threads can run them at the same time over the same bytes. Where the processor
/// makes both digests at once in less time, a joint pass takes the place of the two.
///
/// ```swift
/// var batch = ChunkBatch()
/// let file = batch.addFile(sha256: state.sha256, md5: state.md5)
/// batch.addChunk(payload, of: file)
/// if batch.isJoint {
///   let (sha256, md5) = batch.jointPass()
/// } else {
///   let sha256 = batch.sha256Pass()  // one thread
///   let md5 = batch.md5Pass()  // another
/// }
/// ```
///
/// Passes are fastest with chunks of about the same length: MD5 wants as many files as there are lanes (4, 8 or 16; the
/// MD5 of a single file runs alone, several times slower), SHA-256 any even number of streams.
public struct ChunkBatch: Sendable {
  private struct File {
    var sha256: SHA256?
    var md5: MD5?
    /// The file's chunks in the batch, in order.
    var chunks: [Int] = []
  }

  private var files: [File] = []
  private var chunks: [Payload] = []
  /// Chunks of no file that has a SHA-256 of its own.
  private var single: [Int] = []

  /// An empty batch.
  public init() {}

  /// Adds a file, once a batch, with its digests over everything before its first chunk of the batch; returns its index.
  ///
  /// Leave `sha256` out where the file is a single chunk, whose digest it shares, and `md5` where nobody asks for it.
  public mutating func addFile(sha256: SHA256? = nil, md5: MD5? = nil) -> Int {
    files.append(File(sha256: sha256, md5: md5))
    return files.count - 1
  }

  /// Adds a chunk; its index is the number of chunks before it. A batch may hold many chunks of a file, which the file's
  /// digests take in the order they were added.
  public mutating func addChunk(_ payload: Payload, of file: Int? = nil) {
    if let file { files[file].chunks.append(chunks.count) }
    if file.map({ files[$0].sha256 == nil }) ?? true { single.append(chunks.count) }
    chunks.append(payload)
  }

  /// What a batch has of SHA-256: that of every chunk, and that of every file moved on over its chunks (nil where it was added
  /// without one).
  public typealias SHA256Results = (chunks: [[UInt8]], files: [SHA256?])

  /// Whether `jointPass` takes less processor time than the two passes: where each file has both digests.
  public var isJoint: Bool { jointKernel != CK_JOINT_NONE }

  private var jointKernel: ck_joint {
    let haveBoth = single.isEmpty && files.allSatisfy { $0.sha256 != nil && $0.md5 != nil }
    return haveBoth ? ck_joint_kernel(files.count) : CK_JOINT_NONE
  }

  /// The SHA-256 of every chunk and file.
  public func sha256Pass() -> SHA256Results {
    var jobs = sha256Jobs()
    // A file enters one lane and its chunks, one after the other, the second: both read the same bytes, a block or so
    // apart, and end together. What has no such partner follows and pairs up with its like.
    var order: [Int] = []
    for (job, file) in zip(chunks.count..., files.filter { $0.sha256 != nil }) {
      order += [job] + file.chunks
    }
    order += single.sorted { (chunks[$0].count, $1) > (chunks[$1].count, $0) }
    advance(&jobs, in: order, with: ck_sha256_kernel(jobs.count))
    return sha256Results(jobs)
  }

  /// The MD5 of every file moved on over its chunks (nil where it was added without one).
  public func md5Pass() -> [MD5?] {
    var jobs = md5Jobs()
    advance(&jobs, in: longestFirst(jobs), with: ck_md5_kernel(jobs.count))
    return md5Results(jobs)
  }

  /// What both passes give, of a batch that `isJoint`.
  public func jointPass() -> (sha256: SHA256Results, md5: [MD5?]) {
    precondition(isJoint, "a joint pass takes files that have both digests")
    var (sha256, md5) = (sha256Jobs(), md5Jobs())
    // Files first: each reads a chunk at the same time as one of the lanes that hash chunks, and all of them end together.
    var order = Array(chunks.count..<sha256.count)
    for turn in 0..<(files.map(\.chunks.count).max() ?? 0) {
      order += files.filter { turn < $0.chunks.count }.map { $0.chunks[turn] }
    }
    advance(md5: &md5, in: longestFirst(md5), sha256: &sha256, in: order, with: jointKernel)
    return (sha256Results(sha256), md5Results(md5))
  }

  /// A job for each chunk, then one for each file that has a SHA-256 of its own.
  private func sha256Jobs() -> [Job] {
    let ofChunks = chunks.map { Job(stream: ck_sha256_start(), payloads: [$0]) }
    return ofChunks
      + files.compactMap { file in
        file.sha256.map { Job(stream: $0.stream, payloads: file.chunks.map { chunks[$0] }) }
      }
  }

  private func sha256Results(_ jobs: [Job]) -> SHA256Results {
    var ofFiles = jobs.dropFirst(chunks.count).makeIterator()
    return (
      chunks: jobs.prefix(chunks.count).map { SHA256($0.stream).finish() },
      files: files.map { $0.sha256 == nil ? nil : ofFiles.next().map { SHA256($0.stream) } }
    )
  }

  /// A job for each file that has an MD5.
  private func md5Jobs() -> [Job] {
    files.compactMap { file in
      file.md5.map { Job(stream: $0.stream, payloads: file.chunks.map { chunks[$0] }) }
    }
  }

  private func md5Results(_ jobs: [Job]) -> [MD5?] {
    var ofFiles = jobs.makeIterator()
    return files.map { $0.md5 == nil ? nil : ofFiles.next().map { MD5($0.stream) } }
  }
}
