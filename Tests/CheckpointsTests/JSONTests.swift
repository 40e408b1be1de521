import FoundationEssentials
import TestSupport
import Testing

@testable import Checkpoints

@Suite("JSON") struct JSONTests {
  private func parse(_ text: String) throws(JSONError) -> JSONValue {
    try JSONValue(parsing: Array(text.utf8))
  }

  @Test("whole numbers stay exact as far as 64 bits reach, and larger ones become the nearest double")
  func integers() throws {
    #expect(try parse("9223372036854775807").integer == .max)
    #expect(try parse("-9223372036854775808").integer == .min)
    #expect(try parse("9223372036854775808") == .double(9_223_372_036_854_775_808))
    #expect(try parse("9223372036854775808").integer == nil)
    #expect(try parse("-0").number == 0)
    #expect(try parse("12.0").integer == 12)
    #expect(try parse("12.5").integer == nil)
  }

  @Test("NaN and the infinities are read, but count as no number")
  func nonFinite() throws {
    for text in ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"] {
      let value = try parse(text)
      #expect(value.number == nil && value.integer == nil, "\(text)")
      guard case .double = value else {
        Issue.record("\(text)")
        continue
      }
    }
    #expect(try parse("[NaN]") == parse("[NaN]"))
  }

  @Test("values are equal that mean the same")
  func equality() throws {
    #expect(try parse(#"{"a":1,"b":[2.0]}"#) == parse(#"{ "b" : [2], "a" : 1.0 }"#))
    #expect(try parse("1") != parse("true"))
    #expect(try parse("9007199254740993") != parse("9007199254740992.0"))
    #expect(try parse("null") != parse("[]"))
  }

  @Test("escapes are read; half a surrogate pair becomes the replacement character")
  func strings() throws {
    #expect(try parse(#""\u00e9\n\t\"\\\/""#).text == "é\n\t\"\\/")
    #expect(try parse(#""\ud83d\ude00""#).text == "😀")
    #expect(try parse(#""\ud83dx""#).text == "\u{fffd}x")
    #expect(try parse(#""\ude00""#).text == "\u{fffd}")
    #expect(try parse(#""\ud83d\u0041""#).text == "\u{fffd}A")
  }

  @Test(
    "an error tells where reading ended",
    arguments: [
      ("", 0), ("[1,", 3), ("[1 2]", 3), ("{\"a\" 1}", 5), ("{1:2}", 1), ("nul", 0), ("\"abc", 4), ("01", 2),
      ("1.", 2), ("-", 1), ("1e", 2), ("{} x", 3), ("\"\\q\"", 3), ("\"\\u12\"", 3), ("[1,]", 3),
    ])
  func errors(_ text: String, _ offset: Int) {
    let error = #expect(throws: JSONError.self) { try parse(text) }
    #expect(error?.offset == offset && error?.reason.isEmpty == false)
  }

  @Test("raw control characters and bytes that are not UTF-8 are refused")
  func bytes() {
    for bytes in [
      [0x22, 0x0a, 0x22], [0x22, 0xff, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0xef, 0xbb, 0xbf],
    ] {
      #expect(throws: JSONError.self) { try JSONValue(parsing: bytes.map(UInt8.init)) }
    }
  }

  @Test("nesting, values and digits have limits")
  func limits() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(throws: Never.self) { try parse(nested(JSONScanner.maximumDepth)) }
    #expect(throws: JSONError.self) { try parse(nested(JSONScanner.maximumDepth + 1)) }
    #expect(throws: JSONError.self) { try parse(String(repeating: "9", count: 401)) }
    let values = Array(#"[0, {"a": [null]}, "x"]"#.utf8)
    #expect(throws: Never.self) { try JSONValue(parsing: values, limit: 6) }
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: values, limit: 5) }
    #expect(error?.reason == "it holds too many values")
  }

  @Test("bytes at random, and real files with bytes changed at random, are read or refused")
  func random() throws {
    var random = Seeded()
    let whole = try contents(fixtures + "/hf_full/checkpoint-10/trainer_state.json")
    let alphabet = Array("{}[]\",:\\u0123eE+-.NaInfty \n".utf8)
    for _ in 0..<200 {
      let made = (0..<Int.random(in: 0...60, using: &random)).map { _ in
        alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
      }
      var changed = whole[..<Int.random(in: 1...whole.count, using: &random)]
      changed[Int.random(in: 0..<changed.count, using: &random)] = .random(in: 0...255, using: &random)
      for bytes in [made, Array(changed)] {
        // Reading with and without values agrees on what is JSON, and an error lies inside the text.
        let read = Result { () throws(JSONError) in try JSONValue(parsing: bytes) }
        let passed = Result { () throws(JSONError) in try maskingSecrets(in: bytes) }
        switch (read, passed) {
        case (.success, .success): break
        case (.failure(let error), .failure(let other)):
          #expect(error == other && (0...bytes.count).contains(error.offset))
        default: Issue.record("\(bytes)")
        }
      }
    }
  }

  @Test("a value that is written as JSON and read again is the same, except that NaN becomes its name")
  func coding() throws {
    let value = try parse(#"{"a":[1,2.5,true,null,"x"],"b":{},"c":[],"d":9223372036854775807}"#)
    #expect(try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(value)) == value)
    let strange = JSONValue.array([.double(.nan), .double(-.infinity)])
    let written = try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(strange))
    #expect(written == .array([.string("NaN"), .string("-Infinity")]))
  }
}
