import Platform

/// Whole objects: stored, read, replaced, read in part.
let objectProbes: [Probe] = [
  Probe("create", .needed) { it in
    let bytes = probeBytes(100_000, seed: 1)
    try await it.store.put(it.key("a/b/object"), Payload(bytes))
    guard let info = try await it.store.head(it.key("a/b/object")) else {
      throw ProbeViolation(sentence: "an object that was stored is not there")
    }
    try ensure(
      info.key == it.key("a/b/object") && info.size == bytes.count,
      "HEAD tells \(info.size) bytes of an object of \(bytes.count)")
    let now = try await it.store.list(it.key("")).now
    try ensure(
      abs(info.modified.seconds(since: now)) < 600, "an object that was just stored has another time")
    var pieces = Payload()
    let buffer = Buffer(copying: bytes)
    for start in stride(from: 0, to: bytes.count, by: 12_500) {
      pieces.append(buffer.slice(start..<start + 12_500))
    }
    try await it.store.put(it.key("pieces"), pieces)
    try ensure(
      try await it.store.get(it.key("pieces"), limit: 1 << 20) == bytes, "other bytes came back")
    return .holds("an object of 100,000 bytes was stored")
  },
  Probe("read", .needed) { it in
    let bytes = probeBytes(100_000, seed: 2)
    try await it.store.put(it.key("object"), Payload(bytes))
    try ensure(
      try await it.store.get(it.key("object"), limit: bytes.count) == bytes, "other bytes came back")
    return .holds("what was stored came back bit for bit")
  },
  Probe("empty-object", .needed) { it in
    try await it.store.put(it.key("empty"), Payload())
    try ensure(
      try await it.store.get(it.key("empty"), limit: 0) == [], "an empty object came back with bytes")
    try ensure(try await it.store.head(it.key("empty"))?.size == 0, "an empty object is not there")
    try ensure(try await it.names() == ["empty"], "a listing does not have an empty object")
    try await it.store.read(it.key("empty"), at: 0, into: WritableSlice(Buffer(copying: [1]), 0..<0))
    return .holds("objects without a byte are kept")
  },
  Probe("overwrite", .needed) { it in
    try await it.store.put(it.key("object"), Payload(probeBytes(5000, seed: 2)))
    try await it.store.put(it.key("object"), Payload(probeBytes(300, seed: 3)))
    try ensure(
      try await it.store.get(it.key("object"), limit: 5000) == probeBytes(300, seed: 3),
      "an object that was stored again still has its old bytes")
    let sizes = try await it.store.list(it.key("obj")).objects.map(\.size)
    try ensure(sizes == [300], "an object that was stored again is listed with the sizes \(sizes)")
    return .holds("an object that is stored again is replaced")
  },
  Probe("missing-object", .needed) { it in
    try await it.store.put(it.key("object"), Payload(probeBytes(10, seed: 4)))
    try ensure(try await it.store.get(it.key("object"), limit: 10).count == 10, "an object came back shorter")
    let large = try await it.refusal("an object beyond the limit") {
      _ = try await it.store.get(it.key("object"), limit: 9)
    }
    try ensure(large == .tooLarge(key: it.key("object"), limit: 9), "\(large)")
    let missing = StoreError.missing(key: it.key("none"))
    let get = try await it.refusal("the reading of what is not there") {
      _ = try await it.store.get(it.key("none"), limit: 9)
    }
    try ensure(get == missing, "to GET of what is not there the store says \(get)")
    let read = try await it.refusal("a range of what is not there") { _ = try await it.read("none", 0..<1) }
    try ensure(read == missing, "to a range of what is not there the store says \(read)")
    try ensure(try await it.store.head(it.key("none")) == nil, "HEAD tells of what is not there")
    try ensure(try await it.names("none").isEmpty, "a listing has what is not there")
    try ensure(try await it.store.get(it.key("object"), limit: 10).count == 10, "an object came back shorter")
    return .holds("what is not there is said to be missing")
  },
  Probe("range", .needed) { it in
    let bytes = probeBytes(70_000, seed: 5)
    try await it.store.put(it.key("object"), Payload(bytes))
    for range in [0..<1, 0..<70_000, 1..<69_999, 69_999..<70_000, 4096..<8192, 35_000..<35_001] {
      let buffer = Buffer(copying: [UInt8](repeating: 0xEE, count: range.count + 20))
      try await it.store.read(
        it.key("object"), at: range.lowerBound, into: WritableSlice(buffer, 10..<10 + range.count))
      try ensure(
        buffer.readable[10..<10 + range.count].elementsEqual(bytes[range]),
        "the bytes \(range.lowerBound) to \(range.upperBound - 1) came back as others")
      let around = Array(buffer.readable[..<10]) + Array(buffer.readable[(10 + range.count)...])
      try ensure(around == [UInt8](repeating: 0xEE, count: 20), "more bytes were written than were asked for")
    }
    guard it.s3 != nil else { return .holds("a range gives just its bytes") }
    let answer = try await it.raw("GET", "object", headers: [(name: "Range", value: "bytes=10-19")])
    return .holds(
      answer.status == 206
        ? "a range gives just its bytes" : "a range gives just its bytes, with the status \(answer.status)")
  },
  Probe("range-past-end", .needed) { it in
    try await it.store.put(it.key("object"), Payload(probeBytes(70_000, seed: 6)))
    for (offset, received) in [(69_995, 5), (70_000, 0), (80_000, 0)] {
      let error = try await it.refusal("a range beyond the object's end") {
        _ = try await it.read("object", offset..<offset + 10)
      }
      try ensure(
        error == .short(key: it.key("object"), expected: 10, received: received),
        "to a range beyond the object's end the store says \(error)")
    }
    guard it.s3 != nil else { return .holds("a range past the end is an error") }
    let answer = try await it.raw("GET", "object", headers: [(name: "Range", value: "bytes=80000-80009")])
    return .holds("a range past the end is refused (\(answer.told))")
  },
  Probe("whole-objects", .needed) { it in
    let contents = [UInt8(1), 2].map { [UInt8](repeating: $0, count: 100_000 * Int($0)) }
    try await it.store.put(it.key("object"), Payload(contents[0]))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        for turn in 1...it.rounds { try await it.store.put(it.key("object"), Payload(contents[turn % 2])) }
      }
      for _ in 0..<2 {
        group.addTask {
          for _ in 1...it.rounds {
            let seen = try await it.store.get(it.key("object"), limit: 200_000)
            try ensure(
              contents.contains(seen),
              "a reader saw \(seen.count) bytes of neither version while an object was replaced")
          }
        }
      }
      try await group.waitForAll()
    }
    try ensure(try await it.names() == ["object"], "a replaced object is listed more than once")
    return .holds("readers see the whole old or the whole new object")
  },
  Probe("read-after-write", .needed) { it in
    for round in 1...it.rounds {
      let bytes = probeBytes(64 + round, seed: UInt64(100 + round))
      try await it.store.put(it.key("object"), Payload(bytes))
      let seen = try await it.store.get(it.key("object"), limit: 1 << 16)
      try ensure(seen == bytes, "in round \(round) GET gave what was there before")
      let size = try await it.store.head(it.key("object"))?.size
      try ensure(size == bytes.count, "in round \(round) HEAD told what was there before")
      let listed = try await it.store.list(it.key("")).objects.map(\.size)
      try ensure(listed == [bytes.count], "in round \(round) the listing told what was there before")
      guard round % 2 == 0 else { continue }
      try await it.store.delete([it.key("object")])
      try ensure(
        try await it.store.head(it.key("object")) == nil, "in round \(round) HEAD told of a deleted object")
      try ensure(try await it.names().isEmpty, "in round \(round) the listing had a deleted object")
    }
    return .holds("GET, HEAD and listings see at once what was written (\(it.rounds) rounds)")
  },
]
