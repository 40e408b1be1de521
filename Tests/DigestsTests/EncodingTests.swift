import COpenSSL
import Digests
import Platform
import TestSupport
import Testing

@Suite struct EncodingTests {
  /// Test cases 1, 2, 3 and 6 of RFC 4231.
  @Test(arguments: [
    (
      [UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    ),
    (
      Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    ),
    (
      [UInt8](repeating: 0xaa, count: 20), [UInt8](repeating: 0xdd, count: 50),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
    ),
    (
      [UInt8](repeating: 0xaa, count: 131),
      Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    ),
  ])
  func hmacOfRFC4231(key: [UInt8], message: [UInt8], code: String) {
    #expect(hex(hmacSHA256(key: key, message)) == code)
  }

  @Test func hmacTakesAnEmptyKeyAndAnEmptyMessage() {
    let code = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
    #expect(hex(hmacSHA256(key: [], [])) == code)
  }

  /// The vectors of RFC 4648, section 10.
  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
    ("foobar", "Zm9vYmFy"),
  ])
  func base64OfRFC4648(plain: String, text: String) {
    #expect(base64(plain.utf8) == text)
    #expect(bytes(base64: text) == Array(plain.utf8))
  }

  @Test func base64GoesThereAndBack() {
    var generator = Seeded()
    for length in 0..<100 {
      let message = generator.bytes(length)
      #expect(bytes(base64: base64(message)) == message)
    }
    #expect(base64([0xfb, 0xff, 0xbf]) == "+/+/")
  }

  @Test(arguments: [
    "Zg", "Zg=", "Zg===", "Z===", "====", "=", "Zg==Zg==", "Zm9v\n", "Zm 9", "Zm9-", "Zh==", "Zm9=", "Zm9vé",
  ])
  func textThatBase64DoesNotWriteIsRefused(text: String) {
    #expect(bytes(base64: text) == nil)
  }

  @Test func theETagOfPartsIsTheDigestOfTheirDigests() {
    // Computed with coreutils: printf a and printf b through md5sum, both as bytes through md5sum again.
    let parts = [MD5.hash("a".utf8), MD5.hash("b".utf8)]
    #expect(multipartETag(partMD5s: parts) == "96e024ba2074fe77e8e965ba43a704be-2")
  }
}
