/// A JSON value as a framework wrote it. Integers that fit 64 bits stay exact; larger ones become the nearest `Double`.
///
/// Equality compares what is meant: the order of members does not count, 1 equals 1.0, and NaN equals NaN.
public enum JSONValue: Codable, Sendable, Equatable {
  /// `null`.
  case null
  /// `true` or `false`.
  case bool(Bool)
  /// A whole number written without fraction or exponent.
  case integer(Int64)
  /// Any other number, also one of Python's NaN and infinities.
  case double(Double)
  /// Text.
  case string(String)
  /// Values in order.
  case array([JSONValue])
  /// Values by name; of members with the same name the last counts, as in Python.
  case object([String: JSONValue])

  /// How many values a text may hold: more than any index of weights has, and few enough for memory (about 100 bytes each).
  static let maximumValues = 1_000_000

  /// Reads JSON as Python's `json` writes it: NaN and infinities are allowed. Throws `JSONError`.
  public init(parsing bytes: [UInt8]) throws(JSONError) {
    try self.init(parsing: bytes, limit: Self.maximumValues)
  }

  init(parsing bytes: [UInt8], limit: Int) throws(JSONError) {
    var scanner = JSONScanner(bytes, allowsNonFinite: true)
    var budget = limit
    self = try Self.value(&scanner, &budget)
    try scanner.end()
  }

  /// Reads a value of any kind and takes the number of values in it from `budget`.
  static func value(_ scanner: inout JSONScanner, _ budget: inout Int) throws(JSONError) -> JSONValue {
    budget -= 1
    guard budget >= 0 else { throw scanner.failure("it holds too many values") }
    var left = budget
    defer { budget = left }
    switch try scanner.next() {
    case .object:
      var members: [String: JSONValue] = [:]
      try scanner.object { (scanner, key) throws(JSONError) in members[key] = try value(&scanner, &left) }
      return .object(members)
    case .array:
      var elements: [JSONValue] = []
      try scanner.array { (scanner) throws(JSONError) in elements.append(try value(&scanner, &left)) }
      return .array(elements)
    case .string: return .string(try scanner.string())
    case .number:
      switch try scanner.number() {
      case .integer(let number): return .integer(number)
      case .double(let number): return .double(number)
      }
    case .literal: return try scanner.literal().map(JSONValue.bool) ?? .null
    }
  }

  /// A member of an object, or nil where this is none or has none of that name.
  public subscript(_ name: String) -> JSONValue? {
    if case .object(let members) = self { members[name] } else { nil }
  }

  /// The text of a string.
  public var text: String? { if case .string(let text) = self { text } else { nil } }
  /// The elements of an array.
  public var elements: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }
  /// The members of an object.
  public var members: [String: JSONValue]? { if case .object(let members) = self { members } else { nil } }
  /// A number that is finite.
  public var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .double(let value) where value.isFinite: value
    default: nil
    }
  }
  /// A number that is whole.
  public var integer: Int? {
    switch self {
    case .integer(let value): Int(value)
    case .double(let value): Int(exactly: value)
    default: nil
    }
  }

  /// Compares as described above.
  public static func == (a: JSONValue, b: JSONValue) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.integer(let a), .integer(let b)): a == b
    case (.integer(let a), .double(let b)), (.double(let b), .integer(let a)): Int64(exactly: b) == a
    case (.double(let a), .double(let b)): a == b || (a.isNaN && b.isNaN)
    case (.string(let a), .string(let b)): a == b
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)): a == b
    default: false
    }
  }

  /// Decodes any JSON value.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Int64.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = .double(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([JSONValue].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  /// Encodes the value as JSON; NaN and the infinities, which JSON lacks, become strings with Python's names.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .double(let value) where value.isFinite: try container.encode(value)
    case .double(let value): try container.encode(value.isNaN ? "NaN" : value > 0 ? "Infinity" : "-Infinity")
    case .string(let value): try container.encode(value)
    case .array(let value): try container.encode(value)
    case .object(let value): try container.encode(value)
    }
  }
}
