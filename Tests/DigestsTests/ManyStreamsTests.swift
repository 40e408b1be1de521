import CDigests
import Digests
import Platform
import TestSupport
import Testing

@Suite struct ManyStreamsTests {
  @Test(arguments: md5Kernels)
  func md5OfManyStreamsAgreesWithOpenSSL(kernel: ck_kernel) {
    var generator = Seeded()
    for count in [0, 1, 2, 3, 4, 5, 8, 9, 16, 17]
      + (0..<10).map({ _ in Int.random(in: 0...40, using: &generator) })
    {
      let messages = (0..<count).map { _ in generator.bytes(generator.length()) }
      var streams = messages.map { _ in MD5() }
      MD5.update(&streams, with: messages.map { generator.payload($0) }, kernel: kernel)
      #expect(streams.map { $0.finish() } == messages.map { referenceMD5($0) })
    }
  }

  @Test(arguments: sha256Kernels)
  func sha256OfManyStreamsAgreesWithOpenSSL(kernel: ck_kernel) {
    var generator = Seeded()
    for count in [0, 1, 2, 3, 4, 5] + (0..<10).map({ _ in Int.random(in: 0...40, using: &generator) }) {
      let messages = (0..<count).map { _ in generator.bytes(generator.length()) }
      var streams = messages.map { _ in SHA256() }
      SHA256.update(&streams, with: messages.map { generator.payload($0) }, kernel: kernel)
      #expect(streams.map { $0.finish() } == messages.map { referenceSHA256($0) })
    }
  }

  @Test(arguments: jointKernels)
  func bothDigestsAtOnceAgreeWithOpenSSL(kernel: ck_joint) {
    var generator = Seeded()
    for counts in [(0, 0), (1, 2), (1, 9), (3, 7), (4, 8), (6, 12), (8, 16), (8, 3), (2, 40), (17, 40)] {
      // In half of the cases long and alike, so that lanes are full for many blocks.
      let isLong = Bool.random(using: &generator)
      func messages(_ count: Int) -> [[UInt8]] {
        (0..<count).map { _ in generator.bytes(isLong ? 4000 + generator.length() / 10 : generator.length()) }
      }
      let (first, second) = (messages(counts.0), messages(counts.1))
      var (md5, sha256) = (first.map { _ in MD5() }, second.map { _ in SHA256() })
      Joint.update(
        md5: &md5, with: first.map { generator.payload($0) }, sha256: &sha256,
        with: second.map { generator.payload($0) }, kernel: kernel)
      #expect(md5.map { $0.finish() } == first.map { referenceMD5($0) })
      #expect(sha256.map { $0.finish() } == second.map { referenceSHA256($0) })
    }
  }

  @Test func aStreamMayChangeItsKernelAtEveryUpdate() {
    var generator = Seeded()
    for _ in 0..<10 {
      let messages = (0..<Int.random(in: 1...20, using: &generator)).map { _ in
        generator.bytes(generator.length())
      }
      let rounds = 6
      let pieces = messages.map { generator.pieces($0, rounds) }
      var md5 = messages.map { _ in MD5() }
      var sha256 = messages.map { _ in SHA256() }
      for round in 0..<rounds {
        let payloads = pieces.map { generator.payload($0[round]) }
        MD5.update(&md5, with: payloads, kernel: md5Kernels.randomElement(using: &generator)!)
        SHA256.update(&sha256, with: payloads, kernel: sha256Kernels.randomElement(using: &generator)!)
      }
      #expect(md5.map { $0.finish() } == messages.map { referenceMD5($0) })
      #expect(sha256.map { $0.finish() } == messages.map { referenceSHA256($0) })
    }
  }

  @Test func digestsOfEachPayloadComeInTheirOrder() {
    var generator = Seeded()
    let messages = (0..<37).map { _ in generator.bytes(generator.length()) }
    let payloads = messages.map { generator.payload($0) }
    #expect(MD5.hash(each: payloads) == messages.map { referenceMD5($0) })
    #expect(SHA256.hash(each: payloads) == messages.map { referenceSHA256($0) })
  }

  @Test func theChosenKernelsWorkHere() {
    for streams in 0...40 {
      #expect(md5Kernels.contains(ck_md5_kernel(streams)))
      #expect(sha256Kernels.contains(ck_sha256_kernel(streams)))
      #expect(ck_joint_kernel(streams) == CK_JOINT_NONE || jointKernels.contains(ck_joint_kernel(streams)))
    }
  }
}
