/// A path below some root: raw bytes as the file system has them, `/` between components, never leaving the root.
///
/// Linux file names are bytes, not text, so nothing here assumes UTF-8. Paths order bytewise.
public struct RelativePath: Hashable, Comparable, Sendable {
  /// The bytes of the path.
  public let bytes: [UInt8]

  /// A path from raw bytes; nil where it is empty, absolute, longer than 4,095 bytes, holds a NUL, or has an empty, `.` or `..`
  /// component or one longer than 255 bytes.
  public init?(_ bytes: some Collection<UInt8>) {
    guard !bytes.isEmpty, bytes.count <= 4095, !bytes.contains(0) else { return nil }
    let dot = UInt8(ascii: ".")
    for component in bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
      guard (1...255).contains(component.count), !component.elementsEqual([dot]),
        !component.elementsEqual([dot, dot])
      else { return nil }
    }
    self.bytes = Array(bytes)
  }

  /// A path from text, under the same rules.
  public init?(_ text: some StringProtocol) { self.init(Array(text.utf8)) }

  private init(joined bytes: [UInt8]) { self.bytes = bytes }

  /// Orders bytewise.
  public static func < (a: RelativePath, b: RelativePath) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

  /// The path as text, or nil where it is not UTF-8.
  public var text: String? { String(validating: bytes, as: UTF8.self) }

  /// The path for people: bytes that are no UTF-8 and control characters are escaped as `\xHH`.
  public var display: String {
    let shown = text ?? ""
    if !shown.isEmpty, !shown.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) {
      return shown
    }
    return bytes.map { byte in
      (0x20..<0x7f).contains(byte) ? String(UnicodeScalar(byte)) : "\\x" + hex([byte])
    }.joined()
  }

  /// The components, first to last.
  public var components: [ArraySlice<UInt8>] { bytes.split(separator: UInt8(ascii: "/")) }
  /// The last component as bytes.
  public var lastComponent: [UInt8] { Array(components.last ?? []) }
  /// The path without its last component, or nil where there is just one.
  public var parent: RelativePath? {
    bytes.lastIndex(of: UInt8(ascii: "/")).map { RelativePath(joined: Array(bytes[..<$0])) }
  }
}
