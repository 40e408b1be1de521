import ObjectStore
import Platform

extension Examination {
  private static let largestObject = 8 << 20
  private static let seconds = 1.5
  private static let mostBytes = 256 << 20

  /// The median of ten small requests.
  mutating func measureRoundTrip(_ s3: S3Store) async throws {
    var times: [Double] = []
    do {
      for _ in 0..<10 {
        let start = monotonicSeconds()
        _ = try await s3.head("ckbackup.json")
        times.append(monotonicSeconds() - start)
      }
    } catch let error as StoreError {
      guard !error.isDenial else { return }
      report.add("round-trip", .warning, ErrorText(error).sentences.joined(separator: " "))
      return
    }
    let median = times.sorted()[times.count / 2]
    report.roundTrip = median
    report.add(
      "round-trip", .ok,
      "\(Quantity.fixed(median * 1000, digits: 1)) ms, the median of \(times.count) requests")
  }

  /// Bytes a second of one request at a time and of as many as are configured.
  mutating func measureThroughput(_ store: any ObjectStore, isDirectory: Bool) async throws {
    guard report.permissions?.write == .allowed, report.permissions?.delete == .allowed else { return }
    let keeps = report.probes.contains {
      ["versioning", "object-lock"].contains($0.name) && $0.outcome == .holds
    }
    guard !keeps else {
      report.add("throughput", .info, "not measured: the bucket keeps versions of what is removed")
      return
    }
    let most = isDirectory ? 1 : environment.configuration.connections
    let folder = "\(base)/throughput"
    let key: @Sendable (Int) -> String = { "\(folder)/\($0)" }
    do {
      let size = try await objectSize(store, key(0))
      for streams in most > 1 ? [1, most] : [1] {
        let up = try await rate(streams, size) { stream, buffer in
          try await store.put(key(stream), Payload(buffer.slice(0..<size)))
        }
        let down = try await rate(streams, size) { stream, buffer in
          try await store.read(key(stream), at: 0, into: WritableSlice(buffer, 0..<size))
        }
        report.throughput.append(.init(streams: streams, upBytesPerSecond: up, downBytesPerSecond: down))
        report.add(
          "throughput", .ok,
          "up \(Quantity.format(bytes: Int(up)))/s, down \(Quantity.format(bytes: Int(down)))/s with \(Quantity.count(streams, "request")) at once"
        )
      }
    } catch let error as StoreError {
      report.add("throughput", .warning, ErrorText(error).sentences.joined(separator: " "))
      return
    }
    if most > 1 { recommendConnections(most) }
  }

  /// Bytes of an object that takes half a second, so that a slow line is not kept busy for long.
  private func objectSize(_ store: any ObjectStore, _ key: String) async throws -> Int {
    let first = 256 << 10
    let start = monotonicSeconds()
    try await store.put(key, Payload(noise(first)))
    let rate = Double(first) / max(0.001, monotonicSeconds() - start)
    return min(Self.largestObject, max(first, Int(rate / 2)))
  }

  private func rate(
    _ streams: Int, _ size: Int, _ work: @escaping @Sendable (Int, Buffer) async throws -> Void
  ) async throws -> Double {
    let start = monotonicSeconds()
    let turns = max(1, Self.mostBytes / size / streams)
    let count = try await withThrowingTaskGroup(of: Int.self) { group in
      for stream in 0..<streams {
        group.addTask {
          let buffer = Buffer(copying: noise(size))
          var done = 0
          while done < turns, done == 0 || monotonicSeconds() - start < Self.seconds {
            try await work(stream, buffer)
            done += 1
          }
          return done
        }
      }
      return try await group.reduce(0, +)
    }
    return Double(count * size) / max(0.001, monotonicSeconds() - start)
  }

  private mutating func recommendConnections(_ most: Int) {
    guard let one = report.throughput.first, let many = report.throughput.last else { return }
    let gain = many.upBytesPerSecond / max(1, one.upBytesPerSecond)
    if gain > 0.7 * Double(most), most < 64 {
      report.add(
        "settings", .info,
        "\(most) requests at once are \(Quantity.fixed(gain, digits: 1)) times as quick as one: more may be quicker still",
        change: "connections = \(2 * most)")
    } else {
      report.add("settings", .ok, "connections = \(most) is enough")
    }
  }
}

/// Bytes that nothing compresses.
private func noise(_ count: Int) -> [UInt8] {
  var state: UInt64 = 0x9E37_79B9_7F4A_7C15
  return [UInt8](unsafeUninitializedCapacity: count) { target, filled in
    for index in 0..<count {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      target[index] = UInt8(truncatingIfNeeded: state >> 33)
    }
    filled = count
  }
}
