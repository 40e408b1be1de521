import Digests
import ObjectStore
import Platform

/// The markers of one run as the cache keeps them: one after the other, since opening a file for each takes longer than reading them.
///
/// Each stands behind the key, ETag and size that its object was listed with, and counts for no other. In the file both have their
/// length before them, four bytes, little-endian.
enum MarkerCopies {
  /// A marker's bytes and where they are from.
  struct Copy: Equatable, Sendable {
    let source: String
    let bytes: [UInt8]
  }

  /// No longer markers are kept, so that what waits to be written stays small.
  static let longest = 64 << 10

  /// The folder that a marker's key is in, with its closing slash.
  static func folder(of key: String) -> String {
    key.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(key[...$0]) } ?? ""
  }

  /// What the cache calls the copies of a folder.
  static func name(_ folder: String) -> String { "markers in \(folder)" }

  /// What a copy of an object is known by, or nil where the store has no ETags to tell one version from the next.
  static func source(of object: ObjectInfo) -> String? {
    object.etag.map { "\(object.key) \($0) \(object.size)" }
  }

  /// Whether bytes can be what an object is listed with: by its size, and by its ETag where that is an MD5. Another store under the same
  /// id must not put words into this one's mouth.
  static func fits(_ bytes: [UInt8], _ object: ObjectInfo, opaque: Bool) -> Bool {
    guard bytes.count == object.size else { return false }
    guard !opaque, let etag = object.etag, Platform.bytes(hex: etag)?.count == 16 else { return true }
    return hex(MD5.hash(bytes)) == etag.lowercased()
  }

  static func encode(_ copies: [Copy]) -> [UInt8] {
    var content: [UInt8] = []
    for copy in copies {
      for part in [Array(copy.source.utf8), copy.bytes] {
        content += (0..<4).map { UInt8(truncatingIfNeeded: part.count >> (8 * $0)) }
        content += part
      }
    }
    return content
  }

  /// The bytes of each copy by its source. What is cut off is left out.
  static func decode(_ content: [UInt8]) -> [String: [UInt8]] {
    var copies: [String: [UInt8]] = [:]
    var rest = content[...]
    func part() -> ArraySlice<UInt8>? {
      let length = rest.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
      guard rest.count >= 4 + length, rest.count >= 4 else { return nil }
      defer { rest = rest.dropFirst(4 + length) }
      return rest.dropFirst(4).prefix(length)
    }
    while let source = part(), let bytes = part() {
      copies[String(decoding: source, as: UTF8.self)] = Array(bytes)
    }
    return copies
  }
}

extension MarkerCopies.Copy {
  /// A copy of what an object was read as; nil where it is not what was listed, where the cache could not tell it from another version,
  /// or where it is too long.
  init?(of object: ObjectInfo, _ bytes: [UInt8], opaque: Bool) {
    guard let source = MarkerCopies.source(of: object), bytes.count <= MarkerCopies.longest,
      MarkerCopies.fits(bytes, object, opaque: opaque)
    else { return nil }
    self.init(source: source, bytes: bytes)
  }
}
