import CToml

/// A TOML text as the flat list of its values.
struct TOMLDocument: Sendable {
  /// One value, or one element of an array.
  struct Leaf: Sendable {
    /// The value's kind.
    enum Kind: Sendable {
      case string
      case integer
      case boolean
      case other
    }
    /// The key, with dots between the tables' names.
    let key: String
    /// The value as text.
    let value: String
    let kind: Kind
    /// The line it stands in, from 1.
    let line: Int
  }

  /// Why a text is no TOML.
  struct SyntaxError: Error {
    let line: Int
    let message: String
  }

  /// The values in the order of the text.
  let leaves: [Leaf]

  /// Reads a text.
  init(_ text: [UInt8]) throws(SyntaxError) {
    var message = [CChar](repeating: 0, count: 512)
    var line: UInt32 = 0
    let parsed = text.withUnsafeBufferPointer { bytes in
      bytes.withMemoryRebound(to: CChar.self) {
        ck_toml_parse($0.baseAddress, $0.count, &message, message.count, &line)
      }
    }
    guard let document = parsed else {
      let words = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      throw SyntaxError(line: Int(line), message: String(decoding: words, as: UTF8.self))
    }
    defer { ck_toml_free(document) }
    leaves = (0..<ck_toml_count(document)).map { index in
      let kind: Leaf.Kind
      switch UInt8(bitPattern: ck_toml_kind(document, index)) {
      case UInt8(ascii: "s"): kind = .string
      case UInt8(ascii: "i"): kind = .integer
      case UInt8(ascii: "b"): kind = .boolean
      default: kind = .other
      }
      return Leaf(
        key: String(cString: ck_toml_key(document, index)),
        value: String(cString: ck_toml_value(document, index)),
        kind: kind, line: Int(ck_toml_line(document, index)))
    }
  }
}
