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
  /// Where the files are, whether they are there or not.
  let paths: [String]

  /// Reads `AWS_SHARED_CREDENTIALS_FILE` or `~/.aws/credentials`, and `AWS_CONFIG_FILE` or `~/.aws/config`. Throws
  /// `CredentialsError.unreadable`.
  static func read(_ surroundings: CredentialsSurroundings) async throws -> ProfileFiles {
    var contents: [(path: String, text: String?)] = []
    for path in paths(surroundings) {
      do {
        contents.append((path, try await surroundings.read(path).map { String(decoding: $0, as: UTF8.self) }))
      } catch let error as SystemError {
        throw CredentialsError.unreadable(path: path, reason: error.reason)
      }
    }
    return ProfileFiles(contents)
  }

  /// The paths of the credentials and the configuration file. None where the home directory is not known and no variable names them.
  static func paths(_ surroundings: CredentialsSurroundings) -> [String] {
    [("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), ("AWS_CONFIG_FILE", ".aws/config")].compactMap {
      surroundings.value($0.0).map(surroundings.expanded) ?? surroundings.home($0.1)
    }
  }

  /// The credentials file first.
  init(_ contents: [(path: String, text: String?)]) {
    paths = contents.map(\.path)
    for (index, content) in contents.enumerated().reversed() {
      guard let text = content.text else { continue }
      let isConfiguration = index > 0
      for (section, values) in INI(text).sections {
        let words = section.split(maxSplits: 1, whereSeparator: \.isWhitespace).map { unquoted(trim($0)) }
        switch (words.first, words.count) {
        case ("sso-session", 2): sessions[words[1], default: [:]].merge(values) { $1 }
        case ("profile", 2) where isConfiguration: add(words[1], values, content.path)
        case (let name?, 1) where !isConfiguration || name == "default": add(name, values, content.path)
        default: break
        }
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
    let files = ProfileFiles(
      ProfileFiles.paths(surroundings).map { path in
        (path, (try? smallFile(path)).flatMap { $0 }.map { String(decoding: $0, as: UTF8.self) })
      })
    let profile = files.profiles[profile ?? namedProfile(environment) ?? "default"]
    region = profile?["region"]
    let isIgnored =
      surroundings.isTrue("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
      || profile?["ignore_configured_endpoint_urls"]?.lowercased() == "true"
    endpoint = isIgnored ? nil : profile?["endpoint_url"]
  }
}
