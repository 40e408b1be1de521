import COpenSSL

/// SHA-1 (FIPS 180-4) of a message: 20 bytes. For names that other programs make with it, never for proof: it is broken.
public func sha1(_ message: [UInt8]) -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: 20) { digest, count in
    let done = EVP_Digest(message, message.count, digest.baseAddress, nil, EVP_sha1(), nil)
    precondition(done == 1, "OpenSSL has no SHA-1 on this machine")
    count = 20
  }
}
