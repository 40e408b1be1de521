import Engine
import ObjectStore

/// A key of the configuration file: its name, what it takes, and where the value goes.
struct ConfigurationKey: Sendable {
  let name: String
  /// What a value must be, in words that follow "takes".
  let takes: String
  let kind: TOMLDocument.Leaf.Kind
  /// Whether a number without quotes will do where a text is taken.
  var takesNumbers = false
  /// Stores a value; false where it is not what the key takes. An array's elements come one by one.
  let store: @Sendable (String, inout Configuration) -> Bool

  /// Every key there is, in the order of `config.example.toml`.
  static let all: [ConfigurationKey] = [
    text("repository", \.repository),
    text("endpoint", \.endpoint),
    key("region", "a region's name") { value, configuration in
      configuration.region = value
      return !value.isEmpty
    },
    key("addressing", "auto, path or virtual") { value, configuration in
      guard let addressing = S3Settings.Addressing(rawValue: value) else { return false }
      configuration.addressing = addressing
      return true
    },
    flag("sign_payload", \.signPayload),
    text("ca_file", \.caFile),
    flag("verify_tls", \.verifyTLS),
    text("client_certificate", \.clientCertificate),
    text("client_key", \.clientKey),
    key("sse", "AES256, aws:kms or aws:kms:dsse") { value, configuration in
      configuration.encryption = ServerEncryption(rawValue: value)
      return configuration.encryption != nil
    },
    text("sse_kms_key_id", \.kmsKeyID),
    text("sse_customer_key_file", \.customerKeyFile),
    key("storage_class", "a class whose objects can be read at once, such as STANDARD_IA or GLACIER_IR") {
      value, configuration in
      configuration.storageClass = value
      return isReadAtOnce(storageClass: value)
    },
    flag("requester_pays", \.requesterPays),
    text("profile", \.profile),
    text("access_key_variable", \.accessKeyVariable),
    text("secret_key_variable", \.secretKeyVariable),
    text("session_token_variable", \.sessionTokenVariable),
    number("connections", 1...256, \.connections),
    rate("limit_upload", \.uploadLimit),
    rate("limit_download", \.downloadLimit),
    size("memory", atLeast: Resources.leastMemory, \.memory),
    number("threads", 0...256, \.threads),
    // An upload has at most 10,000 parts, of 16 MiB.
    size("pack_size", atLeast: 1 << 20, atMost: 128 << 30, \.packSize),
    text("cache", \.cache),
    text("run", \.run),
    flag("environment", \.recordsEnvironment),
    key("best", "METRIC, METRIC:min or METRIC:max") { value, configuration in
      guard let ranking = Ranking(value) else { return false }
      configuration.best = ranking
      return true
    },
    key("grace", "a time such as \"24h\"") { value, configuration in
      guard let seconds = Quantity.seconds(value) else { return false }
      configuration.grace = seconds
      return true
    },
    optionalNumber("prune.keep_last", \.policy.last),
    bestRule,
    optionalNumber("prune.keep_every", \.policy.every),
    key("prune.keep_within", "a time such as \"30d\"") { value, configuration in
      configuration.policy.within = Quantity.seconds(value)
      return configuration.policy.within != nil
    },
    key("prune.thin_after", "a time such as \"30d\"") { value, configuration in
      configuration.policy.thinAfter = Quantity.seconds(value)
      return configuration.policy.thinAfter != nil
    },
    key("prune.keep_tags", "labels") { value, configuration in
      configuration.policy.tags.append(value)
      return Tagging.isValid(value)
    },
  ]

  /// Whether a text may be a storage class, and not one whose objects must be restored before they can be read
  /// (docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html; Alibaba Cloud's by the same names or its own).
  private static func isReadAtOnce(storageClass: String) -> Bool {
    let name = storageClass.uppercased()
    let isWord = name.utf8.allSatisfy { byte in
      (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) || byte == UInt8(ascii: "_")
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
    return !name.isEmpty && isWord
      && !["GLACIER", "DEEP_ARCHIVE", "ARCHIVE", "COLDARCHIVE", "DEEPCOLDARCHIVE"].contains(name)
  }

  private static var bestRule: ConfigurationKey {
    var key = key("prune.keep_best", "N, N:METRIC or N:METRIC:min|max") { value, configuration in
      guard let rule = RetentionPolicy.Best(value) else { return false }
      configuration.policy.best.append(rule)
      return true
    }
    key.takesNumbers = true
    return key
  }

  private static func key(
    _ name: String, _ takes: String, _ store: @escaping @Sendable (String, inout Configuration) -> Bool
  ) -> ConfigurationKey {
    ConfigurationKey(name: name, takes: takes, kind: .string, store: store)
  }

  private static func text(
    _ name: String, _ path: WritableKeyPath<Configuration, String?> & Sendable
  ) -> ConfigurationKey {
    key(name, "a text") { value, configuration in
      configuration[keyPath: path] = value
      return !value.isEmpty
    }
  }

  private static func flag(_ name: String, _ path: WritableKeyPath<Configuration, Bool> & Sendable)
    -> ConfigurationKey
  {
    ConfigurationKey(name: name, takes: "true or false", kind: .boolean) { value, configuration in
      configuration[keyPath: path] = value == "true"
      return true
    }
  }

  private static func number(
    _ name: String, _ range: ClosedRange<Int>, _ path: WritableKeyPath<Configuration, Int> & Sendable
  ) -> ConfigurationKey {
    let takes = "a whole number from \(range.lowerBound) to \(range.upperBound)"
    return ConfigurationKey(name: name, takes: takes, kind: .integer) { value, configuration in
      guard let number = Int(value), range.contains(number) else { return false }
      configuration[keyPath: path] = number
      return true
    }
  }

  private static func optionalNumber(
    _ name: String, _ path: WritableKeyPath<Configuration, Int?> & Sendable
  ) -> ConfigurationKey {
    ConfigurationKey(name: name, takes: "a whole number of at least 1", kind: .integer) {
      value, configuration in
      guard let number = Int(value), number >= 1 else { return false }
      configuration[keyPath: path] = number
      return true
    }
  }

  private static func rate(
    _ name: String, _ path: WritableKeyPath<Configuration, Int?> & Sendable
  ) -> ConfigurationKey {
    var key = key(name, "bytes a second such as \"20MiB\"") { value, configuration in
      configuration[keyPath: path] = Quantity.rate(value)
      return configuration[keyPath: path] != nil
    }
    key.takesNumbers = true
    return key
  }

  private static func size(
    _ name: String, atLeast least: Int, atMost most: Int = .max,
    _ path: WritableKeyPath<Configuration, Int> & Sendable
  ) -> ConfigurationKey {
    let bound = most == .max ? "" : " and at most \(Quantity.format(bytes: most))"
    var key = key(name, "a size of at least \(Quantity.format(bytes: least))\(bound)") {
      value, configuration in
      guard let bytes = Quantity.bytes(value), (least...most).contains(bytes) else { return false }
      configuration[keyPath: path] = bytes
      return true
    }
    key.takesNumbers = true
    return key
  }
}

extension RetentionPolicy.Best {
  /// Reads `N`, `N:METRIC` or `N:METRIC:min|max`.
  init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard let count = parts.first.flatMap({ Int($0) }), count >= 1 else { return nil }
    guard let ranking = parts.count > 1 ? Ranking(parts[1]) : Ranking() else { return nil }
    self.init(count: count, ranking: ranking)
  }
}
