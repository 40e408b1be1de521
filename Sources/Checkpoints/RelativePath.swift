/// The place of a file below a checkpoint's root: raw bytes with `/` between the components, as the file system keeps them.
///
/// Example: `global_step4/mp_rank_00_model_states.pt`. It is never empty or absolute, never leaves the root, and need
/// not be UTF-8.
public struct RelativePath: Hashable, Comparable, Sendable {
  /// The longest path that is accepted, in bytes (Linux's PATH_MAX with its closing NUL left out).
  public static let maximumLength = 4095

  /// The path as the file system has it.
  public let bytes: [UInt8]

  /// Why some bytes are no relative path.
  public enum Invalid: Error, Equatable, Sendable {
    /// It has no byte, or a component has none (a doubled `/`, or one at the end).
    case empty
    /// It begins with `/`.
    case absolute
    /// A component is `.` or `..`.
    case dots
    /// It holds a NUL byte.
    case nul
    /// It has more bytes than `maximumLength`; the operand is how many.
    case tooLong(Int)
  }

  /// Checks the bytes of a path. Throws `RelativePath.Invalid`.
  public init(_ bytes: some Collection<UInt8>) throws(Invalid) {
    guard bytes.count <= Self.maximumLength else { throw .tooLong(bytes.count) }
    guard let first = bytes.first else { throw .empty }
    guard first != Self.slash else { throw .absolute }
    guard !bytes.contains(0) else { throw .nul }
    for component in bytes.split(separator: Self.slash, omittingEmptySubsequences: false) {
      guard !component.isEmpty else { throw .empty }
      guard !component.elementsEqual([Self.dot]), !component.elementsEqual([Self.dot, Self.dot]) else {
        throw .dots
      }
    }
    self.bytes = Array(bytes)
  }

  /// Checks a path that is text. Throws `RelativePath.Invalid`.
  public init(_ text: String) throws(Invalid) { try self.init(text.utf8) }

  /// The bytes between the slashes, in order; never empty.
  public var components: [ArraySlice<UInt8>] { bytes.split(separator: Self.slash) }

  /// The last component, as text; bytes that are not UTF-8 are replaced.
  public var name: String { String(decoding: components.last ?? [], as: UTF8.self) }

  /// The directory that holds it, or nil where that is the root.
  public var parent: RelativePath? {
    guard let end = bytes.lastIndex(of: Self.slash) else { return nil }
    return try? RelativePath(bytes[..<end])
  }

  /// The path one level further down. Throws `RelativePath.Invalid` where the result is no path.
  public func appending(_ name: some Collection<UInt8>) throws(Invalid) -> RelativePath {
    try RelativePath(bytes + [Self.slash] + name)
  }

  /// The path as exact text, or nil where its bytes are not UTF-8.
  public var text: String? { String(validating: bytes, as: UTF8.self) }

  /// The path for people, on one line: control characters, backslashes and bytes that are not UTF-8 as `\xNN`.
  public var display: String { escaped(bytes) }

  /// Orders by bytes, as `sort` does in the C locale.
  public static func < (a: RelativePath, b: RelativePath) -> Bool {
    a.bytes.lexicographicallyPrecedes(b.bytes)
  }

  private static let slash = UInt8(ascii: "/")
  private static let dot = UInt8(ascii: ".")
}

/// Bytes of a name as text on one line: control characters, backslashes and what is not UTF-8 stand as `\xNN`.
func escaped(_ bytes: some Collection<UInt8>) -> String {
  var result = ""
  guard let text = String(validating: bytes, as: UTF8.self) else {
    for byte in bytes {
      let isPlain = (0x20..<0x7f).contains(byte) && byte != UInt8(ascii: "\\")
      result += isPlain ? String(Unicode.Scalar(byte)) : escape(byte)
    }
    return result
  }
  for scalar in text.unicodeScalars {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned:
      for byte in String(scalar).utf8 { result += escape(byte) }
    default: result += scalar == "\\" ? escape(0x5c) : String(scalar)
    }
  }
  return result
}

private func escape(_ byte: UInt8) -> String {
  let digits = String(byte, radix: 16)
  return "\\x" + (digits.count == 1 ? "0" : "") + digits
}
