/// The shape of a JSON text (RFC 8259): where each value begins and how far it goes, eight bytes a value.
///
/// Values stand in the order of the text, those of an array or object right behind it; in an object names and values take turns.
/// Texts and numbers are read where they are when somebody asks for them.
final class JSONTape: Sendable {
  /// The text is no JSON, is nested deeper than `deepest`, or holds more values than any real object of its size.
  struct Malformed: Error {}

  struct Value {
    /// Where it begins, in bytes from the start of the text.
    var start: UInt32
    /// The index of the first value that is neither it nor in it.
    var end: UInt32
  }

  static let deepest = 32

  let text: [UInt8]
  let values: [Value]

  /// Reads a whole text.
  init(_ text: [UInt8]) throws(Malformed) {
    var builder = Builder(text: text)
    try builder.build()
    self.text = text
    values = builder.values
  }

  /// The first byte of a value, which tells its kind.
  func first(_ index: Int) -> UInt8 { text[Int(values[index].start)] }

  /// The index of the value after this one and all that is in it.
  func next(_ index: Int) -> Int { Int(values[index].end) }

  /// The indices of the values that are directly in an array, or the names and values of an object; nil where it is something else.
  func children(_ index: Int, of bracket: Character) -> Children? {
    first(index) == bracket.asciiValue ? Children(tape: self, position: index + 1, end: next(index)) : nil
  }

  struct Children: Sequence, IteratorProtocol {
    let tape: JSONTape
    /// The next one.
    var position: Int
    let end: Int

    mutating func next() -> Int? {
      guard position < end else { return nil }
      defer { position = tape.next(position) }
      return position
    }
  }
}

/// Goes over a text once.
private struct Builder {
  let text: [UInt8]
  var values: [JSONTape.Value] = []
  private var position = 0

  init(text: [UInt8]) { self.text = text }

  mutating func build() throws(JSONTape.Malformed) {
    guard text.count < UInt32.max else { throw JSONTape.Malformed() }
    try value(depth: 0)
    guard current == nil else { throw JSONTape.Malformed() }
  }

  /// The next byte that is not white space.
  private var current: UInt8? {
    mutating get {
      while position < text.count {
        let byte = text[position]
        guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return byte }
        position += 1
      }
      return nil
    }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard current == byte else { return false }
    position += 1
    return true
  }

  private mutating func value(depth: Int) throws(JSONTape.Malformed) {
    guard let first = current, depth <= JSONTape.deepest else { throw JSONTape.Malformed() }
    let index = values.count
    // A real object has four bytes or more a value; brackets in brackets would take much more memory than their text.
    guard index < 400_000 + text.count / 4 else { throw JSONTape.Malformed() }
    values.append(.init(start: UInt32(position), end: UInt32(index + 1)))
    switch first {
    case UInt8(ascii: "{"):
      position += 1
      if take(UInt8(ascii: "}")) { return }
      repeat {
        guard current == UInt8(ascii: "\"") else { throw JSONTape.Malformed() }
        try value(depth: depth + 1)
        guard take(UInt8(ascii: ":")) else { throw JSONTape.Malformed() }
        try value(depth: depth + 1)
      } while take(UInt8(ascii: ","))
      guard take(UInt8(ascii: "}")) else { throw JSONTape.Malformed() }
    case UInt8(ascii: "["):
      position += 1
      if take(UInt8(ascii: "]")) { return }
      repeat { try value(depth: depth + 1) } while take(UInt8(ascii: ","))
      guard take(UInt8(ascii: "]")) else { throw JSONTape.Malformed() }
    case UInt8(ascii: "\""): return try skipString()
    case UInt8(ascii: "t"): return try skip("true")
    case UInt8(ascii: "f"): return try skip("false")
    case UInt8(ascii: "n"): return try skip("null")
    default: return try skipNumber()
    }
    values[index].end = UInt32(values.count)
  }

  private mutating func skip(_ word: StaticString) throws(JSONTape.Malformed) {
    let matches = word.withUTF8Buffer { text[position...].starts(with: $0) }
    guard matches else { throw JSONTape.Malformed() }
    position += word.utf8CodeUnitCount
  }

  /// UTF-8 and the digits of escapes are looked at when the text is asked for.
  private mutating func skipString() throws(JSONTape.Malformed) {
    position += 1
    while position < text.count {
      let byte = text[position]
      position += 1
      if byte == UInt8(ascii: "\"") { return }
      guard byte >= 0x20 else { throw JSONTape.Malformed() }
      if byte == UInt8(ascii: "\\") {
        guard position < text.count, Self.escapes.contains(text[position]) else { throw JSONTape.Malformed() }
        position += 1
      }
    }
    throw JSONTape.Malformed()
  }

  private static let escapes = Array("\"\\/bfnrtu".utf8)

  private mutating func skipNumber() throws(JSONTape.Malformed) {
    if text[position] == UInt8(ascii: "-") { position += 1 }
    let start = position
    guard skipDigits(), position == start + 1 || text[start] != UInt8(ascii: "0") else {
      throw JSONTape.Malformed()
    }
    if position < text.count, text[position] == UInt8(ascii: ".") {
      position += 1
      guard skipDigits() else { throw JSONTape.Malformed() }
    }
    if position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
      position += 1
      if position < text.count, text[position] == UInt8(ascii: "+") || text[position] == UInt8(ascii: "-") {
        position += 1
      }
      guard skipDigits() else { throw JSONTape.Malformed() }
    }
  }

  private mutating func skipDigits() -> Bool {
    let start = position
    while position < text.count, JSONTape.isDigit(text[position]) { position += 1 }
    return position > start
  }
}

extension JSONTape {
  static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }
}
