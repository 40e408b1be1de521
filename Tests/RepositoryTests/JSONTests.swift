import FoundationEssentials
import TestSupport
import Testing

@testable import Repository

@Suite("JSON of metadata") struct JSONTests {
  private struct Document: Codable, Equatable {
    struct Inner: Codable, Equatable {
      var addedBytes: Int
      var note: String?
    }
    var format: Int
    var kind: Snapshot.Kind
    var metrics: [String: Double]
    var names: [String]
    var pairs: [[Int]]
    var proofs: [String: Inner]
    var isThere: Bool
    var small: UInt8
  }

  private func decode<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
    try MetadataCoding.decode(type, from: Array(text.utf8), object: "x")
  }

  @Test("whatever is encoded comes back, escapes and numbers of all sizes too; the seed is printed")
  func roundTrip() throws {
    var generator = Seeded()
    func text() -> String {
      var scalars = String.UnicodeScalarView()
      for _ in 0..<Int.random(in: 0..<12, using: &generator) {
        let most: UInt32 = [0x30, 0x7f, 0x7ff, 0xffff, 0x10ffff].randomElement(using: &generator) ?? 0
        if let scalar = Unicode.Scalar(UInt32.random(in: 0...most, using: &generator)) {
          scalars.append(scalar)
        }
      }
      return String(scalars)
    }
    for _ in 0..<200 {
      let whole: [Int] = [0, -1, .min, .max, Int.random(in: .min ... .max, using: &generator)]
      let document = Document(
        format: whole.randomElement(using: &generator) ?? 0, kind: .file,
        metrics: [
          text(): .random(in: -1e9...1e9, using: &generator), "added_bytes": 1e-300, "addedBytes": -5e300,
        ],
        names: (0..<3).map { _ in text() }, pairs: [whole, []],
        proofs: [text(): .init(addedBytes: 1, note: text()), "a_b": .init(addedBytes: -7, note: nil)],
        isThere: .random(using: &generator), small: 255)
      for pretty in [true, false] {
        let bytes = try MetadataCoding.encode(document, pretty: pretty)
        #expect(try MetadataCoding.decode(Document.self, from: bytes, object: "x") == document)
      }
    }
  }

  @Test(
    "a text that is no JSON, whole and alone, is refused",
    arguments: [
      "", " ", "{", "[", "[1", "[1,", "[1,]", "[,]", "[1 2]", "[1]]", "[1],", "[-]", "[01]", "[1.]", "[.5]",
      "[1e]",
      "[1e+]", "[+1]", "[--1]", "[0x1]", "[1_000]", "[NaN]", "[Infinity]", "[1}", "[\"1\"]", "[null]",
      "[tru]", "[1.5]",
      "[9223372036854775808]", "[-9223372036854775809]", "\"", "-", "t", "nul", "[1e400]", "[1]x",
      String(repeating: "[", count: 100_000), "[" + String(repeating: "9", count: 1000) + "]",
    ])
  func malformed(_ text: String) {
    #expect(throws: FormatError.self) { try decode([Int].self, text) }
  }

  @Test(
    "a text with a broken escape or a control character is refused",
    arguments: [
      #"["\x"]"#, #"["\u12"]"#, #"["\u-001"]"#, #"["\u+001"]"#, #"["\ud800"]"#, #"["\ud800\u0041"]"#,
      #"["\udc00"]"#,
      #"["\"#, #"["\"]"#, "[\"\n\"]", "[\"\u{0}\"]",
    ])
  func brokenText(_ text: String) {
    #expect(throws: FormatError.self) { try decode([String].self, text) }
  }

  @Test("bytes that are no UTF-8 are no text")
  func notUTF8() {
    for bytes: [UInt8] in [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf0, 0x9f]] {
      let text = Array("[\"".utf8) + bytes + Array("\"]".utf8)
      #expect(throws: FormatError.self) { try MetadataCoding.decode([String].self, from: text, object: "x") }
    }
  }

  @Test("values that nest 32 deep are read below a key that nobody knows, and those that nest deeper refused")
  func depth() throws {
    struct Probe: Decodable { let format: Int }
    func nested(_ depth: Int) -> String {
      #"{"format":1,"later":\#(String(repeating: "[", count: depth))\#(String(repeating: "]", count: depth))}"#
    }
    #expect(try decode(Probe.self, nested(32)).format == 1)
    #expect(throws: FormatError.self) { try decode(Probe.self, nested(33)) }
  }

  @Test("escapes, white space and whole numbers in any spelling are read as JSON has them")
  func spellings() throws {
    #expect(
      try decode([String].self, #" [ "\ud83e\udd99\u00E9\/\b\f\n\r\t\\\"" , "" ] "#)
        == ["\u{1f999}é/\u{8}\u{c}\n\r\t\\\"", ""])
    #expect(
      try decode([Int].self, "[1e3,2.0,-0, 9223372036854775807,-9223372036854775808]") == [
        1000, 2, 0, .max, .min,
      ])
    #expect(try decode([Double].self, "[0,-1.5e-3,1E2]") == [0, -0.0015, 100])
    #expect(try decode([Int].self, "[\t\r\n]") == [])
  }

  @Test("errors say which value is wrong, and a newer format is told from damage")
  func errors() {
    let valid = """
      {"format":1,"kind":"file","metrics":{},"names":[],"pairs":[],"is_there":true,"small":1,"proofs":{"a":{"added_bytes":1}}}
      """
    #expect(throws: Never.self) { try decode(Document.self, valid) }
    for (old, new, detail) in [
      ("\"added_bytes\":1", "\"added_bytes\":\"1\"", "proofs.a.addedBytes has the wrong type"),
      ("\"added_bytes\"", "\"addedBytes\"", "addedBytes is missing"),
      ("\"file\"", "\"socket\"", "kind has an impossible value"),
      ("\"small\":1", "\"small\":256", "small has the wrong type"), ("}}}", "}}", "it is no valid JSON"),
      ("\"names\":[]", "\"names\":null", "names has the wrong type"),
    ] {
      #expect(throws: FormatError.invalid(object: "x", detail: detail)) {
        try decode(Document.self, valid.replacing(old, with: new))
      }
    }
    #expect(throws: FormatError.newerFormat(object: "x", format: 2)) {
      try decode(Document.self, #"{"format":2,"kind":{}}"#)
    }
  }
}
