import Digests
import ObjectStore
import Platform
import Testing

/// The contract of `ObjectStore` as rules that any store must pass, a real server among them.
enum Rule: String, CaseIterable, Sendable {
  case wholeObjectsComeBack, emptyObjectsExist, putReplaces, limitsAndMissingObjects, rangesAreExact
  case listingsAreCompleteAndOrdered, awkwardKeysSurvive, similarKeysAreDistinct, deletionIsRepeatable
  case partsJoinInOrder, partsMayBeSentAgainAndInAnyOrder, abortedUploadsAreGone, badKeysAreRefused
  case aPartSentAgainReplacesTheFirst, readersSeeWholeObjects

  /// Checks the rule with objects below `base` only. Parts are of `partSize` bytes: servers ask for 5 MiB at least.
  func check(_ store: any ObjectStore, base: String, partSize: Int) async throws {
    let subject = Subject(store: store, base: "\(base)/\(rawValue)", partSize: partSize)
    switch self {
    case .wholeObjectsComeBack: try await subject.wholeObjectsComeBack()
    case .emptyObjectsExist: try await subject.emptyObjectsExist()
    case .putReplaces: try await subject.putReplaces()
    case .limitsAndMissingObjects: try await subject.limitsAndMissingObjects()
    case .rangesAreExact: try await subject.rangesAreExact()
    case .listingsAreCompleteAndOrdered: try await subject.listingsAreCompleteAndOrdered()
    case .awkwardKeysSurvive: try await subject.awkwardKeysSurvive()
    case .similarKeysAreDistinct: try await subject.similarKeysAreDistinct()
    case .deletionIsRepeatable: try await subject.deletionIsRepeatable()
    case .partsJoinInOrder: try await subject.partsJoinInOrder()
    case .partsMayBeSentAgainAndInAnyOrder: try await subject.partsMayBeSentAgainAndInAnyOrder()
    case .abortedUploadsAreGone: try await subject.abortedUploadsAreGone()
    case .badKeysAreRefused: try await subject.badKeysAreRefused()
    case .aPartSentAgainReplacesTheFirst: try await subject.aPartSentAgainReplacesTheFirst()
    case .readersSeeWholeObjects: try await subject.readersSeeWholeObjects()
    }
  }
}

private struct Subject {
  let store: any ObjectStore
  let base: String
  let partSize: Int

  func key(_ name: String) -> String { "\(base)/\(name)" }

  func wholeObjectsComeBack() async throws {
    let bytes = pattern(100_000, seed: 1)
    try await store.put(key("a/b/object"), Payload(bytes))
    #expect(try await store.get(key("a/b/object"), limit: 100_000) == bytes)
    let info = try #require(try await store.head(key("a/b/object")))
    #expect(info.key == key("a/b/object") && info.size == 100_000)
    #expect(abs(info.modified.seconds(since: try await store.list(key("")).now)) < 60)
    var pieces = Payload()
    let buffer = Buffer(copying: bytes)
    for start in stride(from: 0, to: 100_000, by: 12_500) {
      pieces.append(buffer.slice(start..<start + 12_500))
    }
    try await store.put(key("pieces"), pieces)
    #expect(try await store.get(key("pieces"), limit: 1 << 20) == bytes)
  }

  func emptyObjectsExist() async throws {
    try await store.put(key("empty"), Payload())
    #expect(try await store.get(key("empty"), limit: 0) == [])
    #expect(try await store.head(key("empty"))?.size == 0)
    #expect(try await store.list(key("")).objects.map(\.key) == [key("empty")])
    try await store.read(key("empty"), at: 0, into: WritableSlice(Buffer(copying: [1]), 0..<0))
  }

  func putReplaces() async throws {
    try await store.put(key("object"), Payload(pattern(5000, seed: 2)))
    try await store.put(key("object"), Payload(pattern(300, seed: 3)))
    #expect(try await store.get(key("object"), limit: 5000) == pattern(300, seed: 3))
    #expect(try await store.list(key("obj")).objects.map(\.size) == [300])
  }

