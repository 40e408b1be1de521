import CDigests
import Digests
import Platform
import TestSupport
import Testing

@Suite struct ChunkBatchTests {
  /// A file on its way through several batches.
  private struct File {
    let message: [UInt8]
    var rest: ArraySlice<UInt8>
    var sha256: SHA256?
    var md5: MD5?
  }

  @Test func filesGrowWithTheirChunksFromBatchToBatch() {
    var generator = Seeded()
    for turn in 0..<40 {
      // In every second one all files have both digests and all chunks are of files, as where both are made at once.
      let isUniform = turn % 2 == 0
      var files = (0..<Int.random(in: 0...12, using: &generator)).map { _ in
        let message = generator.bytes(generator.length())
        return File(
          message: message, rest: message[...],
          sha256: isUniform || Bool.random(using: &generator) ? SHA256() : nil,
          md5: isUniform || Bool.random(using: &generator) ? MD5() : nil)
      }
      while files.contains(where: { !$0.rest.isEmpty }) { run(&files, isUniform, &generator) }
      for file in files {
        #expect(file.sha256.map { $0.finish() == referenceSHA256(file.message) } ?? true)
        #expect(file.md5.map { $0.finish() == referenceMD5(file.message) } ?? true)
      }
    }
  }

  /// Puts some chunks of all files, mixed with each other and with chunks of no file, through one batch.
  private func run(_ files: inout [File], _ isUniform: Bool, _ generator: inout Seeded) {
    var batch = ChunkBatch()
    var chunks: [[UInt8]] = []
    let indices = files.map { batch.addFile(sha256: $0.sha256, md5: $0.md5) }
    for _ in 0..<Int.random(in: 0...30, using: &generator) {
      var chunk = generator.bytes(generator.length())[...]
      var index: Int?
      if let file = files.indices.randomElement(using: &generator),
        isUniform || Bool.random(using: &generator)
      {
        chunk = files[file].rest.prefix(generator.length())
        files[file].rest = files[file].rest.dropFirst(chunk.count)
        index = indices[file]
      }
      chunks.append(Array(chunk))
      batch.addChunk(generator.payload(chunk), of: index)
    }
    let (digests, sha256) = batch.sha256Pass()
    let md5 = batch.md5Pass()
    #expect(digests == chunks.map { referenceSHA256($0) })
    if batch.isJoint {
      let joint = batch.jointPass()
      #expect(joint.sha256.chunks == digests)
      #expect(joint.sha256.files.map { $0?.finish() } == sha256.map { $0?.finish() })
      #expect(joint.md5.map { $0?.finish() } == md5.map { $0?.finish() })
    }
    for file in files.indices {
      #expect((sha256[file] == nil) == (files[file].sha256 == nil))
      #expect((md5[file] == nil) == (files[file].md5 == nil))
      files[file].sha256 = sha256[file]
      files[file].md5 = md5[file]
    }
  }

  @Test func consecutiveChunksOfOneFileInABatchAreTakenInTheirOrder() {
    let chunks = ["first ", "second, longer than a block of sixty-four bytes, and then some more ", "3"]
    var batch = ChunkBatch()
    let file = batch.addFile(sha256: SHA256(), md5: MD5())
    for chunk in chunks { batch.addChunk(Payload(chunk.utf8), of: file) }
    let (digests, sha256) = batch.sha256Pass()
    #expect(digests == chunks.map { SHA256.hash($0.utf8) })
    #expect(sha256[file]?.finish() == SHA256.hash(chunks.joined().utf8))
    #expect(batch.md5Pass()[file]?.finish() == MD5.hash(chunks.joined().utf8))
  }

  @Test(
    "whether both digests are made at once follows from the files: not where one has no SHA-256 of its own")
  func isJoint() {
    func batch(_ count: Int, alone: Int = 0) -> ChunkBatch {
      var batch = ChunkBatch()
      for _ in 0..<count { batch.addChunk(Payload([1]), of: batch.addFile(sha256: SHA256(), md5: MD5())) }
      for _ in 0..<alone { batch.addChunk(Payload([2]), of: batch.addFile(md5: MD5())) }
      return batch
    }
    #expect(!batch(0).isJoint && !batch(2).isJoint && !batch(8, alone: 1).isJoint)
    #expect(batch(1).isJoint == ck_joint_works(CK_JOINT_1_LANE))
    #expect(batch(8).isJoint == ck_joint_works(CK_JOINT_8_LANES_AVX512))
  }

  @Test func twoThreadsRunBothPassesOfOneBatchAtTheSameTime() async throws {
    var generator = Seeded()
    var built = ChunkBatch()
    var messages: [[UInt8]] = []
    for _ in 0..<8 {
      let message = generator.bytes(20_000)
      built.addChunk(generator.payload(message), of: built.addFile(sha256: SHA256(), md5: MD5()))
      messages.append(message)
    }
    let batch = built
    let pool = BlockingPool(threads: 2)
    async let md5 = pool.run { batch.md5Pass() }
    let (chunks, sha256) = try await pool.run { batch.sha256Pass() }
    #expect(chunks == messages.map { referenceSHA256($0) })
    #expect(sha256.map { $0?.finish() } == chunks)
    #expect(try await md5.map { $0?.finish() } == messages.map { referenceMD5($0) })
  }
}
