import CDigests
import Platform

/// A stream and the payloads that it takes next, one after the other.
struct Job {
  var stream: ck_stream
  var payloads: [Payload]

  var count: Int { payloads.reduce(0) { $0 + $1.count } }
}

/// The order in which jobs of uneven length keep all lanes busy the longest.
func longestFirst(_ jobs: [Job]) -> [Int] {
  let counts = jobs.map(\.count)
  return counts.indices.sorted { (counts[$0], $1) > (counts[$1], $0) }
}

/// Takes every job's stream over its payloads. Jobs enter the kernel's lanes in `order`, which names each job once.
func advance(_ jobs: inout [Job], in order: [Int], with kernel: ck_kernel) {
  withEntries(of: &jobs, in: order) { ck_advance($0.baseAddress, $0.count, kernel) }
}

/// The same for jobs of both digests at once, and then for what the joint kernel leaves.
func advance(
  md5 md5Jobs: inout [Job], in md5Order: [Int], sha256 sha256Jobs: inout [Job], in sha256Order: [Int],
  with kernel: ck_joint
) {
  withEntries(of: &md5Jobs, in: md5Order) { md5 in
    withEntries(of: &sha256Jobs, in: sha256Order) { sha256 in
      ck_advance_jointly(md5.baseAddress, md5.count, sha256.baseAddress, sha256.count, kernel)
      ck_advance(md5.baseAddress, md5.count, ck_md5_kernel(md5.count))
      ck_advance(sha256.baseAddress, sha256.count, ck_sha256_kernel(sha256.count))
    }
  }
}

/// Calls `body` with the jobs in `order` in the kernels' form, and keeps how far it took their streams.
private func withEntries(
  of jobs: inout [Job], in order: [Int], _ body: (UnsafeMutableBufferPointer<ck_job>) -> Void
) {
  var segments: [ck_segment] = []
  var ranges: [Range<Int>] = []
  for index in order {
    let start = segments.count
    for slice in jobs[index].payloads.lazy.flatMap(\.slices) {
      let bytes = UnsafeRawBufferPointer(rebasing: slice.buffer.readable[slice.range])
      segments.append(ck_segment(bytes: bytes.baseAddress, count: bytes.count))
    }
    ranges.append(start..<segments.count)
  }
  var streams = jobs.map(\.stream)
  segments.withUnsafeBufferPointer { segments in
    streams.withUnsafeMutableBufferPointer { streams in
      var entries = zip(order, ranges).map { index, range in
        ck_job_of(
          streams.baseAddress.map { $0 + index }, segments.baseAddress.map { $0 + range.lowerBound },
          range.count)
      }
      entries.withUnsafeMutableBufferPointer { body($0) }
    }
  }
  withExtendedLifetime(jobs) {}  // the payloads keep the memory behind `segments`
  for index in jobs.indices { jobs[index].stream = streams[index] }
}

/// Takes one stream over bytes.
func advance(_ stream: inout ck_stream, over bytes: UnsafeRawBufferPointer, with kernel: ck_kernel) {
  withUnsafeMutablePointer(to: &stream) { stream in
    withUnsafePointer(to: ck_segment(bytes: bytes.baseAddress, count: bytes.count)) { segment in
      var job = ck_job_of(stream, segment, 1)
      ck_advance(&job, 1, kernel)
    }
  }
}
