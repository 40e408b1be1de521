import CDigests
import Digests
import Glibc
import Platform

// How fast this processor makes digests, one kernel after the other on one thread: `NAME GB/S` a line, the best of some rounds. What a
// push or restore can reach at most follows from these.

private let streams = 16
private let size = 16 << 20
private let rounds = 5

private let block = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 167) }
private let payloads = (0..<streams).map { _ in Payload(block) }

private func cpuSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Prints the rate of a kernel over so many of the payloads, where this processor has it.
private func measure(
  _ name: String, _ kernel: ck_kernel, _ count: Int, _ hash: ([Payload], ck_kernel) -> Void
) {
  guard ck_kernel_works(kernel) else { return }
  let some = Array(payloads.prefix(count))
  let seconds = (0..<rounds).map { _ in
    let start = cpuSeconds()
    hash(some, kernel)
    return cpuSeconds() - start
  }
  let rate = Double(count * size) / (seconds.min() ?? 1) / 1e9
  print(name, (rate * 100).rounded() / 100)
}

private func md5(_ payloads: [Payload], _ kernel: ck_kernel) {
  var streams = payloads.map { _ in MD5() }
  MD5.update(&streams, with: payloads, kernel: kernel)
}

private func sha256(_ payloads: [Payload], _ kernel: ck_kernel) {
  var streams = payloads.map { _ in SHA256() }
  SHA256.update(&streams, with: payloads, kernel: kernel)
}

measure("md5-1", CK_MD5_SCALAR, 2, md5)
measure("md5-4", CK_MD5_4_LANES, 8, md5)
measure("md5-8-avx2", CK_MD5_8_LANES_AVX2, 8, md5)
measure("md5-8-avx512", CK_MD5_8_LANES_AVX512, 8, md5)
measure("md5-16-avx512", CK_MD5_16_LANES_AVX512, 16, md5)
measure("sha256-openssl", CK_SHA256_OPENSSL, 2, sha256)
measure("sha256-1", CK_SHA256_NI, 2, sha256)
measure("sha256-2", CK_SHA256_NI_PAIR, 16, sha256)

/// What a push has to make of its files, MD5 of the file and SHA-256 of file and chunk, on one thread and in GB/s of data.
private func measureJoint(_ name: String, _ kernel: ck_joint, _ count: Int) {
  guard ck_joint_works(kernel) else { return }
  let files = Array(payloads.prefix(count))
  let seconds = (0..<rounds).map { _ in
    var (md5, sha256) = (files.map { _ in MD5() }, (files + files).map { _ in SHA256() })
    let start = cpuSeconds()
    Joint.update(md5: &md5, with: files, sha256: &sha256, with: files + files, kernel: kernel)
    return cpuSeconds() - start
  }
  let rate = Double(count * size) / (seconds.min() ?? 1) / 1e9
  print(name, (rate * 100).rounded() / 100)
}

measureJoint("joint-1", CK_JOINT_1_LANE, 1)
measureJoint("joint-4-avx512", CK_JOINT_4_LANES_AVX512, 4)
measureJoint("joint-8-avx512", CK_JOINT_8_LANES_AVX512, 8)
