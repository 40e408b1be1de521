import Glibc
import ObjectStore
import Platform

/// A configuration file that cannot be used.
package enum ConfigurationError: Error, Sendable {
  /// The file that was named is not there or cannot be read.
  case unreadable(SystemError)
  /// A line that is wrong, and why.
  case invalid(file: String, line: Int, message: String)
  /// A value from the environment that is wrong.
  case environment(variable: String, message: String)
}

/// Finds the configuration file and reads it.
package enum ConfigurationFile {
  private static let largest = 1 << 20

  /// Where a file is looked for when none is named, in this order.
  static func places(_ environment: [String: String]) -> [String] {
    var places = ["ckbackup.toml"]
    if let base = environment["XDG_CONFIG_HOME"] ?? environment["HOME"].map({ "\($0)/.config" }) {
      places.append("\(base)/ckbackup/config.toml")
    }
    return places + ["/etc/ckbackup/config.toml"]
  }

  /// Reads `--config`, else `$CKBACKUP_CONFIG`, else the first place that has a file, into a configuration. Gives
  /// the file that was read, nil where there is none.
  @discardableResult
  package static func load(
    named: String?, environment: [String: String], into configuration: inout Configuration
  ) throws(ConfigurationError) -> String? {
    let first = named ?? environment["CKBACKUP_CONFIG"]
    guard let path = first ?? places(environment).first(where: { access($0, F_OK) == 0 }) else { return nil }
    try read(path, into: &configuration)
    return path
  }

  private static func read(_ path: String, into configuration: inout Configuration) throws(ConfigurationError)
  {
    let text = try content(of: path)
    let document: TOMLDocument
    do {
      document = try TOMLDocument(text)
    } catch {
      throw .invalid(file: path, line: error.line, message: error.message)
    }
    for leaf in document.leaves {
      guard let place = NamedSetting.place(of: leaf.key) else {
        try store(leaf, as: leaf.key, of: ConfigurationKey.all, from: path, into: &configuration)
        continue
      }
      // Held to what its key takes now, and used when the repository is chosen.
      var scratch = Configuration()
      try store(leaf, as: place.key, of: NamedSetting.keys, from: path, into: &scratch)
      configuration.repositories[place.name, default: []].append(NamedSetting(place.key, leaf.value))
    }
  }

  private static func store(
    _ leaf: TOMLDocument.Leaf, as name: String, of keys: [ConfigurationKey], from path: String,
    into configuration: inout Configuration
  ) throws(ConfigurationError) {
    guard let key = keys.first(where: { $0.name == name }) else {
      let near = nearest(name, among: keys.map(\.name))
      let hint = near.map { "; did you mean \($0)?" } ?? ""
      throw .invalid(file: path, line: leaf.line, message: "there is no key \(leaf.key)\(hint)")
    }
    let fits = leaf.kind == key.kind || (key.takesNumbers && leaf.kind == .integer)
    guard fits, key.store(leaf.value, &configuration) else {
      throw .invalid(file: path, line: leaf.line, message: "\(leaf.key) takes \(key.takes)")
    }
  }

  private static func content(of path: String) throws(ConfigurationError) -> [UInt8] {
    do throws(SystemError) {
      return try OpenFile(path).bytes(at: 0, count: largest)
    } catch {
      throw .unreadable(error)
    }
  }
}
