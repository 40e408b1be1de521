/// Bytes that can be read from any place: a file, or a part of one.
public protocol ByteSource: Sendable {
  /// How many bytes there are.
  var size: Int { get }
  /// The bytes from `offset` on, at most `count`, fewer only where they end. Throws `SystemError`.
  func bytes(at offset: Int, count: Int) throws(SystemError) -> [UInt8]
}

extension OpenFile: ByteSource {}

/// A part of a file that is read as if it were one.
public struct FileWindow: ByteSource {
  private let file: OpenFile
  private let range: Range<Int>

  /// The part of `file` in `range`, which lies in it as far as the file has bytes.
  public init(_ file: OpenFile, _ range: Range<Int>) {
    self.file = file
    self.range = range.clamped(to: 0..<max(0, file.size))
  }

  /// How many bytes there are.
  public var size: Int { range.count }

  /// The bytes from `offset` on, at most `count`, fewer only where they end. Throws `SystemError`.
  public func bytes(at offset: Int, count: Int) throws(SystemError) -> [UInt8] {
    guard offset >= 0, offset < size else { return [] }
    return try file.bytes(at: range.lowerBound + offset, count: min(count, size - offset))
  }
}
