import Platform

/// The name of a chunk: the SHA-256 of its bytes.
public struct ChunkID: Hashable, Sendable {
  private let words: (UInt64, UInt64, UInt64, UInt64)

  /// An id from the 32 bytes of a digest, or nil where there are not 32.
  public init?(_ digest: some Collection<UInt8>) {
    guard digest.count == 32 else { return nil }
    var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: digest) }
    self.words = words
  }

  /// An id from 64 hexadecimal digits.
  public init?(hex text: String) {
    guard let digest = Platform.bytes(hex: text) else { return nil }
    self.init(digest)
  }

  /// The 32 bytes of the digest.
  public var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }
  /// The digest in 64 hexadecimal digits.
  public var hex: String { Platform.hex(bytes) }

  /// Whether two ids are the same digest.
  public static func == (a: ChunkID, b: ChunkID) -> Bool { a.words == b.words }

  /// The digest's own bits are as good as random, so a part of them serves.
  public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}
