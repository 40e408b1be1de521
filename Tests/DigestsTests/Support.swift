import CDigests
import COpenSSL
import Digests
import Platform
import TestSupport

extension Seeded {
  /// A length around the borders of blocks and padding, or any up to 5000.
  mutating func length() -> Int {
    let borders = [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 191, 192, 1024, 4096]
    return Bool.random(using: &self)
      ? borders[Int.random(in: borders.indices, using: &self)] : Int.random(in: 0...5000, using: &self)
  }

  /// `message` cut at random places, in buffers that begin at odd addresses.
  mutating func payload(_ message: some Collection<UInt8>) -> Payload {
    var payload = Payload()
    var rest = message[...]
    while !rest.isEmpty {
      let count = Bool.random(using: &self) ? rest.count : min(rest.count, length())
      let skipped = Int.random(in: 0...3, using: &self)
      let buffer = Buffer(copying: [UInt8](repeating: 0xff, count: skipped) + rest.prefix(count))
      payload.append(buffer.slice(skipped..<skipped + count))
      rest = rest.dropFirst(count)
    }
    return payload
  }

  /// `message` cut into consecutive pieces, some of them empty.
  mutating func pieces(_ message: [UInt8], _ count: Int) -> [ArraySlice<UInt8>] {
    let cuts =
      [0] + (1..<count).map { _ in Int.random(in: 0...message.count, using: &self) }.sorted() + [
        message.count
      ]
    return zip(cuts, cuts.dropFirst()).map { message[$0..<$1] }
  }
}

/// OpenSSL's own digest of a message.
func reference(_ type: OpaquePointer?, _ message: some Collection<UInt8>) -> [UInt8] {
  let message = Array(message)
  return [UInt8](unsafeUninitializedCapacity: 64) { digest, count in
    var length: UInt32 = 0
    precondition(EVP_Digest(message, message.count, digest.baseAddress, &length, type, nil) == 1)
    count = Int(length)
  }
}
func referenceMD5(_ message: some Collection<UInt8>) -> [UInt8] { reference(EVP_md5(), message) }
func referenceSHA256(_ message: some Collection<UInt8>) -> [UInt8] { reference(EVP_sha256(), message) }

/// The kernels of each digest that this processor runs.
let md5Kernels = [
  CK_MD5_SCALAR, CK_MD5_4_LANES, CK_MD5_8_LANES_AVX2, CK_MD5_8_LANES_AVX512, CK_MD5_16_LANES_AVX512,
].filter(ck_kernel_works)
let sha256Kernels = [CK_SHA256_OPENSSL, CK_SHA256_NI, CK_SHA256_NI_PAIR].filter(ck_kernel_works)
let jointKernels = [CK_JOINT_1_LANE, CK_JOINT_4_LANES_AVX512, CK_JOINT_8_LANES_AVX512].filter(ck_joint_works)
