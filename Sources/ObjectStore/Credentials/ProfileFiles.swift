import Platform

/// A profile of AWS's files: what both say of it, the credentials file beating the configuration file.
struct Profile {
  let name: String
  fileprivate(set) var values: [String: String] = [:]
  /// The files that have it.
  fileprivate(set) var files: [String] = []

  /// A value that is there and not empty.
  subscript(name: String) -> String? { values[name].flatMap { $0.isEmpty ? nil : $0 } }

  /// As people would name it.
  var place: String { "the profile [\(name)] of \(files.joined(separator: " and "))" }
}

/// AWS's credentials and configuration files (docs.aws.amazon.com/sdkref/latest/guide/file-format.html): `[name]` in the one, `[default]`,
/// `[profile name]` and `[sso-session name]` in the other.
struct ProfileFiles {
  private(set) var profiles: [String: Profile] = [:]
  /// The sections `[sso-session name]`.
  private(set) var sessions: [String: [String: String]] = [:]
  /// Where the files are, whether they are there or not; the credentials file first.
  let paths: [String]

  /// Reads `AWS_SHARED_CREDENTIALS_FILE` or `~/.aws/credentials`, and `AWS_CONFIG_FILE` or `~/.aws/config`. Throws
  /// `CredentialsError.unreadable`.
  static func read(_ surroundings: CredentialsSurroundings) async throws -> ProfileFiles {
    var files = ProfileFiles(surroundings)
    for (path, isConfiguration) in places(surroundings) {
      do {
        if let bytes = try await surroundings.read(path) { files.add(bytes, path, isConfiguration) }
      } catch let error as SystemError {
        throw CredentialsError.unreadable(path: path, reason: error.reason)
      }
    }
    return files
  }

  /// The files that can be read, for a caller that may block.
  fileprivate static func readable(_ surroundings: CredentialsSurroundings) -> ProfileFiles {
    var files = ProfileFiles(surroundings)
    for (path, isConfiguration) in places(surroundings) {
      if let bytes = try? smallFile(path) { files.add(bytes, path, isConfiguration) }
    }
    return files
  }

  private init(_ surroundings: CredentialsSurroundings) {
    paths = Self.places(surroundings).map(\.path).reversed()
  }

  /// The configuration file and then the credentials file, which beats it. Neither where the home directory is not known and no variable
  /// names them.
  private static func places(
    _ surroundings: CredentialsSurroundings
  ) -> [(path: String, isConfiguration: Bool)] {
    [("AWS_CONFIG_FILE", ".aws/config", true), ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", false)]
      .compactMap { variable, usual, isConfiguration in
        let path = surroundings.value(variable).map(surroundings.expanded) ?? surroundings.home(usual)
        return path.map { ($0, isConfiguration) }
      }
  }

  /// In the order of names, so that `[profile default]` beats `[default]`.
  private mutating func add(_ bytes: [UInt8], _ path: String, _ isConfiguration: Bool) {
    let sections = INI(String(decoding: bytes, as: UTF8.self)).sections
    for (section, values) in sections.sorted(by: { $0.key < $1.key }) {
      let words = section.split(maxSplits: 1, whereSeparator: \.isWhitespace).map { unquoted(trim($0)) }
      switch (words.first, words.count) {
      case ("sso-session", 2): sessions[words[1], default: [:]].merge(values) { $1 }
      case ("profile", 2) where isConfiguration: add(words[1], values, path)
      case (let name?, 1) where !isConfiguration || name == "default": add(name, values, path)
      default: break
      }
    }
  }

  private mutating func add(_ name: String, _ values: [String: String], _ path: String) {
    var profile = profiles[name] ?? Profile(name: name)
    profile.values.merge(values) { $1 }
    if profile.files.first != path { profile.files.insert(path, at: 0) }
    profiles[name] = profile
  }
}

/// The profile that an environment names: `AWS_PROFILE`, `AWS_DEFAULT_PROFILE`; nil for the default one.
func namedProfile(_ variables: [String: String]) -> String? {
  [variables["AWS_PROFILE"], variables["AWS_DEFAULT_PROFILE"]].compactMap { $0 }.first { !$0.isEmpty }
}

private func unquoted(_ text: String) -> String {
  for quote in ["\"", "'"] where text.count >= 2 && text.hasPrefix(quote) && text.hasSuffix(quote) {
    return String(text.dropFirst().dropLast())
  }
  return text
}

/// What a profile says of the server rather than of its user.
public struct ProfileSettings: Equatable, Sendable {
  /// `region`.
  public let region: String?
  /// `endpoint_url`, unless `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` or the profile's own setting says to ignore it.
  public let endpoint: String?

  /// The settings of the profile that is named, or of the one that the environment names. Files that cannot be read have none: whoever
  /// asks for credentials hears of that. Blocks its caller for two small files.
  public init(profile: String?, environment: [String: String]) {
    let surroundings = CredentialsSurroundings(variables: environment)
    let files = ProfileFiles.readable(surroundings)
    let profile = files.profiles[profile ?? namedProfile(environment) ?? "default"]
    region = profile?["region"]
    let isIgnored =
      surroundings.isTrue("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
      || profile?["ignore_configured_endpoint_urls"]?.lowercased() == "true"
    endpoint = isIgnored ? nil : profile?["endpoint_url"]
  }
}
