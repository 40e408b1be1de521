/// An answer, complete: a body that ended before its announced length is an error instead.
public struct HTTPResponse: Sendable {
  /// The status code, 100 to 599.
  public var status: Int
  /// The header fields.
  public var headers: HTTPHeaders
  /// The body, where it went to memory.
  public var body: [UInt8]
  /// The number of body bytes, wherever they went.
  public var received: Int

  /// An answer as a transport received it.
  public init(status: Int, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = [], received: Int? = nil) {
    self.status = status
    self.headers = headers
    self.body = body
    self.received = received ?? body.count
  }

  /// Whether the status is one of 200 to 299.
  public var isSuccess: Bool { (200..<300).contains(status) }
}

/// Header fields in the order they came; names are compared without regard to case.
public struct HTTPHeaders: Sendable, ExpressibleByDictionaryLiteral {
  /// The fields.
  public private(set) var fields: [(name: String, value: String)] = []

  /// No fields.
  public init() {}
  /// Some fields, for example `["ETag": "\"…\""]`.
  public init(dictionaryLiteral elements: (String, String)...) {
    fields = elements.map { (name: $0.0, value: $0.1) }
  }

  /// The value of the first field of that name.
  public subscript(name: String) -> String? {
    let wanted = name.lowercased()
    return fields.first { $0.name.lowercased() == wanted }?.value
  }

  /// Adds the field of a header line (`Name: value`, with or without its line end). Other lines are left out.
  package mutating func append(line: some Collection<UInt8>) {
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon != line.startIndex else { return }
    let name = String(decoding: line[..<colon], as: UTF8.self)
    var value = line[line.index(after: colon)...]
    while let first = value.first, isBlank(first) { value = value.dropFirst() }
    var bytes = Array(value)
    while let last = bytes.last, isBlank(last) { bytes.removeLast() }
    fields.append((name: name, value: String(decoding: bytes, as: UTF8.self)))
  }

  private func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 13 || byte == 10 }
}
