/// Cuts paths that are texts by their bytes: a slash with a combining mark behind it is one `Character` that is no slash.
package enum PathText {
  private static let slash = UInt8(ascii: "/")

  /// The components, without empty ones.
  package static func components(_ path: String) -> [String] {
    path.utf8.split(separator: slash).map { String(Substring($0)) }
  }

  /// Whether it begins at the root.
  package static func isAbsolute(_ path: String) -> Bool { path.utf8.first == slash }

  /// What is before the last slash, `.` or `/` where that is nothing, and what is behind it.
  package static func split(_ path: String) -> (parent: String, name: String) {
    guard let end = path.utf8.lastIndex(of: slash) else { return (".", path) }
    let parent = path.utf8[..<end]
    return (
      parent.isEmpty ? "/" : String(Substring(parent)), String(Substring(path.utf8[end...].dropFirst()))
    )
  }
}
