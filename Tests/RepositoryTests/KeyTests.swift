import Platform
import TestSupport
import Testing

@testable import Repository

@Suite("Object keys") struct KeyTests {
  @Test(
    "run names become keys and come back",
    arguments: ["llama-sft", "a b", "../x", "..", ".", "größe", "🦙🦙", "50%", "a/b"])
  func encoding(_ run: String) {
    let encoded = ObjectKey.encode(run)
    #expect(encoded.utf8.allSatisfy { $0 < 127 && $0 > 32 && $0 != UInt8(ascii: "/") })
    #expect(encoded != "." && encoded != "..")
    #expect(ObjectKey.decode(encoded) == run)
  }

  @Test("a marker's key tells run, step and id, and nothing else is one")
  func markers() throws {
    let key = ObjectKey.marker(run: "a b", step: 1000, id: "0123456789abcdef")
    #expect(key == "snapshots/a%20b/000000001000-0123456789abcdef.json")
    let parsed = try #require(ObjectKey.parse(marker: key))
    #expect(parsed == ("a b", 1000, "0123456789abcdef"))
    for other in [
      "snapshots/a b/000000001000-0123456789abcdef.json", "snapshots/a/1000-0123456789abcdef.json",
      "snapshots/a/000000001000-0123456789ABCDEF.json", "snapshots/a/000000001000-0123.json",
      "snapshots/x.json", "snapshots//000000001000-0123456789abcdef.json",
      "snapshots/\(String(repeating: "a", count: 65))/000000001000-0123456789abcdef.json",
      "manifests/a/000000001000-0123456789abcdef.json", "snapshots/%61/000000001000-0123456789abcdef.json",
      "snapshots/a/-00000001000-0123456789abcdef.json", "snapshots/a/+00000001000-0123456789abcdef.json",
      "snapshots/a/0000000001000-0123456789abcdef.json", "snapshots/a/000000001000-0123456789abcdef.json/",
      "snapshots/a/000000001000-0123456789abcdef.json.gz", "/snapshots/a/000000001000-0123456789abcdef.json",
      "snapshots/a/000000001000-0123456789abcdef-.json", "snapshots/a/b/000000001000-0123456789abcdef.json",
      "snapshots/a%2/000000001000-0123456789abcdef.json", "snapshots/%ff/000000001000-0123456789abcdef.json",
      "snapshots/%c3%bc/000000001000-0123456789abcdef.json", "snapshots/./000000001000-0123456789abcdef.json",
      "snapshots/a/99999999999999999999-0123456789abcdef.json", "snapshots/a/-0123456789abcdef.json",
    ] { #expect(ObjectKey.parse(marker: other) == nil, "\(other)") }
  }

  @Test("manifests and all objects of records tell their snapshot's marker, and nothing else does")
  func markersBeside() {
    let id = "0123456789abcdef"
    let marker = ObjectKey.marker(run: "a b-c", step: 7, id: id)
    let manifest = ObjectKey.manifest(run: "a b-c", step: 7, id: id, digest: [1, 2, 3, 4])
    let record = ObjectKey.record(besides: manifest)
    for key in [manifest, record + "record.json", record + "files/a-b/c"] {
      #expect(ObjectKey.marker(besides: key) == marker, "\(key)")
    }
    for key in [
      marker, "packs/weights/00/\(id)", "manifests/a", "manifests/a/",
      "manifests/a/000000000007-\(id).json.gz",
      "manifests/a/7-\(id)-01020304.json.gz", "manifests/%61/000000000007-\(id)-01020304.json.gz", "", "/",
      "records//000000000007-\(id)-01020304/record.json",
    ] { #expect(ObjectKey.marker(besides: key) == nil, "\(key)") }
  }

  @Test(
    "a marker's key comes back whatever valid run, step and id it has, and no other text is read as one; the seed is printed"
  )
  func anyMarker() throws {
    var generator = Seeded()
    let letters = Array("aZ09._-%/ \\~🦙é\u{301}ü\u{0}\u{7f}日")
    for _ in 0..<1000 {
      let run = String(
        (0...Int.random(in: 0..<20, using: &generator)).compactMap { _ in
          letters.randomElement(using: &generator)
        })
      let step = Int.random(in: 0...Int.max >> Int.random(in: 0..<62, using: &generator), using: &generator)
      let id = String((0..<16).compactMap { _ in "0123456789abcdef".randomElement(using: &generator) })
      let key = ObjectKey.marker(run: run, step: step, id: id)
      guard ObjectKey.isValid(run: run) else {
        #expect(ObjectKey.parse(marker: key) == nil)
        continue
      }
      #expect(try #require(ObjectKey.parse(marker: key)) == (run, step, id))
      #expect(key.split(separator: "/", omittingEmptySubsequences: false).count == 3)

      var bytes = Array(key.utf8)
      bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
        in: 32..<127, using: &generator)
      let other = String(decoding: bytes, as: UTF8.self)
      if let parsed = ObjectKey.parse(marker: other) {
        #expect(ObjectKey.marker(run: parsed.run, step: parsed.step, id: parsed.id) == other)
      }
    }
  }

  @Test("names that cannot be stored are refused")
  func runs() {
    // 16 of these are 192 bytes when they are encoded, 17 are 204.
    for run in [String(repeating: "x", count: 64), String(repeating: "🦙", count: 16), "..", "a/b", "."] {
      #expect(ObjectKey.isValid(run: run), "\(run)")
    }
    #expect(!ObjectKey.isValid(run: String(repeating: "🦙", count: 17)))
    for run in [
      "", " ", "a\nb", "a\u{1b}", String(repeating: "x", count: 65), String(repeating: "🦙", count: 64),
    ] {
      #expect(!ObjectKey.isValid(run: run), "\(run)")
    }
  }

  @Test("a record's folder has the name of its manifest")
  func records() {
    let manifest = ObjectKey.manifest(run: "r", step: 7, id: "0123456789abcdef", digest: [1, 2, 3, 4, 5])
    #expect(manifest == "manifests/r/000000000007-0123456789abcdef-01020304.json.gz")
    #expect(ObjectKey.record(besides: manifest) == "records/r/000000000007-0123456789abcdef-01020304/")
  }

  @Test("ULIDs have 26 digits and sort by time")
  func ulids() {
    let random = [UInt8](repeating: 255, count: 10)
    let earlier = ULID.make(at: Timestamp(seconds: 1_700_000_000), random: random)
    let later = ULID.make(
      at: Timestamp(nanoseconds: 1_700_000_000_001_000_000), random: [UInt8](repeating: 0, count: 10))
    #expect(earlier.count == 26 && earlier < later)
    #expect(
      ULID.make(at: Timestamp(seconds: 0), random: [UInt8](repeating: 0, count: 10))
        == String(repeating: "0", count: 26))
  }
}
