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
      let entries = zip(order, ranges).map { index, range in
        ck_job(
          stream: streams.baseAddress.map { $0 + index },
          segments: segments.baseAddress.map { $0 + range.lowerBound },
          segment_count: range.count)
      }
      ck_advance(entries, entries.count, kernel)
    }
  }
  withExtendedLifetime(jobs) {}  // the payloads keep the memory behind `segments`
  for index in jobs.indices { jobs[index].stream = streams[index] }
}

/// Takes one stream over bytes.
func advance(_ stream: inout ck_stream, over bytes: UnsafeRawBufferPointer, with kernel: ck_kernel) {
  withUnsafeMutablePointer(to: &stream) { stream in
    withUnsafePointer(to: ck_segment(bytes: bytes.baseAddress, count: bytes.count)) { segment in
      var job = ck_job(stream: stream, segments: segment, segment_count: 1)
      ck_advance(&job, 1, kernel)
    }
  }
}
