import Testing

@testable import Commands

@Suite("Credentials in addresses") struct CredentialsInTextTests {
  @Test(
    "user, password and query of every address are masked",
    arguments: [
      "https://user:secret@host/r.git", "https://u:se/cret@host/", "a=https://x, b=https://u:secret@h;c",
      "https://host/r.git?private_token=secret", "ssh://secret@x@host/path",
    ])
  func masked(_ text: String) {
    let clean = withoutCredentials(text)
    #expect(!clean.contains("secret") && !clean.contains("se/cret"), "\(clean)")
  }

  @Test(
    "other text stays as it is",
    arguments: ["plain", "git@host:group/r.git", "https://host/r.git", "a@b c://d/e"])
  func untouched(_ text: String) {
    #expect(withoutCredentials(text) == text)
  }
}
