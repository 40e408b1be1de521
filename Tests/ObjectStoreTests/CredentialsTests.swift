import ObjectStore
import Platform
import TestSupport
import Testing

struct CredentialsTests {
  @Test func secretsAreNeverShown() {
    let credentials = Credentials(accessKey: "AKIA", secretKey: "s3cr3t", sessionToken: "t0k3n")
    var dumped = ""
    dump(credentials, to: &dumped)
    dump([Optional(credentials)], to: &dumped)
    dump(StaticCredentials(credentials), to: &dumped)
    for text in [
      "\(credentials)", String(reflecting: credentials), String(describing: [credentials]), dumped,
    ] {
      #expect(!text.contains("s3cr3t") && !text.contains("t0k3n") && text.contains("AKIA"))
    }
  }

  @Test func variablesGiveCredentials() async throws {
    let names = [
      "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c", "X": "x", "Y": "y",
    ]
    let usual = EnvironmentCredentials(environment: names)
    #expect(try await usual.credentials() == Credentials(accessKey: "a", secretKey: "b", sessionToken: "c"))
    let own = EnvironmentCredentials(environment: names, accessKey: "X", secretKey: "Y", sessionToken: nil)
    #expect(try await own.credentials() == Credentials(accessKey: "x", secretKey: "y"))
  }

  @Test func halfCredentialsAreAnErrorThatNamesTheOtherHalf() async {
    let error = await #expect(throws: CredentialsError.self) {
      let environment = ["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": ""]
      return try await CredentialsChain(environment: environment).credentials()
    }
    guard case .incomplete(_, "AWS_SECRET_ACCESS_KEY") = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func missingCredentialsSayWhereWasLooked() async {
    let place = "the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    await #expect(throws: CredentialsError.missing(looked: [place, "/nowhere/.aws/credentials"])) {
      try await CredentialsChain(environment: ["HOME": "/nowhere"]).credentials()
    }
  }

  @Test func profilesAreReadAsAWSReadsThem() async throws {
    let file = """
      # comment
      [default]
      aws_access_key_id = AKDEFAULT
      aws_secret_access_key=se/cr=et+#1 ; comment
      [ other ] # comment
      AWS_ACCESS_KEY_ID=AKOTHER
      aws_secret_access_key = x
      s3 =
        aws_secret_access_key = nested
      aws_session_token = token==
      ;aws_session_token = no
      broken line
      [half]
      aws_access_key_id = AKHALF
      [default]
      aws_access_key_id = AKAGAIN
      """
    let read: @Sendable (String) async throws -> [UInt8]? = { path in
      path == "/home/u/.aws/credentials" ? Array(file.utf8) : nil
    }
    func profile(_ name: String?, _ extra: [String: String] = [:]) async throws -> Credentials {
      let environment = ["HOME": "/home/u"].merging(extra) { $1 }
      return try await ProfileCredentials(environment: environment, profile: name, read: read).credentials()
    }
    #expect(try await profile(nil) == Credentials(accessKey: "AKAGAIN", secretKey: "se/cr=et+#1"))
    let other = Credentials(accessKey: "AKOTHER", secretKey: "x", sessionToken: "token==")
    #expect(try await profile("other") == other)
    #expect(try await profile(nil, ["AWS_PROFILE": "other"]) == other)
    await #expect(
      throws: CredentialsError.incomplete(
        place: "the profile [half] of /home/u/.aws/credentials", lacking: "aws_secret_access_key")
    ) { try await profile("half") }
    await #expect(
      throws: CredentialsError.missing(looked: ["the profile [none] of /home/u/.aws/credentials"])
    ) { try await profile("none") }
    await #expect(throws: CredentialsError.missing(looked: ["/else"])) {
      try await profile(nil, ["AWS_SHARED_CREDENTIALS_FILE": "/else"])
    }
  }

  @Test func profilesAreReadOnceAMinute() async throws {
    let (reads, now) = (Counter(), Counter())
    let provider = ProfileCredentials(
      environment: ["HOME": "/home/u"],
      read: { _ in Array("[default]\naws_access_key_id=A\naws_secret_access_key=\(reads.next())\n".utf8) },
      clock: { Double(now.value) * 20 })
    for expected in ["1", "1", "1", "2", "2"] {
      #expect(try await provider.credentials().secretKey == expected)
      _ = now.next()
    }
  }

  @Test func aProfileThatWasRenewedIsReadAtOnceWhenTheOldOneIsRefused() async throws {
    let reads = Counter()
    let provider = ProfileCredentials(
      environment: ["HOME": "/home/u"],
      read: { _ in
        Array("[default]\naws_access_key_id=A\naws_secret_access_key=\(max(2, reads.next()))\n".utf8)
      }, clock: { 0 })
    let chain = CredentialsChain([EnvironmentCredentials(environment: [:]), provider])
    let old = try await chain.credentials()
    #expect(try await chain.renewed(insteadOf: old) == nil)
    #expect(try await chain.renewed(insteadOf: old)?.secretKey == "3")
    #expect(try await chain.credentials().secretKey == "3")
    #expect(try await StaticCredentials(old).renewed(insteadOf: old) == nil)
  }

  @Test func credentialsFilesAreReadFromTheDisk() async throws {
    let place = try Scratch()
    let store = try DirectoryStore(root: place.path)
    try await store.put(
      "creds", Payload(Array("[default]\naws_access_key_id=A\naws_secret_access_key=B\n".utf8)))
    let environment = ["AWS_SHARED_CREDENTIALS_FILE": place.path + "/creds"]
    #expect(
      try await CredentialsChain(environment: environment).credentials()
        == Credentials(accessKey: "A", secretKey: "B"))
  }
}
