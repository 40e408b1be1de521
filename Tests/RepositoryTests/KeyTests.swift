import Platform
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
      "snapshots/x.json",
      "manifests/a/000000001000-0123456789abcdef.json", "snapshots/%61/000000001000-0123456789abcdef.json",
      "snapshots/a/-00000001000-0123456789abcdef.json",
    ] { #expect(ObjectKey.parse(marker: other) == nil, "\(other)") }
  }

  @Test("names that cannot be stored are refused")
  func runs() {
    #expect(ObjectKey.isValid(run: String(repeating: "x", count: 64)))
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
