import FoundationEssentials
import Platform

/// The newest repository format that this program reads and writes.
public let repositoryFormat = 1

/// JSON as the repository keeps it: sorted keys, `snake_case`, moments as RFC 3339 in UTC.
enum MetadataCoding {
  private struct FormatProbe: Decodable { let format: Int }

  static func encode(_ value: some Encodable, pretty: Bool = true) throws(FormatError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting =
      pretty
      ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted] : [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    do {
      return Array(try encoder.encode(value))
    } catch {
      throw .invalid(object: "\(type(of: value))", detail: "it cannot be written as JSON")
    }
  }

  /// Decodes an object that holds a `format` number; `object` names it in errors.
  ///
  /// Throws `.newerFormat` where the number is greater than `repositoryFormat`, `.invalid` for anything that does not decode.
  static func decode<Value: Decodable>(
    _ type: Value.Type, from bytes: [UInt8], object: String
  ) throws(FormatError) -> Value {
    guard !isMostlyTiny(bytes) else {
      throw .invalid(object: object, detail: "it holds too many values for its size")
    }
    do {
      return try TapeDecoder(bytes).decode(type)
    } catch {
      if let probe = try? TapeDecoder(bytes).decode(FormatProbe.self), probe.format > repositoryFormat {
        throw .newerFormat(object: object, format: probe.format)
      }
      throw .invalid(object: object, detail: Self.detail(of: error))
    }
  }

  /// Whether JSON is made of values that are much smaller than those of any real object, in order to take much more memory than its
  /// size: `JSONTape` keeps eight bytes for each, and most become a value of 16 or more. A chunk has 15 bytes or more a value.
  static func isMostlyTiny(_ bytes: [UInt8]) -> Bool {
    let most = 100_000 + bytes.count / 8
    guard bytes.count > most else { return false }
    let comma = UInt8(ascii: ",")
    guard bytes.reduce(0, { $0 + ($1 == comma ? 1 : 0) }) > most else { return false }
    // So many commas may also stand in the names of files.
    var (commas, isText, isEscaped) = (0, false, false)
    for byte in bytes {
      if isText {
        if !isEscaped, byte == UInt8(ascii: "\"") { isText = false }
        isEscaped = !isEscaped && byte == UInt8(ascii: "\\")
      } else if byte == UInt8(ascii: "\"") {
        isText = true
      } else if byte == comma {
        commas += 1
      }
    }
    return commas > most
  }

  /// The bytes of an object that is read again up to `largest` bytes. Throws `.tooLarge` with `detail` where there are more.
  static func encode(
    _ value: some Encodable, pretty: Bool = true, upTo largest: Int, object: String, detail: String
  ) throws(FormatError) -> [UInt8] {
    let bytes = try encode(value, pretty: pretty)
    guard bytes.count <= largest, !isMostlyTiny(bytes) else {
      throw .tooLarge(object: object, detail: detail)
    }
    return bytes
  }

  /// Holds a decoded `format` to the formats that this program knows.
  static func check(format: Int, object: String) throws(FormatError) {
    if format > repositoryFormat { throw .newerFormat(object: object, format: format) }
    if format < 1 { throw .invalid(object: object, detail: "format \(format) does not exist") }
  }

  private static func detail(of error: any Error) -> String {
    func path(_ context: DecodingError.Context) -> String {
      context.codingPath.isEmpty ? "it" : context.codingPath.map(\.stringValue).joined(separator: ".")
    }
    switch error {
    case DecodingError.keyNotFound(let key, _): return "\(key.stringValue) is missing"
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
      return "\(path(context)) has the wrong type"
    case DecodingError.dataCorrupted(let context):
      return context.codingPath.isEmpty ? "it is no valid JSON" : "\(path(context)) has an impossible value"
    default: return "it is no valid JSON"
    }
  }
}

extension Timestamp: Codable {
  /// Reads RFC 3339 text.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let time = Timestamp(parsing: text) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "no RFC 3339 time: \(text)")
    }
    self = time
  }

  /// Writes RFC 3339 text in UTC, to the second.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(rfc3339)
  }
}
