import Platform

/// `SHA256SUMS` and `MD5SUMS`, byte for byte as coreutils 9 writes them.
enum SumsFile {
  /// A line for each file, ordered by path bytewise: digest, two spaces, name.
  ///
  /// A name with a backslash, newline or carriage return has them escaped, and its line begins with a backslash, so that
  /// `sha256sum -c` and `md5sum -c` accept every name (coreutils manual, "md5sum invocation").
  static func lines(_ digests: [(path: RelativePath, digest: [UInt8])]) -> [UInt8] {
    var result: [UInt8] = []
    for (path, digest) in digests.sorted(by: { $0.path < $1.path }) {
      var name: [UInt8] = []
      var escaped = false
      for byte in path.bytes {
        switch byte {
        case UInt8(ascii: "\\"): name += Array("\\\\".utf8)
        case UInt8(ascii: "\n"): name += Array("\\n".utf8)
        case UInt8(ascii: "\r"): name += Array("\\r".utf8)
        default:
          name.append(byte)
          continue
        }
        escaped = true
      }
      if escaped { result.append(UInt8(ascii: "\\")) }
      result += Array(hex(digest).utf8)
      result += Array("  ".utf8)
      result += name
      result.append(UInt8(ascii: "\n"))
    }
    return result
  }
}
