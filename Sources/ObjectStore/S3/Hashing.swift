import COpenSSL
import Platform

/// The digests that the S3 protocol asks for.
enum Hashing {
  /// MD5 of bytes, 16 bytes.
  static func md5(_ bytes: some Sequence<UInt8>) -> [UInt8] { digest(EVP_md5(), Payload(Array(bytes))) }
  /// MD5 of a payload, 16 bytes.
  static func md5(_ payload: Payload) -> [UInt8] { digest(EVP_md5(), payload) }
  /// SHA-256 of a text, 32 bytes.
  static func sha256(_ text: String) -> [UInt8] { digest(EVP_sha256(), Payload(Array(text.utf8))) }
  /// SHA-256 of a payload, 32 bytes.
  static func sha256(_ payload: Payload) -> [UInt8] { digest(EVP_sha256(), payload) }

  /// HMAC-SHA-256 of a text, 32 bytes.
  static func hmac(key: [UInt8], _ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    var result = [UInt8](repeating: 0, count: 32)
    HMAC(EVP_sha256(), key, Int32(key.count), bytes, bytes.count, &result, nil)
    return result
  }

  /// Base64 with padding.
  static func base64(_ bytes: [UInt8]) -> String {
    var text = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
    let count = EVP_EncodeBlock(&text, bytes, Int32(bytes.count))
    return String(decoding: text.prefix(Int(count)), as: UTF8.self)
  }

  private static func digest(_ kind: OpaquePointer?, _ payload: Payload) -> [UInt8] {
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    guard EVP_DigestInit_ex(context, kind, nil) == 1 else {
      preconditionFailure("this OpenSSL has no MD5 or no SHA-256")
    }
    for slice in payload.slices {
      slice.withBytes { _ = EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    }
    var result = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    EVP_DigestFinal_ex(context, &result, &count)
    return Array(result.prefix(Int(count)))
  }
}
