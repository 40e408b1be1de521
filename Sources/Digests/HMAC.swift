import COpenSSL

/// HMAC-SHA-256 (RFC 2104) of a message under a key of any length: 32 bytes.
public func hmacSHA256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: 32) { code, count in
    let done = HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, code.baseAddress, nil)
    precondition(done != nil, "OpenSSL has no HMAC-SHA-256 on this machine")
    count = 32
  }
}
