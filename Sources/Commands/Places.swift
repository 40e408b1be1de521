import Glibc
import Platform

/// Where paths lead, links resolved, so that a command never replaces or swallows the place that it works with.
enum Places {
  /// The components of the absolute path that `path` leads to; what does not exist yet is taken as it is written.
  static func components(_ path: String) -> [String] {
    var rest: [String] = []
    var existing = path.isEmpty ? "." : path
    while true {
      if let resolved = realpath(existing, nil) {
        defer { free(resolved) }
        return PathText.components(String(cString: resolved)) + rest
      }
      // The working directory was removed.
      if existing == "." { return rest }
      while existing.count > 1, existing.hasSuffix("/") { existing.removeLast() }
      let (parent, name) = PathText.split(existing)
      rest.insert(name, at: 0)
      existing = parent
    }
  }

  /// Whether `outer` is `inner` or a directory above it.
  static func holds(_ outer: String, _ inner: String) -> Bool {
    components(inner).starts(with: components(outer))
  }

  /// Whether one lies in the other.
  static func overlap(_ a: String, _ b: String) -> Bool { holds(a, b) || holds(b, a) }
}
