import CDigests
import Platform

/// MD5 as RFC 1321 defines it; its digests have 16 bytes.
///
/// It guards against accidents only: S3 asks for it as `Content-MD5` and answers with it as ETag. Several streams at
/// once run side by side in vectors, 4, 8 or 16 of them as the processor allows.
public struct MD5: Digest {
  var stream: ck_stream

  init(_ stream: ck_stream) { self.stream = stream }

  /// The digest of no bytes yet.
  public init() { self.init(ck_md5_start()) }

  /// Takes bytes. Any split of a message into updates gives the same digest.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    advance(&stream, over: bytes, with: ck_md5_kernel(1))
  }

  /// The 16 bytes of the digest of all bytes taken so far.
  public func finish() -> [UInt8] {
    withUnsafePointer(to: stream) { stream in
      [UInt8](unsafeUninitializedCapacity: 16) { digest, count in
        ck_md5_finish(stream, digest.baseAddress)
        count = 16
      }
    }
  }

  /// Takes `payloads[i]` with `streams[i]`, up to 16 streams at once.
  public static func update(_ streams: inout [MD5], with payloads: [Payload]) {
    update(&streams, with: payloads, kernel: ck_md5_kernel(streams.count))
  }

  /// The same by a kernel that the caller chose.
  package static func update(_ streams: inout [MD5], with payloads: [Payload], kernel: ck_kernel) {
    precondition(streams.count == payloads.count, "one payload a stream")
    var jobs = zip(streams, payloads).map { Job(stream: $0.stream, payloads: [$1]) }
    advance(&jobs, in: longestFirst(jobs), with: kernel)
    streams = jobs.map { MD5($0.stream) }
  }
}
