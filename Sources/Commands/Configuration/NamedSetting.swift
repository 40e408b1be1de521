import Glibc

/// A line of a table `[repositories.NAME]`: how one repository of several is reached.
struct NamedSetting: Sendable {
  fileprivate let key: String
  private let value: String

  /// A key of `keys` and a value that it takes.
  init(_ key: String, _ value: String) {
    self.key = key
    self.value = value
  }

  /// The keys that such a table may have: where the repository is, who asks, and how requests are made.
  static let keys: [ConfigurationKey] = {
    let names: Set = [
      "repository", "endpoint", "region", "addressing", "sign_payload", "ca_file", "verify_tls",
      "client_certificate", "client_key", "sse", "sse_kms_key_id", "sse_customer_key_file", "storage_class",
      "requester_pays", "profile", "access_key_variable", "secret_key_variable", "session_token_variable",
      "connections", "limit_upload", "limit_download",
    ]
    return ConfigurationKey.all.filter { names.contains($0.name) }
  }()

  /// The repository's name and the key that a dotted key of the file stands for, or nil where it is another table's.
  static func place(of key: String) -> (name: String, key: String)? {
    let parts = key.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 3, parts[0] == "repositories", isName(parts[1]) else { return nil }
    return (parts[1], parts[2])
  }

  /// Whether a text can be a repository's name: letters, digits, `-` and `_`.
  static func isName(_ text: String) -> Bool {
    !text.isEmpty
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
          true
        default: false
        }
      }
  }

  fileprivate func store(in configuration: inout Configuration) {
    _ = Self.keys.first { $0.name == key }?.store(value, &configuration)
  }

  /// Settings that make sense together alone: where a table has one of a group, none of the group is taken from elsewhere. Half of
  /// another's credentials or keys would go to a server that they are not for.
  fileprivate static func clearGroups(of settings: [NamedSetting], in configuration: inout Configuration) {
    let keys = Set(settings.map(\.key))
    func has(_ names: String...) -> Bool { !keys.isDisjoint(with: names) }
    if has("profile", "access_key_variable", "secret_key_variable", "session_token_variable") {
      configuration.clearCredentials()
    }
    if has("sse", "sse_kms_key_id", "sse_customer_key_file") {
      (configuration.encryption, configuration.kmsKeyID, configuration.customerKeyFile) = (nil, nil, nil)
    }
    if has("client_certificate", "client_key") {
      (configuration.clientCertificate, configuration.clientKey) = (nil, nil)
    }
  }
}

extension Configuration {
  /// Forgets who asks.
  mutating func clearCredentials() {
    profile = nil
    (accessKeyVariable, secretKeyVariable, sessionTokenVariable) = (nil, nil, nil)
  }

  /// Takes over the repository that flags, environment or file name.
  mutating func choose(flags: Arguments, environment: [String: String]) throws(UsageError) {
    let variable = environment["CKBACKUP_REPO"].flatMap { $0.isEmpty ? nil : $0 }
    try choose(flags.string("repo") ?? variable ?? repository)
  }

  /// Takes over the table of a repository that is named; a URL or a path stays what it is.
  ///
  /// - Throws: `UsageError` where the text can only be meant for a name, and the file has tables and none of that name: neither a
  ///   directory is there, nor is it written as a path.
  mutating func choose(_ text: String?) throws(UsageError) {
    repository = text
    guard let text, NamedSetting.isName(text), !repositories.isEmpty else { return }
    guard let settings = repositories[text] else {
      guard access(text, F_OK) != 0 else { return }
      let known = repositories.keys.sorted().joined(separator: ", ")
      throw UsageError(
        "the configuration has no repository named \(text); it has \(known) (a directory is written ./\(text))"
      )
    }
    repository = nil
    NamedSetting.clearGroups(of: settings, in: &self)
    for setting in settings { setting.store(in: &self) }
    guard repository != nil else {
      throw UsageError("[repositories.\(text)] of the configuration does not say repository = …")
    }
    name = text
  }
}
