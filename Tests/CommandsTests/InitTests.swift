import FoundationEssentials
import Glibc
import ObjectStore
import TestSupport
import Testing

@testable import Commands

@Test func aDraftIsAFileThatSaysTheSame() throws {
  let scratch = try Scratch()
  let path = "\(scratch.path)/c.toml"
  var draft = InitDraft(kind: .other)
  draft.repository = "s3://bucket/odd \"prefix\\\u{7f}"
  (draft.endpoint, draft.region, draft.caFile) = ("https://h:9000", "x-1", "/a b.pem")
  for profile in [nil, "backup"] {
    draft.profile = profile
    try NewFile.write(draft.document, to: path, replacing: profile != nil)
    var read = Configuration()
    try ConfigurationFile.load(named: path, environment: [:], into: &read)
    #expect(read.repository == draft.repository && read.endpoint == draft.endpoint)
    #expect(read.region == "x-1" && read.caFile == "/a b.pem" && read.profile == profile)
    // Each line says what it means, or is what the line before explains.
    let lines = draft.document.split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() where line.contains(" = ") && !line.hasPrefix("#") {
      #expect(lines[index - 1].hasPrefix("# "), "\(line)")
    }
  }
}

@Test func aFileIsNotReplacedWithoutBeingTold() throws {
  let scratch = try Scratch()
  let path = "\(scratch.path)/c.toml"
  try NewFile.write("a", to: path, replacing: false)
  #expect(throws: (any Error).self) { try NewFile.write("b", to: path, replacing: false) }
  #expect(try String(contentsOfFile: path, encoding: .utf8) == "a")
}

@Test(.enabled(if: isatty(STDIN_FILENO) == 0)) func questionsNeedATerminal() async {
  #expect(await CommandLine.run(["init", "--interactive"], variables: ["HOME": "/nowhere"]) == 2)
}

@Test(arguments: [
  ("SSL certificate problem: unable to get local issuer certificate", "--ca-file"),
  ("SSL certificate problem: self-signed certificate in certificate chain", "--ca-file"),
  ("SSL certificate problem: certificate has expired", "Renew"),
  ("SSL certificate problem: certificate is not yet valid", "clock"),
  ("SSL: no alternative certificate subject name matches target host name 'h'", "another name"),
  (
    "OpenSSL SSL_read: error:0A00045C:SSL routines::tlsv13 alert certificate required, errno 0",
    "client_certificate"
  ),
  ("error:0A000418:SSL routines::tlsv1 alert unknown ca", "trusts its authority"),
  ("error setting certificate verify locations:  CAfile: /x CApath: none", "ca_file"),
  ("unable to set private key file: '/x' type PEM", "client_key"),
])
func aCertificateThatIsNotTakenSaysWhatToDo(_ reason: String, _ words: String) {
  let text = ErrorText(StoreError.untrusted(endpoint: "https://h", reason: reason))
  #expect(text.code == .failed && text.sentences.joined().contains(words), "\(text.sentences)")
}
