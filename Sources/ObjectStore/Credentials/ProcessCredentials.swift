import Platform

/// Credentials from a program that a profile names by `credential_process`
/// (docs.aws.amazon.com/cli/latest/userguide/cli-configure-sourcing-external.html): it writes JSON of version 1 to standard output.
///
/// It is run without a shell, may take a minute, and what it writes to standard error is dropped, since it may hold secrets.
struct ProcessCredentials: CredentialsSource {
  private let command: String
  private let profile: String
  private let surroundings: CredentialsSurroundings

  init(command: String, profile: String, _ surroundings: CredentialsSurroundings) {
    self.command = command
    self.profile = profile
    self.surroundings = surroundings
  }

  func find() async throws -> FoundCredentials {
    let words = commandWords(command)
    let program = words?.first ?? ""
    let place = CredentialsPlace(
      name: "credential_process of \(profile)",
      cure: program.isEmpty ? "Correct that line" : "Run \(program) with its arguments by hand to see why")
    guard let words, !program.isEmpty else {
      throw place.failed("the line is empty or a quote in it has no end")
    }
    guard let output = try await surroundings.run(words) else {
      throw place.failed("\(program) is not there, failed, took more than a minute or wrote more than 64 KiB")
    }
    guard let document = CredentialsDocument.read(output) else {
      throw place.failed("\(program) wrote something else than the JSON of credentials")
    }
    guard document.version == 1 else {
      throw place.failed("the JSON that \(program) wrote is not of Version 1")
    }
    return try FoundCredentials.checked(
      document.fields, of: place, origin: "\(program), the credential_process of \(profile)",
      now: surroundings.clock())
  }
}

/// The words of a command as the AWS CLI splits them, by Python's `shlex.split` (docs.python.org/3/library/shlex.html#parsing-rules): words end
/// at blanks outside of quotes; `\` keeps the next character, in double quotes only before `"` and `\`. Nil where a quote or `\` has no end.
func commandWords(_ command: String) -> [String]? {
  var words: [String] = []
  var word: String?
  var quote: Character?
  var rest = Substring(command)
  while let character = rest.popFirst() {
    switch (character, quote) {
    case (_, let open?) where character == open: quote = nil
    case ("\\", nil):
      guard let next = rest.popFirst() else { return nil }
      word = (word ?? "") + String(next)
    case ("\\", "\"") where rest.first == "\"" || rest.first == "\\":
      word = (word ?? "") + String(rest.removeFirst())
    case ("\"", nil), ("'", nil):
      quote = character
      word = word ?? ""
    case (_, nil) where character.isWhitespace:
      if let done = word { words.append(done) }
      word = nil
    default: word = (word ?? "") + String(character)
    }
  }
  guard quote == nil else { return nil }
  return words + (word.map { [$0] } ?? [])
}
