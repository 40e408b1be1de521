import CDigests
import Platform

/// Both digests at once, for tests and benchmarks of the kernels. What is made of files and chunks goes through `ChunkBatch`.
package enum Joint {
  /// Takes each of `md5` over the payload in its place of `md5Payloads`, and each of `sha256` likewise. `kernel` must work on this
  /// processor (`ck_joint_works`).
  package static func update(
    md5: inout [MD5], with md5Payloads: [Payload], sha256: inout [SHA256], with sha256Payloads: [Payload],
    kernel: ck_joint
  ) {
    var md5Jobs = zip(md5, md5Payloads).map { Job(stream: $0.stream, payloads: [$1]) }
    var sha256Jobs = zip(sha256, sha256Payloads).map { Job(stream: $0.stream, payloads: [$1]) }
    advance(
      md5: &md5Jobs, in: Array(md5Jobs.indices), sha256: &sha256Jobs, in: Array(sha256Jobs.indices),
      with: kernel)
    md5 = md5Jobs.map { MD5($0.stream) }
    sha256 = sha256Jobs.map { SHA256($0.stream) }
  }
}
