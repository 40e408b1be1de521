import CExpat
import Glibc

/// An element of an answer: its name without a namespace, its text, and the elements in it.
struct XMLNode: Equatable {
  let name: String
  fileprivate(set) var text = ""
  fileprivate(set) var children: [XMLNode] = []

  /// The text of the first child of that name.
  subscript(name: String) -> String? { children.first { $0.name == name }?.text }
  /// The children of that name.
  func all(_ name: String) -> [XMLNode] { children.filter { $0.name == name } }

  /// The root of a document, or nil where the bytes are no well-formed XML, declare a document type or entities, or go beyond the
  /// limits: 16 elements deep, 200,000 elements.
  static func parse(_ document: [UInt8]) -> XMLNode? {
    // Servers that take long to answer send blanks first, which XML does not allow before its declaration.
    let bytes = document.drop { $0 == 32 || $0 == 9 || $0 == 10 || $0 == 13 }
    guard bytes.count <= Int(Int32.max), let parser = XML_ParserCreate(nil) else { return nil }
    defer { XML_ParserFree(parser) }
    let builder = Builder(parser)
    XML_SetUserData(parser, Unmanaged.passUnretained(builder).toOpaque())
    XML_SetElementHandler(
      parser,
      { user, name, _ in Builder.of(user).open(name.map { localName($0) } ?? "") },
      { user, _ in Builder.of(user).close() })
    XML_SetCharacterDataHandler(parser) { user, text, count in
      Builder.of(user).add(UnsafeBufferPointer(start: text, count: Int(count)))
    }
    XML_SetStartDoctypeDeclHandler(parser) { user, _, _, _, _ in Builder.of(user).refuse() }
    XML_SetEntityDeclHandler(parser) { user, _, _, _, _, _, _, _, _ in Builder.of(user).refuse() }
    let status = bytes.withUnsafeBytes {
      XML_Parse(parser, $0.bindMemory(to: CChar.self).baseAddress, Int32($0.count), 1)
    }
    return withExtendedLifetime(builder) { status == XML_STATUS_OK ? builder.root : nil }
  }
}

/// Collects elements while expat reads.
private final class Builder {
  private let parser: XML_Parser
  private var open: [XMLNode] = []
  private var count = 0
  private(set) var root: XMLNode?

  init(_ parser: XML_Parser) { self.parser = parser }

  static func of(_ user: UnsafeMutableRawPointer?) -> Builder {
    guard let user else { preconditionFailure("expat lost its user data") }
    return Unmanaged<Builder>.fromOpaque(user).takeUnretainedValue()
  }

  func open(_ name: String) {
    count += 1
    guard open.count < 16, count <= 200_000 else { return refuse() }
    open.append(XMLNode(name: name))
  }

  func close() {
    guard let node = open.popLast() else { return }
    if open.isEmpty { root = node } else { open[open.count - 1].children.append(node) }
  }

  func add(_ text: UnsafeBufferPointer<CChar>) {
    guard !open.isEmpty else { return }
    open[open.count - 1].text += String(decoding: UnsafeRawBufferPointer(text), as: UTF8.self)
  }

  func refuse() { XML_StopParser(parser, 0) }
}

/// An element's name without its namespace.
private func localName(_ name: UnsafePointer<CChar>) -> String {
  let colon = strrchr(name, CInt(UInt8(ascii: ":")))
  return String(cString: colon.map { $0 + 1 } ?? UnsafeMutablePointer(mutating: name))
}

/// A text as it stands in an XML document.
func xmlEscaped(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}
