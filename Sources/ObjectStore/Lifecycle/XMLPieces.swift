import CExpat

/// Where in a document's bytes the elements directly below its root stand, so that they can be kept as they are.
struct XMLPieces {
  /// The document, from its first byte that is no blank.
  let bytes: [UInt8]
  /// Each child of the root from its first to its last byte, in order.
  fileprivate(set) var children: [Range<Int>] = []
  /// Where the root's end tag begins; nil where the root is one empty tag.
  fileprivate(set) var rootEnd: Int?

  /// Nil where `XMLNode.parse` takes the document for none, where it is no UTF-8, or where the root's name has a prefix.
  init?(_ document: [UInt8]) {
    bytes = Array(document.drop { $0 == 32 || $0 == 9 || $0 == 10 || $0 == 13 })
    // The limits and refusals are the other reader's.
    guard XMLNode.parse(bytes) != nil, String(validating: bytes, as: UTF8.self) != nil,
      let parser = XML_ParserCreate(nil)
    else { return nil }
    defer { XML_ParserFree(parser) }
    let finder = Finder(parser)
    XML_SetUserData(parser, Unmanaged.passUnretained(finder).toOpaque())
    XML_SetElementHandler(
      parser, { user, name, _ in Finder.of(user).open(name.map { String(cString: $0) } ?? "") },
      { user, _ in Finder.of(user).close() })
    let status = bytes.withUnsafeBytes {
      XML_Parse(parser, $0.bindMemory(to: CChar.self).baseAddress, Int32($0.count), 1)
    }
    let isWhole = withExtendedLifetime(finder) {
      status == XML_STATUS_OK && !finder.hasPrefix
        && finder.children.allSatisfy { 0 <= $0.lowerBound && $0.upperBound <= bytes.count }
    }
    guard isWhole else { return nil }
    children = finder.children
    rootEnd = finder.rootEnd
  }

  /// The bytes of the children.
  var texts: [[UInt8]] { children.map { Array(bytes[$0]) } }
}

/// Notes places while expat reads.
private final class Finder {
  private let parser: XML_Parser
  private var depth = 0
  private var start = 0
  private var rootStart = 0
  private(set) var children: [Range<Int>] = []
  private(set) var rootEnd: Int?
  private(set) var hasPrefix = false

  init(_ parser: XML_Parser) { self.parser = parser }

  static func of(_ user: UnsafeMutableRawPointer?) -> Finder {
    guard let user else { preconditionFailure("expat lost its user data") }
    return Unmanaged<Finder>.fromOpaque(user).takeUnretainedValue()
  }

  func open(_ name: String) {
    if depth == 0 { hasPrefix = name.contains(":") }
    if depth == 1 { start = Int(XML_GetCurrentByteIndex(parser)) }
    depth += 1
  }

  func close() {
    depth -= 1
    // Of an empty tag both ends are told at its last byte, with a length of 0.
    let index = Int(XML_GetCurrentByteIndex(parser))
    let length = Int(XML_GetCurrentByteCount(parser))
    if depth == 1, index + length >= start { children.append(start..<index + length) }
    if depth == 0, length > 0 { rootEnd = index }
  }
}
