import Digests
import Platform
import Repository

/// The digests of files that are being read: SHA-256 of each chunk, SHA-256 and MD5 of each file.
///
/// One task uses it. The two kinds of digests are made on two threads over the same bytes, or on one where that takes less time.
struct FileDigests {
  private struct Running {
    /// Nil where the file is a single chunk, whose digest it shares.
    var sha256: SHA256?
    var md5: MD5
  }

  /// A file that was read to its end.
  struct Finished {
    let sha256: [UInt8]
    let md5: [UInt8]
  }

  private var running: [Int: Running] = [:]

  /// Hashes chunks and gives the id of each, and the digests of the files that end among them.
  mutating func add(
    _ chunks: [SourceChunk], isSingle: (Int) -> Bool, on processors: BlockingPool
  ) async throws -> (ids: [ChunkID], finished: [Int: Finished]) {
    var batch = ChunkBatch()
    var indices: [Int: Int] = [:]
    for chunk in chunks where indices[chunk.file] == nil {
      let state = running[chunk.file] ?? Running(sha256: isSingle(chunk.file) ? nil : SHA256(), md5: MD5())
      indices[chunk.file] = batch.addFile(sha256: state.sha256, md5: state.md5)
    }
    for chunk in chunks {
      batch.addChunk(Payload(chunk.bytes), of: indices[chunk.file])
    }
    let complete = batch
    let sha256: ChunkBatch.SHA256Results
    let md5: [MD5?]
    if complete.isJoint {
      (sha256, md5) = try await processors.run { complete.jointPass() }
    } else {
      async let pass = processors.run { complete.md5Pass() }
      sha256 = try await processors.run { complete.sha256Pass() }
      md5 = try await pass
    }
    for (file, index) in indices {
      if let md5 = md5[index] { running[file] = Running(sha256: sha256.files[index], md5: md5) }
    }
    var finished: [Int: Finished] = [:]
    for (chunk, digest) in zip(chunks, sha256.chunks) where chunk.isLast {
      guard let state = running.removeValue(forKey: chunk.file) else { continue }
      finished[chunk.file] = Finished(sha256: state.sha256?.finish() ?? digest, md5: state.md5.finish())
    }
    return (sha256.chunks.compactMap { ChunkID($0) }, finished)
  }
}
