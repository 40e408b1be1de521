import CDigests
import Platform

/// SHA-256 as FIPS 180-4 defines it; its digests have 32 bytes.
///
/// On processors with SHA instructions two streams at once take little longer than one.
public struct SHA256: Digest {
  var stream: ck_stream

  init(_ stream: ck_stream) { self.stream = stream }

  /// The digest of no bytes yet.
  public init() { self.init(ck_sha256_start()) }

  /// Takes bytes. Any split of a message into updates gives the same digest.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    advance(&stream, over: bytes, with: ck_sha256_kernel(1))
  }

  /// The 32 bytes of the digest of all bytes taken so far.
  public func finish() -> [UInt8] {
    withUnsafePointer(to: stream) { stream in
      [UInt8](unsafeUninitializedCapacity: 32) { digest, count in
        ck_sha256_finish(stream, digest.baseAddress)
        count = 32
      }
    }
  }

  /// Takes `payloads[i]` with `streams[i]`, two streams at once.
  public static func update(_ streams: inout [SHA256], with payloads: [Payload]) {
    update(&streams, with: payloads, kernel: ck_sha256_kernel(streams.count))
  }

  /// The same by a kernel that the caller chose.
  package static func update(_ streams: inout [SHA256], with payloads: [Payload], kernel: ck_kernel) {
    precondition(streams.count == payloads.count, "one payload a stream")
    var jobs = zip(streams, payloads).map { Job(stream: $0.stream, payloads: [$1]) }
    advance(&jobs, in: longestFirst(jobs), with: kernel)
    streams = jobs.map { SHA256($0.stream) }
  }
}
