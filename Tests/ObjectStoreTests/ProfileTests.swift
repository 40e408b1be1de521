import HTTP
import ObjectStore
import Platform
import TestSupport
import Testing

/// Both files of `/home/u`.
private func files(_ credentials: String? = nil, _ config: String? = nil) -> [String: String] {
  var files: [String: String] = [:]
  files["/home/u/.aws/credentials"] = credentials
  files["/home/u/.aws/config"] = config
  return files
}

private func profile(_ name: String?, _ surroundings: CredentialsSurroundings) async throws
  -> FoundCredentials
{
  try await ProfileCredentials(profile: name, region: "eu-west-1", surroundings).find()
}

struct ProfileTests {
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
    func keys(_ name: String?, _ variables: [String: String] = [:]) async throws -> Credentials {
      try await profile(name, .standIn(variables, files: files(file))).credentials
    }
    #expect(try await keys(nil) == Credentials(accessKey: "AKAGAIN", secretKey: "se/cr=et+#1"))
    let other = Credentials(accessKey: "AKOTHER", secretKey: "x", sessionToken: "token==")
    #expect(try await keys("other") == other)
    #expect(try await keys(nil, ["AWS_PROFILE": "other"]) == other)
    #expect(try await keys(nil, ["AWS_DEFAULT_PROFILE": "other", "AWS_PROFILE": ""]) == other)
    await #expect(
      throws: CredentialsError.incomplete(
        place: "the profile [half] of /home/u/.aws/credentials", lacking: "aws_secret_access_key")
    ) { try await keys("half") }
    await #expect(
      throws: CredentialsError.missing(looked: ["the profile [default] of /else and /home/u/.aws/config"])
    ) {
      try await keys(nil, ["AWS_SHARED_CREDENTIALS_FILE": "/else"])
    }
    await #expect(
      throws: CredentialsError.missing(looked: [
        "the profile [default] of ~/.aws/credentials (HOME is not set)"
      ])
    ) {
      try await keys(nil, ["HOME": ""])
    }
  }

  @Test func aProfileThatSomebodyNamedMustBeThere() async {
    let failed = await failure(.standIn(["AWS_PROFILE": "none"], files: files("[default]\n")))
    #expect(failed?.place == "the profile [none]")
    #expect(failed?.reason.contains("/home/u/.aws/credentials and /home/u/.aws/config") == true)
    let places = CredentialsSurroundings.standIn(
      ["AWS_PROFILE": "p"], files: files(nil, "[profile p]\nregion=x\n"))
    // It may be named for its region, and the credentials are the instance's.
    await #expect(throws: CredentialsError.missing(looked: ["the profile [p] of /home/u/.aws/config"])) {
      try await ProfileCredentials(places).find()
    }
    await #expect(throws: CredentialsError.self) { try await ProfileCredentials(profile: "p", places).find() }
  }

  @Test func theConfigurationFileHasProfilesTooAndTheCredentialsFileBeatsIt() async throws {
    let config = """
      [profile  "my team"]
      aws_access_key_id = AKCONFIG
      aws_secret_access_key = config
      [both]
      aws_access_key_id = AKWRONG
      aws_secret_access_key = wrong
      [profile both]
      aws_access_key_id = AKCONFIG
      aws_secret_access_key = config
      """
    let both = files("[both]\naws_access_key_id = AKCREDENTIALS\naws_secret_access_key = c\n", config)
    let found = try await profile("my team", .standIn(files: both))
    #expect(found.credentials.accessKey == "AKCONFIG")
    #expect(found.origin == "the profile [my team] of /home/u/.aws/config")
    let merged = try await profile("both", .standIn(files: both))
    #expect(merged.credentials == Credentials(accessKey: "AKCREDENTIALS", secretKey: "c"))
    #expect(merged.origin == "the profile [both] of /home/u/.aws/credentials and /home/u/.aws/config")
    let elsewhere = CredentialsSurroundings.standIn(
      ["AWS_CONFIG_FILE": "~/conf"], files: ["/home/u/conf": config])
    #expect(try await profile("both", elsewhere).credentials.accessKey == "AKCONFIG")
  }

  @Test func theConfigurationFileIsKnownWithoutAHomeDirectory() async throws {
    let text = """
      [profile default]
      aws_access_key_id = AKLONG
      aws_secret_access_key = x
      [default]
      aws_access_key_id = AKSHORT
      """
    let surroundings = CredentialsSurroundings.standIn(
      ["HOME": "", "AWS_CONFIG_FILE": "/conf"], files: ["/conf": text])
    #expect(try await profile(nil, surroundings).credentials.accessKey == "AKLONG")
  }

  @Test func aProfileTellsRegionAndEndpoint() throws {
    let place = try Scratch()
    let path = place.path + "/config"
    try place.write("config", "[profile p]\nregion = eu-north-1\nendpoint_url = http://minio:9000\n")
    let variables = ["AWS_CONFIG_FILE": path, "AWS_SHARED_CREDENTIALS_FILE": place.path + "/none"]
    let named = ProfileSettings(profile: "p", environment: variables)
    #expect(named.region == "eu-north-1" && named.endpoint == "http://minio:9000")
    let usual = ProfileSettings(profile: nil, environment: variables)
    #expect(usual.region == nil && usual.endpoint == nil)
    let byVariable = variables.merging(["AWS_PROFILE": "p"]) { $1 }
    #expect(ProfileSettings(profile: nil, environment: byVariable) == named)
    let ignoring = byVariable.merging(["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"]) { $1 }
    #expect(ProfileSettings(profile: nil, environment: ignoring).endpoint == nil)
  }

  @Test func credentialsFilesAreReadFromTheDisk() async throws {
    let place = try Scratch()
    try place.write("creds", "[default]\naws_access_key_id=A\naws_secret_access_key=B\n")
    let variables = ["AWS_SHARED_CREDENTIALS_FILE": place.path + "/creds"]
    let chain = CredentialsChain.standard(
      for: .other, region: "r", CredentialsSurroundings(variables: variables))
    #expect(try await chain.find().credentials == Credentials(accessKey: "A", secretKey: "B"))
  }

  @Test(arguments: [
    ("/opt/helper --user helen", ["/opt/helper", "--user", "helen"]),
    ("\"/opt/my helper\" 'a b'  c\\ d", ["/opt/my helper", "a b", "c d"]),
    ("x \"a\\\"b\\c\" '\\' \"\" e\"f\"g", ["x", "a\"b\\c", "\\", "", "efg"]),
  ])
  func aProgramsLineIsSplitAsTheAWSCLIDoes(_ line: String, _ words: [String]) async throws {
    let surroundings = CredentialsSurroundings.standIn(
      files: files(nil, "[default]\ncredential_process = \(line)\n")
    ) { run in
      run == words ? "{\"Version\": 1, \"AccessKeyId\": \"AKPROGRAM\", \"SecretAccessKey\": \"s\"}" : nil
    }
    #expect(
      try await profile(nil, surroundings).credentials == Credentials(accessKey: "AKPROGRAM", secretKey: "s"))
  }

  @Test(arguments: [
    (nil, "is not there, failed"), ("", "something else"), ("<html>", "something else"),
    ("[]", "something else"),
    ("{\"AccessKeyId\": \"a\", \"SecretAccessKey\": \"s3cr3t\"}", "not of Version 1"),
    ("{\"Version\": 2, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"s3cr3t\"}", "not of Version 1"),
    ("{\"Version\": 1, \"AccessKeyId\": \"a\"}", "no access key and secret key"),
    (
      "{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"s3cr3t\", \"Expiration\": \"soon\"}",
      "cannot be read"
    ),
    (
      "{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"s3cr3t\", \"Expiration\": \"2026-11-24T04:42:53+01:00\"}",
      "ended at 2026-11-24T03:42:53Z"
    ),
  ])
  func aProgramThatGivesNoCredentialsIsNamed(_ output: String?, _ reason: String) async {
    let surroundings = CredentialsSurroundings.standIn(
      files: files(nil, "[default]\ncredential_process = /opt/helper x\n")
    ) { _ in output }
    let failed = await failure(surroundings)
    #expect(failed?.place == "credential_process of the profile [default] of /home/u/.aws/config")
    #expect(failed?.reason.contains(reason) == true, "\(String(describing: failed))")
    #expect(!"\(String(describing: failed))".contains("s3cr3t"))
  }

  @Test func aProgramWithoutAnEndOfItsQuotesIsRefused() async {
    let failed = await failure(.standIn(files: files(nil, "[default]\ncredential_process = a 'b\n")))
    #expect(failed?.reason.contains("quote") == true)
  }

  @Test func aProgramIsRunAndItsErrorsAreDropped() async throws {
    let place = try Scratch()
    try place.write(
      "helper.sh",
      "echo s3cr3t >&2\necho '{\"Version\": 1, \"AccessKeyId\": \"AKRUN\", \"SecretAccessKey\": \"'$1'\", \"Expiration\": \"2999-01-01T00:00:00Z\"}'\n"
    )
    try place.write(
      "config", "[default]\ncredential_process = /bin/sh \(place.path)/helper.sh 'a b'\n")
    let surroundings = CredentialsSurroundings(variables: ["AWS_CONFIG_FILE": place.path + "/config"])
    let found = try await ProfileCredentials(surroundings).find()
    #expect(found.credentials == Credentials(accessKey: "AKRUN", secretKey: "a b"))
    #expect(found.expires == Timestamp(parsing: "2999-01-01T00:00:00Z"))
    #expect(found.origin.hasPrefix("/bin/sh, the credential_process of the profile [default]"))
  }
}
