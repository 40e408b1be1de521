extension JSONValue {
  /// What stands in the place of a secret.
  public static let mask = "***"

  /// Whether `withoutSecrets` would change anything.
  var hasSecrets: Bool {
    var names = SecretNames()
    return names.holds(self)
  }

  /// The value with every secret in it replaced by `mask`.
  ///
  /// A secret is the value of a member whose name says so (`hub_token`, `wandb_api_key`, `password`…), unless it is null, empty,
  /// true or false. What frameworks call tokens otherwise (`eos_token`, `max_new_tokens`) stays.
  public func withoutSecrets() -> JSONValue {
    // Long logs without a secret are not copied.
    hasSecrets ? masked() : self
  }

  private func masked() -> JSONValue {
    switch self {
    case .array(let elements): .array(elements.map { $0.masked() })
    case .object(let members):
      .object(
        Dictionary(
          uniqueKeysWithValues: members.map { name, value in
            (name, value.isWorthHiding(secrecy(of: name)) ? .string(Self.mask) : value.masked())
          }))
    default: self
    }
  }

  fileprivate func isWorthHiding(_ secrecy: Secrecy) -> Bool {
    switch secrecy {
    case .none: return false
    case .token:
      if case .string(let text) = self { return !text.isEmpty }
      return false
    case .secret:
      switch self {
      case .null, .bool, .string(""), .array([]), .object([:]): return false
      default: return true
      }
    }
  }
}

/// Finds secrets; each name is judged once, since logs repeat theirs in every row.
private struct SecretNames {
  private var known: [String: Secrecy] = [:]

  mutating func holds(_ value: JSONValue) -> Bool {
    switch value {
    case .array(let elements):
      for element in elements where holds(element) { return true }
    case .object(let members):
      for (name, value) in members {
        let judged = known[name] ?? secrecy(of: name)
        known[name] = judged
        if value.isWorthHiding(judged) || holds(value) { return true }
      }
    default: break
    }
    return false
  }
}

private enum Secrecy {
  case none
  /// A token: a secret where it is text.
  case token
  case secret
}

/// How secret the value is that a member of this name holds, by the words of the name.
private func secrecy(of name: String) -> Secrecy {
  let words = words(of: name)
  let joined = words.joined(separator: "_")
  let secrets = [
    "secret", "secrets", "password", "passwd", "pwd", "passphrase", "credential", "credentials", "apikey",
    "authorization",
  ]
  if words.contains(where: secrets.contains) { return .secret }
  let keys = ["api_key", "access_key", "private_key", "secret_key", "access_key_id", "auth_key"]
  if keys.contains(where: { joined == $0 || joined.hasSuffix("_" + $0) }) { return .secret }
  // Vocabulary entries of tokenizers, which are no secrets.
  let vocabulary = [
    "bos", "eos", "pad", "unk", "sep", "cls", "mask", "image", "video", "audio", "boi", "eoi", "boa", "eoa",
    "start",
    "end", "stop", "think", "system", "prompt", "response", "placeholder", "special", "decoder", "prefix",
    "suffix",
    "middle", "eot", "vision", "additional",
  ]
  guard words.last == "token" else { return .none }
  return words.dropLast().last.map(vocabulary.contains) == true ? .none : .token
}

/// The words of a name in lower case, whether they are parted by signs or by capitals.
private func words(of name: String) -> [String] {
  var words: [String] = []
  var word = ""
  var wasLower = false
  for character in name {
    let isPart = character.isLetter || character.isNumber
    if !isPart || (character.isUppercase && wasLower) {
      if !word.isEmpty { words.append(word) }
      word = ""
    }
    if isPart { word += character.lowercased() }
    wasLower = character.isLowercase
  }
  return word.isEmpty ? words : words + [word]
}
