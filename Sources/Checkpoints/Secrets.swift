extension JSONValue {
  /// What stands in the place of a secret.
  public static let mask = "***"

  /// The value with every secret in it replaced, as `maskingSecrets` does.
  package var masked: JSONValue {
    switch self {
    case .array(let elements): return .array(elements.map(\.masked))
    case .object(let members):
      return .object(
        Dictionary(
          members.map { name, value in
            (name, value.isSecret(secrecy(of: name)) ? .string(Self.mask) : value.masked)
          },
          uniquingKeysWith: { first, _ in first }))
    default: return self
    }
  }

  private func isSecret(_ secrecy: Secrecy) -> Bool {
    switch self {
    case .null, .bool: false
    case .string(let text): secrecy != .none && !text.isEmpty
    default: secrecy == .secret
    }
  }
}

/// JSON with every secret in it replaced by `JSONValue.mask`, and byte for byte the same otherwise. Throws `JSONError`.
///
/// A secret is the value of a member whose name says so (`hub_token`, `wandb_api_key`, `password`…), unless it is null, empty,
/// true or false. What frameworks call tokens otherwise (`eos_token`, `max_new_tokens`) stays.
package func maskingSecrets(in json: [UInt8]) throws(JSONError) -> [UInt8] {
  var scanner = JSONScanner(json, allowsNonFinite: true)
  var masking = Masking(json)
  try masking.value(&scanner)
  try scanner.end()
  return masking.result
}

/// A pass over JSON that copies it without its secrets. No values are kept, so that a long log costs only its text.
private struct Masking {
  private let json: [UInt8]
  /// What lies before `done`, masked; empty while no secret was found.
  private var masked: [UInt8] = []
  private var done = 0
  /// Each name is judged once, since logs repeat theirs in every row.
  private var judged: [String: Secrecy] = [:]

  init(_ json: [UInt8]) { self.json = json }

  var result: [UInt8] { done == 0 ? json : masked + json[done...] }

  mutating func value(_ scanner: inout JSONScanner) throws(JSONError) {
    switch try scanner.next() {
    case .object: try scanner.object { (scanner, name) throws(JSONError) in try member(name, &scanner) }
    case .array: try scanner.array { (scanner) throws(JSONError) in try value(&scanner) }
    case .string, .number, .literal: try scanner.skip()
    }
  }

  private mutating func member(_ name: String, _ scanner: inout JSONScanner) throws(JSONError) {
    let secrecy = judge(name)
    let kind = try scanner.next()
    guard secrecy == .secret || (secrecy == .token && kind == .string) else { return try value(&scanner) }
    let start = scanner.position
    guard try Self.skip(&scanner, kind) else { return }
    masked += json[done..<start]
    masked += "\"\(JSONValue.mask)\"".utf8
    done = scanner.position
  }

  /// Passes over a value; whether there is anything in it to hide.
  private static func skip(_ scanner: inout JSONScanner, _ kind: JSONScanner.Kind) throws(JSONError) -> Bool {
    var isEmpty = true
    switch kind {
    case .object:
      try scanner.object { (scanner, _) throws(JSONError) in
        isEmpty = false
        try scanner.skip()
      }
    case .array:
      try scanner.array { (scanner) throws(JSONError) in
        isEmpty = false
        try scanner.skip()
      }
    case .string: isEmpty = try scanner.string().isEmpty
    case .number:
      isEmpty = false
      try scanner.skip()
    case .literal: try scanner.skip()
    }
    return !isEmpty
  }

  private mutating func judge(_ name: String) -> Secrecy {
    if let known = judged[name] { return known }
    let secrecy = secrecy(of: name)
    // Rows repeat a few names; a file of a million names is not worth a table.
    if judged.count < 4096 { judged[name] = secrecy }
    return secrecy
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
