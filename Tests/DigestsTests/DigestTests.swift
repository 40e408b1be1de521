import CDigests
import Digests
import Platform
import TestSupport
import Testing

@Suite struct DigestTests {
  @Test(arguments: [
    ("", "d41d8cd98f00b204e9800998ecf8427e"),
    ("a", "0cc175b9c0f1b6a831c399e269772661"),
    ("abc", "900150983cd24fb0d6963f7d28e17f72"),
    ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
    ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
    (
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
      "d174ab98d277d9f5a5611c2c9f419d9f"
    ),
    (String(repeating: "1234567890", count: 8), "57edf4a22be3c955ac49da2e2107b67a"),
  ])
  func md5OfTheTestSuiteOfRFC1321(message: String, digest: String) {
    #expect(hex(MD5.hash(message.utf8)) == digest)
  }

  /// The first examples of FIPS 180-2's appendix B, and the empty message of NIST's CAVP vectors.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func sha256OfTheExamplesOfFIPS180(message: String, digest: String) {
    #expect(hex(SHA256.hash(message.utf8)) == digest)
  }

  /// The third example of FIPS 180-2's appendix B.
  @Test func sha256OfAMillionTimesTheLetterA() {
    let digest = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    #expect(hex(SHA256.hash([UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000))) == digest)
  }

  @Test func everyLengthUpToThreeBlocksAgreesWithOpenSSL() {
    var generator = Seeded()
    for length in 0...200 {
      let message = generator.bytes(length)
      #expect(MD5.hash(message) == referenceMD5(message), "\(length) bytes")
      #expect(SHA256.hash(message) == referenceSHA256(message), "\(length) bytes")
    }
  }

  @Test func anySplitIntoUpdatesGivesTheSameDigest() {
    var generator = Seeded()
    for _ in 0..<100 {
      let message = generator.bytes(generator.length())
      var md5 = MD5()
      var sha256 = SHA256()
      for piece in generator.pieces(message, Int.random(in: 1...9, using: &generator)) {
        md5.update(piece)
        sha256.update(generator.payload(piece))
      }
      #expect(md5.finish() == referenceMD5(message))
      #expect(sha256.finish() == referenceSHA256(message))
    }
  }

  @Test func aFinishedDigestGoesOnAndACopyIsIndependent() {
    var digest = SHA256()
    digest.update(Array("ab".utf8))
    var copy = digest
    #expect(digest.finish() == SHA256.hash("ab".utf8))
    digest.update(Array("c".utf8))
    copy.update(Array("d".utf8))
    #expect(digest.finish() == SHA256.hash("abc".utf8))
    #expect(copy.finish() == SHA256.hash("abd".utf8))
  }

  @Test func bytesThatLieInNoArrayAreHashedToo() {
    let message = Array("stored in pieces".utf8)
    #expect(MD5.hash([message, message].joined()) == MD5.hash(message + message))
  }
}

@Test(arguments: [
  ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"), ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
])
func sha1IsThatOfFIPS180(_ message: String, _ digest: String) {
  #expect(hex(sha1(Array(message.utf8))) == digest)
}
