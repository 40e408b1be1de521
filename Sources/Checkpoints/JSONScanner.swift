/// Why some bytes are not the JSON that was expected.
public struct JSONError: Error, Equatable, Sendable {
  /// Where, in bytes from the start of the text.
  public let offset: Int
  /// What was expected or is wrong, for example `a value is missing`.
  public let reason: String

  /// The text is JSON, but of another shape than the reader needs.
  static let wrongShape = "a value of another kind was expected"
}

/// Reads JSON (RFC 8259) from left to right without building a tree, so that a header of millions of values costs only
/// what its reader keeps.
///
/// `NaN`, `Infinity` and `-Infinity` are accepted where `allowsNonFinite` is set, since Python's `json` writes them.
/// Nesting deeper than `maximumDepth` is an error.
struct JSONScanner {
  static let maximumDepth = 128

  enum Kind { case object, array, string, number, literal }
  enum Number: Equatable {
    case integer(Int64)
    case double(Double)
  }

  private let bytes: [UInt8]
  private let allowsNonFinite: Bool
  private(set) var position = 0
  private var depth = 0

  init(_ bytes: [UInt8], allowsNonFinite: Bool = false) {
    self.bytes = bytes
    self.allowsNonFinite = allowsNonFinite
  }

  func failure(_ reason: String) -> JSONError { JSONError(offset: position, reason: reason) }

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = current, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
  }

  /// Takes `byte` where it comes next, after white space.
  private mutating func take(_ byte: UInt8) -> Bool {
    skipSpace()
    guard current == byte else { return false }
    position += 1
    return true
  }

  /// What the next value is, by its first character.
  mutating func next() throws(JSONError) -> Kind {
    skipSpace()
    guard let byte = current else { throw failure("the text ends where a value should be") }
    switch byte {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    case UInt8(ascii: "N"), UInt8(ascii: "I"): return allowsNonFinite ? .number : .literal
    default: return .literal
    }
  }

  /// Reads an object; `member` gets each key and must read its value.
  mutating func object(
    _ member: (inout JSONScanner, String) throws(JSONError) -> Void
  ) throws(JSONError) {
    try open(UInt8(ascii: "{"))
    if take(UInt8(ascii: "}")) { return depth -= 1 }
    repeat {
      let key = try string()
      guard take(UInt8(ascii: ":")) else { throw failure("a colon is missing") }
      try member(&self, key)
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "}")) else { throw failure("a comma or closing brace is missing") }
    depth -= 1
  }

  /// Reads an array; `element` must read one value each time.
  mutating func array(_ element: (inout JSONScanner) throws(JSONError) -> Void) throws(JSONError) {
    try open(UInt8(ascii: "["))
    if take(UInt8(ascii: "]")) { return depth -= 1 }
    repeat { try element(&self) } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "]")) else { throw failure("a comma or closing bracket is missing") }
    depth -= 1
  }

  private mutating func open(_ byte: UInt8) throws(JSONError) {
    guard take(byte) else { throw failure(JSONError.wrongShape) }
    depth += 1
    guard depth <= Self.maximumDepth else { throw failure("it is nested too deeply") }
  }

  /// Reads `true`, `false` or `null` (nil).
  mutating func literal() throws(JSONError) -> Bool? {
    skipSpace()
    for (word, value) in [("true", true), ("false", false), ("null", nil)] as [(StaticString, Bool?)]
    where takeWord(word) {
      return value
    }
    throw failure("a value is missing or misspelt")
  }

  private mutating func takeWord(_ word: StaticString) -> Bool {
    word.withUTF8Buffer { word in
      guard bytes[position...].starts(with: word) else { return false }
      position += word.count
      return true
    }
  }

  /// Reads a number. Integers that fit 64 bits stay exact.
  mutating func number() throws(JSONError) -> Number {
    skipSpace()
    if allowsNonFinite {
      if takeWord("NaN") { return .double(.nan) }
      if takeWord("Infinity") { return .double(.infinity) }
      if takeWord("-Infinity") { return .double(-.infinity) }
    }
    let start = position
    var isInteger = true
    if current == UInt8(ascii: "-") { position += 1 }
    let first = current
    let whole = skipDigits()
    guard whole > 0, whole == 1 || first != UInt8(ascii: "0") else {
      throw failure(start == position ? JSONError.wrongShape : "a number is malformed")
    }
    if current == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      guard skipDigits() > 0 else { throw failure("a number is malformed") }
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      guard skipDigits() > 0 else { throw failure("a number is malformed") }
    }
    guard position - start <= 400 else { throw failure("a number has too many digits") }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int64(text) { return .integer(value) }
    guard let value = Double(text) else { throw failure("a number is malformed") }
    return .double(value)
  }

  private mutating func skipDigits() -> Int {
    let start = position
    while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    return position - start
  }

  /// Reads a string. Surrogates without their partner become U+FFFD, as they are no Unicode text.
  mutating func string() throws(JSONError) -> String {
    guard take(UInt8(ascii: "\"")) else { throw failure(JSONError.wrongShape) }
    let start = position
    while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
      position += 1
    }
    guard current != UInt8(ascii: "\"") else { return try closeString(bytes[start..<position]) }
    var unescaped = Array(bytes[start..<position])
    while let byte = current, byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { throw failure("a string holds a control character") }
      position += 1
      if byte == UInt8(ascii: "\\") { try unescape(into: &unescaped) } else { unescaped.append(byte) }
    }
    return try closeString(unescaped[...])
  }

  private mutating func closeString(_ content: ArraySlice<UInt8>) throws(JSONError) -> String {
    guard current != nil else { throw failure("the text ends inside a string") }
    guard let text = String(validating: content, as: UTF8.self) else {
      throw failure("a string is not UTF-8")
    }
    position += 1
    return text
  }

  private mutating func unescape(into target: inout [UInt8]) throws(JSONError) {
    guard let letter = current else { throw failure("the text ends inside a string") }
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): target.append(letter)
    case UInt8(ascii: "b"): target.append(0x08)
    case UInt8(ascii: "f"): target.append(0x0c)
    case UInt8(ascii: "n"): target.append(0x0a)
    case UInt8(ascii: "r"): target.append(0x0d)
    case UInt8(ascii: "t"): target.append(0x09)
    case UInt8(ascii: "u"):
      var value = try codeUnit()
      if (0xd800..<0xdc00).contains(value), takeWord("\\u") {
        let low = try codeUnit()
        if (0xdc00..<0xe000).contains(low) {
          value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
        } else {
          target += String(Unicode.Scalar(value) ?? "\u{fffd}").utf8
          value = low
        }
      }
      target += String(Unicode.Scalar(value) ?? "\u{fffd}").utf8
    default: throw failure("a string holds an unknown escape")
    }
  }

  private mutating func codeUnit() throws(JSONError) -> UInt32 {
    guard position + 4 <= bytes.count,
      bytes[position..<position + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let value = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
    else { throw failure("a string holds an unknown escape") }
    position += 4
    return value
  }

  /// Reads a value of any kind and forgets it.
  mutating func skip() throws(JSONError) {
    switch try next() {
    case .object: try object { (scanner, _) throws(JSONError) in try scanner.skip() }
    case .array: try array { (scanner) throws(JSONError) in try scanner.skip() }
    case .string: _ = try string()
    case .number: _ = try number()
    case .literal: _ = try literal()
    }
  }

  /// Throws where anything but white space follows.
  mutating func end() throws(JSONError) {
    skipSpace()
    guard current == nil else { throw failure("something follows the end of the JSON value") }
  }
}
