/// Decodes values from JSON with `snake_case` keys. Foundation's decoder takes three to four times as long, which listings of thousands of
/// markers and manifests of a million chunks show.
///
/// The keys of a dictionary are taken as they are. Of members of the same name the first counts.
struct TapeDecoder: Decoder {
  let tape: JSONTape
  let index: Int
  /// The path of what it is in, and its place there: joined only where somebody asks, since most values have no error.
  private let holder: [any CodingKey]
  private let key: (any CodingKey)?
  var codingPath: [any CodingKey] { key.map { holder + [$0] } ?? holder }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  /// A decoder of a whole text. Throws `DecodingError` where it is no JSON.
  init(_ text: [UInt8]) throws {
    do {
      tape = try JSONTape(text)
    } catch {
      throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "no JSON"))
    }
    index = 0
    holder = []
    key = nil
  }

  /// A decoder of what stands at `key` in `holder`.
  fileprivate init(_ tape: JSONTape, _ index: Int, in holder: [any CodingKey], at key: any CodingKey) {
    self.tape = tape
    self.index = index
    self.holder = holder
    self.key = key
  }

  /// The value of a type. Throws `DecodingError`.
  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    let value: Value?
    if type == String.self {
      value = tape.string(index) as? Value
    } else if type == Int.self {
      value = tape.integer(index).map { Int($0) } as? Value
    } else if type == Bool.self {
      value = tape.bool(index) as? Value
    } else if type == Double.self {
      value = tape.double(index) as? Value
    } else if type == [Int].self {
      value = column { tape.integer($0).map { Int($0) } } as? Value
    } else if type == [String].self {
      value = column(tape.string) as? Value
    } else if let integer = type as? any FixedWidthInteger.Type {
      value = tape.integer(index).flatMap { integer.init(exactly: $0) } as? Value
    } else if let dictionary = type as? any NamedValues.Type {
      value = try dictionary.init(named: self) as? Value
    } else {
      return try Value(from: self)
    }
    guard let value else { throw mismatch(type) }
    return value
  }

  /// All elements of an array, or nil where one is something else.
  private func column<Element>(_ read: (Int) -> Element?) -> [Element]? {
    guard let children = tape.children(index, of: "[") else { return nil }
    var elements: [Element] = []
    // What is in an element counts here too, and may be much.
    elements.reserveCapacity(min(children.end - children.position, 1 << 20))
    for child in children {
      guard let element = read(child) else { return nil }
      elements.append(element)
    }
    return elements
  }

  fileprivate func mismatch(_ type: Any.Type) -> DecodingError {
    .typeMismatch(type, .init(codingPath: codingPath, debugDescription: "another kind of value"))
  }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard let members = tape.children(index, of: "{") else { throw mismatch([String: Any].self) }
    return KeyedDecodingContainer(Members<Key>(decoder: self, members: members, codingPath: codingPath))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard let elements = tape.children(index, of: "[") else { throw mismatch([Any].self) }
    return Elements(decoder: self, rest: elements)
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { self }
}

extension TapeDecoder: SingleValueDecodingContainer {
  func decodeNil() -> Bool { tape.first(index) == UInt8(ascii: "n") }
}

/// An element's place in an array, or a name in a dictionary, for errors.
private enum PlainKey: CodingKey {
  case name(String)
  case place(Int)

  init(stringValue: String) { self = .name(stringValue) }
  init(intValue: Int) { self = .place(intValue) }

  var stringValue: String {
    switch self {
    case .name(let name): name
    case .place(let place): "\(place)"
    }
  }
  var intValue: Int? { if case .place(let place) = self { place } else { nil } }
}

/// A dictionary of decodable values by name.
private protocol NamedValues {
  init(named decoder: TapeDecoder) throws
}

extension Dictionary: NamedValues where Key == String, Value: Decodable {
  fileprivate init(named decoder: TapeDecoder) throws {
    self.init()
    guard var members = decoder.tape.children(decoder.index, of: "{") else {
      throw decoder.mismatch(Self.self)
    }
    let path = decoder.codingPath
    while let index = members.next(), let child = members.next() {
      guard let name = decoder.tape.string(index) else { throw decoder.mismatch(String.self) }
      guard self[name] == nil else { continue }
      let value = TapeDecoder(decoder.tape, child, in: path, at: PlainKey(stringValue: name))
      self[name] = try value.decode(Value.self)
    }
  }
}

private struct Members<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let decoder: TapeDecoder
  let members: JSONTape.Children
  let codingPath: [any CodingKey]

  var allKeys: [Key] {
    var (members, keys) = (members, [Key]())
    while let index = members.next(), members.next() != nil {
      if let key = decoder.tape.string(index).flatMap({ Key(stringValue: $0) }) { keys.append(key) }
    }
    return keys
  }

  private func find(_ key: Key) -> Int? {
    let name = key.stringValue
    var members = members
    while let index = members.next(), let child = members.next() {
      if decoder.tape.isName(index, name) { return child }
    }
    return nil
  }

  private func value(_ key: Key) throws -> TapeDecoder {
    guard let child = find(key) else {
      throw DecodingError.keyNotFound(key, .init(codingPath: codingPath, debugDescription: "no such key"))
    }
    return TapeDecoder(decoder.tape, child, in: codingPath, at: key)
  }

  func contains(_ key: Key) -> Bool { find(key) != nil }
  func decodeNil(forKey key: Key) throws -> Bool { try value(key).decodeNil() }
  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
    try value(key).decode(type)
  }
  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> { try value(key).container(keyedBy: type) }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try value(key).unkeyedContainer()
  }
  func superDecoder() throws -> any Decoder { decoder }
  func superDecoder(forKey key: Key) throws -> any Decoder { try value(key) }
}

private struct Elements: UnkeyedDecodingContainer {
  let decoder: TapeDecoder
  var rest: JSONTape.Children
  private(set) var currentIndex = 0

  let codingPath: [any CodingKey]

  init(decoder: TapeDecoder, rest: JSONTape.Children) {
    self.decoder = decoder
    self.rest = rest
    codingPath = decoder.codingPath
  }

  var count: Int? { nil }
  var isAtEnd: Bool { rest.position >= rest.end }

  private mutating func next() throws -> TapeDecoder {
    guard let child = rest.next() else { throw decoder.mismatch(Any.self) }
    defer { currentIndex += 1 }
    return TapeDecoder(decoder.tape, child, in: codingPath, at: PlainKey(intValue: currentIndex))
  }

  mutating func decodeNil() -> Bool {
    guard !isAtEnd, decoder.tape.first(rest.position) == UInt8(ascii: "n") else { return false }
    currentIndex += 1
    return rest.next() != nil
  }
  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try next().decode(type) }
  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type
  ) throws -> KeyedDecodingContainer<Nested> { try next().container(keyedBy: type) }
  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try next().unkeyedContainer()
  }
  mutating func superDecoder() throws -> any Decoder { try next() }
}

extension JSONTape {
  /// Whether a name is what Swift calls `key`: `added_bytes` is `addedBytes`. Names with escapes are none that this program knows.
  fileprivate func isName(_ index: Int, _ key: String) -> Bool {
    var position = Int(values[index].start) + 1
    for byte in key.utf8 {
      if (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) {
        guard text[position] == UInt8(ascii: "_") else { return false }
        position += 1
        guard text[position] == byte | 0x20 else { return false }
      } else if text[position] != byte {
        return false
      }
      position += 1
    }
    return text[position] == UInt8(ascii: "\"")
  }
}