  func limitsAndMissingObjects() async throws {
    try await store.put(key("object"), Payload(pattern(10, seed: 4)))
    #expect(try await store.get(key("object"), limit: 10).count == 10)
    await #expect(throws: StoreError.tooLarge(key: key("object"), limit: 9)) {
      try await store.get(key("object"), limit: 9)
    }
    await #expect(throws: StoreError.missing(key: key("none"))) { try await store.get(key("none"), limit: 9) }
    await #expect(throws: StoreError.missing(key: key("none"))) {
      try await store.read(key("none"), at: 0, into: WritableSlice(Buffer(copying: [1]), 0..<1))
    }
    #expect(try await store.head(key("none")) == nil)
    #expect(try await store.list(key("none")).objects.isEmpty)
    #expect(try await store.get(key("object"), limit: 10).count == 10)
  }

  func rangesAreExact() async throws {
    let bytes = pattern(70_000, seed: 5)
    try await store.put(key("object"), Payload(bytes))
    for range in [0..<1, 0..<70_000, 1..<69_999, 69_999..<70_000, 4096..<8192, 35_000..<35_001] {
      let buffer = Buffer(copying: [UInt8](repeating: 0xEE, count: range.count + 20))
      try await store.read(
        key("object"), at: range.lowerBound, into: WritableSlice(buffer, 10..<10 + range.count))
      #expect(Array(buffer.readable[10..<10 + range.count]) == Array(bytes[range]))
      let around = Array(buffer.readable[..<10]) + Array(buffer.readable[(10 + range.count)...])
      #expect(around == [UInt8](repeating: 0xEE, count: 20), "bytes around the target are left alone")
    }
    for (offset, received) in [(69_995, 5), (70_000, 0), (80_000, 0)] {
      await #expect(throws: StoreError.short(key: key("object"), expected: 10, received: received)) {
        let buffer = Buffer(copying: [UInt8](repeating: 0, count: 10))
        try await store.read(key("object"), at: offset, into: WritableSlice(buffer, 0..<10))
      }
    }
  }

  func listingsAreCompleteAndOrdered() async throws {
    let names = ["a", "a-b", "a.b", "b/1", "b/10", "b/2", "b/c/d", "ba", "c", "Z", "zz"]
    for name in names.reversed() { try await store.put(key(name), Payload(Array(name.utf8))) }
    let all = names.map(key).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    let listing = try await store.list(key(""))
    #expect(listing.objects.map(\.key) == all)
    #expect(listing.objects.allSatisfy { $0.size == $0.key.utf8.count - base.utf8.count - 1 })
    for prefix in ["a", "b", "b/", "b/1", "b/c/d", "q", "b/c/d/"] {
      let expected = all.filter { $0.utf8.starts(with: key(prefix).utf8) }
      #expect(try await store.list(key(prefix)).objects.map(\.key) == expected, "prefix \(prefix)")
    }
  }

  func awkwardKeysSurvive() async throws {
    let names = [
      "with space", "plus+plus", "100%", "%41", "hash#tag", "what?", "~tilde", "a&b=c", "quote'\"", "<tag>",
      "semi;colon,comma", "at@colon:", "star*", "(paren)", "ünïcödé", "日本語", "🙂", "$dollar!",
      " leading", "trailing ", "..dots..", "a/.hidden", "=", "|pipe|", "[x]{y}^`",
    ]
    for name in names { try await store.put(key(name), Payload(Array(name.utf8))) }
    let all = names.map(key).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    #expect(try await store.list(key("")).objects.map(\.key) == all)
    for name in names {
      #expect(try await store.get(key(name), limit: 100) == Array(name.utf8), "\(name)")
      #expect(try await store.head(key(name))?.size == name.utf8.count, "\(name)")
      #expect(try await store.list(key(name)).objects.map(\.key) == [key(name)], "\(name)")
    }
    try await store.delete(names.map(key))
    #expect(try await store.list(key("")).objects.isEmpty)
  }

  func similarKeysAreDistinct() async throws {
    let names = ["e\u{301}", "\u{e9}", "Case", "case"]
    for name in names { try await store.put(key(name), Payload(Array(name.utf8))) }
    #expect(try await store.list(key("")).objects.count == 4)
    for name in names { #expect(try await store.get(key(name), limit: 100) == Array(name.utf8)) }
  }

  func deletionIsRepeatable() async throws {
    for name in ["a", "d/b", "d/c"] { try await store.put(key(name), Payload([1])) }
    try await store.delete([key("a"), key("d/b"), key("none"), key("d/none")])
    #expect(try await store.list(key("")).objects.map(\.key) == [key("d/c")])
    try await store.delete([key("a"), key("d/b"), key("d/c")])
    try await store.delete([key("a")])
    try await store.delete([])
    #expect(try await store.list(key("")).objects.isEmpty)
    #expect(try await store.head(key("a")) == nil)
    try await store.put(key("d/b"), Payload([2]))
    #expect(try await store.get(key("d/b"), limit: 1) == [2])
  }

  func partsJoinInOrder() async throws {
    for (name, size) in [
      ("one", 1), ("border", 2 * partSize), ("tail", 2 * partSize + 1), ("full", partSize),
    ] {
      let bytes = pattern(size, seed: UInt64(size))
      let upload = try await store.beginMultipart(key(name))
      #expect(try await store.head(key(name)) == nil, "an open upload is no object")
      var parts: [PartReceipt] = []
      for offset in stride(from: 0, to: size, by: partSize) {
        parts.append(try await send(bytes, upload, offset))
      }
      #expect(parts.allSatisfy { $0.size != nil })
      let etag = try await store.complete(upload, parts)
      let info = try #require(try await store.head(key(name)))
      #expect(info.size == size)
      if let etag, let seen = info.etag, etag.hasSuffix("-\(parts.count)"), seen.contains("-") {
        #expect(etag == seen)
      }
      let buffer = Buffer(copying: [UInt8](repeating: 0, count: size))
      try await store.read(key(name), at: 0, into: WritableSlice(buffer, 0..<size))
      #expect(buffer.readable.elementsEqual(bytes))
    }
  }

  func partsMayBeSentAgainAndInAnyOrder() async throws {
    let bytes = pattern(2 * partSize + 77, seed: 9)
    let upload = try await store.beginMultipart(key("object"))
    let third = try await send(bytes, upload, 2 * partSize)
    let first = try await send(bytes, upload, 0)
    _ = try await send(bytes, upload, partSize)
    let second = try await send(bytes, upload, partSize)
    try await store.complete(upload, [first, second, third])
    #expect(try await store.get(key("object"), limit: bytes.count) == bytes)
  }

  func aPartSentAgainReplacesTheFirst() async throws {
    let bytes = pattern(partSize, seed: 11)
    let upload = try await store.beginMultipart(key("object"))
    _ = try await send(pattern(partSize, seed: 12), upload, 0)
    do {
      let part = try await send(bytes, upload, 0)
      try await store.complete(upload, [part])
      #expect(try await store.get(key("object"), limit: bytes.count) == bytes)
    } catch StoreError.unsupported {
      // rclone keeps the first and says that it cannot do better; what matters is that it says so.
      try await store.abort(upload)
    }
  }

  func readersSeeWholeObjects() async throws {
    let contents = [UInt8(1), 2].map { [UInt8](repeating: $0, count: 100_000 * Int($0)) }
    try await store.put(key("object"), Payload(contents[0]))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        for turn in 1...20 { try await store.put(key("object"), Payload(contents[turn % 2])) }
      }
      for _ in 0..<2 {
        group.addTask {
          for _ in 1...20 {
            let seen = try await store.get(key("object"), limit: 200_000)
            #expect(contents.contains(seen), "\(seen.count) bytes that begin with \(seen.prefix(1))")
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try await store.list(key("")).objects.map(\.key) == [key("object")])
  }

  func abortedUploadsAreGone() async throws {
    let bytes = pattern(partSize, seed: 10)
    let kept = try await store.beginMultipart(key("kept"))
    let upload = try await store.beginMultipart(key("object"))
    let part = try await send(bytes, upload, 0)
    let pending = try await store.listUploads(key(""))
    #expect(pending.isEmpty || Set(pending.map(\.upload)) == [kept, upload])
    try await store.abort(upload)
    try await store.abort(upload)
    let rest = try await store.listUploads(key(""))
    #expect(rest.isEmpty || rest.map(\.upload) == [kept])
    #expect(try await store.listUploads(key("other")).isEmpty)
    await #expect(throws: StoreError.noUpload(key: key("object"))) {
      try await store.complete(upload, [part])
    }
    try await store.abort(kept)
    #expect(try await store.list(key("")).objects.isEmpty)
  }

  func badKeysAreRefused() async throws {
    let long = String(repeating: "x", count: 256)
    for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.", "a\nb", "a\0b", "a\\b", long] {
      let error = await #expect(throws: StoreError.self) { try await store.put(bad, Payload([1])) }
      guard case .refused(_, _, _, "InvalidKey", _) = error else {
        Issue.record("\(bad) was not refused as a bad key but \(String(describing: error))")
        continue
      }
      await #expect(throws: StoreError.self) { try await store.get(bad, limit: 10) }
      await #expect(throws: StoreError.self) { try await store.head(bad) }
      await #expect(throws: StoreError.self) { try await store.delete([bad]) }
      await #expect(throws: StoreError.self) { try await store.beginMultipart(bad) }
    }
  }

  private func send(_ bytes: [UInt8], _ upload: MultipartUpload, _ offset: Int) async throws -> PartReceipt {
    let part = Array(bytes[offset..<min(bytes.count, offset + partSize)])
    return try await store.uploadPart(
      upload, number: offset / partSize + 1, offset: offset, Payload(part), md5: MD5.hash(part))
  }
}

/// Bytes that do not repeat within any length used here, the same for the same seed.
func pattern(_ count: Int, seed: UInt64) -> [UInt8] {
  var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
  return [UInt8](unsafeUninitializedCapacity: count) { target, filled in
    for index in 0..<count {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      target[index] = UInt8(truncatingIfNeeded: state >> 33)
    }
    filled = count
  }
}
