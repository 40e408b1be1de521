import CDigests
import Platform

/// Chunks to be hashed together, and the files whose own digests grow with them: the work of one step of a backup.
///
/// A chunk needs its SHA-256; the file that it is a part of needs a SHA-256 and an MD5 over all its chunks. The two passes
/// give these. They only read the batch, so that two threads can run them at the same time over the same bytes.
///
/// ```swift
/// var batch = ChunkBatch()
/// let file = batch.addFile(sha256: state.sha256, md5: state.md5)
/// batch.addChunk(payload, of: file)
/// let (chunks, files) = batch.sha256Pass()  // one thread
/// let md5 = batch.md5Pass()  // another
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

  /// The SHA-256 of every chunk, and that of every file moved on over its chunks (nil where it was added without one).
  public func sha256Pass() -> (chunks: [[UInt8]], files: [SHA256?]) {
    var jobs = chunks.map { Job(stream: ck_sha256_start(), payloads: [$0]) }
    // A file enters one lane and its chunks, one after the other, the second: both read the same bytes, a block or so
    // apart, and end together. What has no such partner follows and pairs up with its like.
    var order: [Int] = []
    var jobOfFile: [Int?] = []
    for file in files {
      guard let sha256 = file.sha256 else {
        jobOfFile.append(nil)
        continue
      }
      jobOfFile.append(jobs.count)
      order.append(jobs.count)
      order += file.chunks
      jobs.append(Job(stream: sha256.stream, payloads: file.chunks.map { chunks[$0] }))
    }
    order += single.sorted { (chunks[$0].count, $1) > (chunks[$1].count, $0) }
    advance(&jobs, in: order, with: ck_sha256_kernel(jobs.count))
    return (
      chunks: chunks.indices.map { SHA256(jobs[$0].stream).finish() },
      files: jobOfFile.map { $0.map { SHA256(jobs[$0].stream) } }
    )
  }

  /// The MD5 of every file moved on over its chunks (nil where it was added without one).
  public func md5Pass() -> [MD5?] {
    let hashed = files.indices.filter { files[$0].md5 != nil }
    var jobs = hashed.map { index in
      Job(stream: (files[index].md5 ?? MD5()).stream, payloads: files[index].chunks.map { chunks[$0] })
    }
    advance(&jobs, in: longestFirst(jobs), with: ck_md5_kernel(jobs.count))
    var result = files.map(\.md5)
    for (index, job) in zip(hashed, jobs) { result[index] = MD5(job.stream) }
    return result
  }
}
