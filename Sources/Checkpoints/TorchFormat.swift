import Platform

/// What a file that a framework saved with torch begins with.
public enum TorchFormat: Equatable, Sendable {
  /// A zip, as torch.save writes since 1.6, or the first bytes of one that was cut there.
  case zip
  /// The older form: a row of pickles, then the storages.
  case legacy
  /// No byte at all.
  case empty
  /// Zeros: the file got its size, but its bytes were never written.
  case zeros
  /// Anything else.
  case other

  private static let zipMagic: [UInt8] = [0x50, 0x4b, 3, 4]
  /// The first bytes of the older form: a pickle of protocol 2 that holds the number 0x1950a86a20f9469cfc6c
  /// (torch/serialization.py, `MAGIC_NUMBER`).
  private static let legacyMagic: [UInt8] = [
    0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
  ]

  /// Looks at a file's first bytes, at most 4 KiB. Throws `SystemError`.
  public init(of file: some ByteSource) throws(SystemError) {
    self.init(start: try file.bytes(at: 0, count: 4096))
  }

  init(start: [UInt8]) {
    if start.isEmpty {
      self = .empty
    } else if start.starts(with: Self.zipMagic) || Self.zipMagic.starts(with: start) {
      self = .zip
    } else if start.starts(with: Self.legacyMagic) {
      self = .legacy
    } else {
      self = start.allSatisfy { $0 == 0 } ? .zeros : .other
    }
  }
}
