import HTTP
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
    dump(FoundCredentials(credentials, origin: "AKIA's"), to: &dumped)
    for text in [
      "\(credentials)", String(reflecting: credentials), String(describing: [credentials]), dumped,
    ] {
      #expect(!text.contains("s3cr3t") && !text.contains("t0k3n") && text.contains("AKIA"))
    }
  }

  @Test func anAccessKeyIsMaskedSoThatItsOwnerKnowsItAgain() {
    func masked(_ key: String) -> String {
      Credentials(accessKey: key, secretKey: "").maskedAccessKey
    }
    #expect(masked("AKIAIOSFODNN7EXAMPLE") == "AKIA…MPLE")
    #expect(masked("minioadmin") == "mi…")
    let found = FoundCredentials(
      Credentials(accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "x"), origin: "a place")
    #expect("\(found)" == "AKIA…MPLE from a place")
  }

  @Test func variablesGiveCredentials() async throws {
    let names = [
      "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c", "X": "x", "Y": "y",
    ]
    let usual = try await EnvironmentCredentials(environment: names).find()
    #expect(usual.credentials == Credentials(accessKey: "a", secretKey: "b", sessionToken: "c"))
    let own = EnvironmentCredentials(environment: names, accessKey: "X", secretKey: "Y", sessionToken: nil)
    #expect(try await own.find().credentials == Credentials(accessKey: "x", secretKey: "y"))
    #expect(try await own.find().origin == "the environment variables X and Y")
  }

  @Test func halfCredentialsAreAnErrorThatNamesTheOtherHalf() async {
    let error = await #expect(throws: CredentialsError.self) {
      try await find(.standIn(["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": ""]))
    }
    guard case .incomplete(_, "AWS_SECRET_ACCESS_KEY") = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func missingCredentialsSayWhereWasLooked() async {
    await #expect(
      throws: CredentialsError.missing(looked: [
        "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE",
        "the profile [default] of /home/u/.aws/credentials and /home/u/.aws/config",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "the EC2 metadata service (nobody is there)",
      ])
    ) { try await find(.standIn()) }
    await #expect(
      throws: CredentialsError.missing(looked: [
        "AWS_ACCESS_KEY_ID", "MINIO_ROOT_USER", "MINIO_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE",
        "the profile [default] of /home/u/.aws/credentials and /home/u/.aws/config",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
      ])
    ) { try await find(.standIn(), for: .other) }
  }

  @Test(arguments: [
    (S3Settings.Cloud.amazon, nil), (.alibaba, "o"), (.other, "m"),
  ])
  func toolsVariablesCountAtTheirOwnServersOnly(_ cloud: S3Settings.Cloud, _ access: String?) async throws {
    let variables = [
      "OSS_ACCESS_KEY_ID": "o", "OSS_ACCESS_KEY_SECRET": "p", "OSS_SESSION_TOKEN": "q",
      "MINIO_ROOT_USER": "m",
      "MINIO_ROOT_PASSWORD": "n",
    ]
    let found = try? await find(.standIn(variables), for: cloud)
    #expect(found?.credentials.accessKey == access)
    let both = variables.merging(["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"]) { $1 }
    #expect(try await find(.standIn(both), for: cloud).credentials.accessKey == "a")
  }

  @Test func theOtherNamesOfToolsCountToo() async throws {
    let alibaba = [
      "ALIBABA_CLOUD_ACCESS_KEY_ID": "a", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "b",
      "ALIBABA_CLOUD_SECURITY_TOKEN": "c",
    ]
    #expect(
      try await find(.standIn(alibaba), for: .alibaba).credentials
        == Credentials(accessKey: "a", secretKey: "b", sessionToken: "c"))
    let minio = ["MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "b"]
    #expect(
      try await find(.standIn(minio), for: .other).credentials == Credentials(accessKey: "a", secretKey: "b"))
  }

  @Test func anEndpointTellsWhoseServerItIs() throws {
    func cloud(_ endpoint: String?) throws -> S3Settings.Cloud {
      try S3Settings(endpoint: endpoint, bucket: "bucket").cloud
    }
    #expect(try cloud(nil) == .amazon)
    #expect(try cloud("https://s3.cn-north-1.amazonaws.com.cn") == .amazon)
    #expect(try cloud("https://s3.oss-cn-hangzhou-internal.aliyuncs.com") == .alibaba)
    #expect(try cloud("https://aliyuncs.com.evil.example") == .other)
    #expect(try cloud("http://127.0.0.1:9000") == .other)
  }

  @Test func theOrderIsThatOfAWSsTools() async throws {
    // Each time the first of those that are there is taken away.
    let service = StandInService { request in
      if request.url.contains("sts") { return roleAnswer("AssumeRoleWithWebIdentity") }
      if request.url.contains("169.254.170.2") { return keysAnswer("ASIACONTAINER") }
      if request.url.hasSuffix("token") { return .text("t") }
      return request.url.hasSuffix("credentials/") ? .text("r") : keysAnswer("ASIAINSTANCE")
    }
    var variables = [
      "AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "b",
      "AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/c",
    ]
    var files = [
      "/token": "jwt", "/home/u/.aws/config": "[default]\naws_access_key_id=AKFILE\naws_secret_access_key=x",
    ]
    func next() async throws -> String {
      try await find(.standIn(variables, files: files, service)).credentials.accessKey
    }
    #expect(try await next() == "AKENV")
    variables["AWS_ACCESS_KEY_ID"] = nil
    variables["AWS_SECRET_ACCESS_KEY"] = nil
    #expect(try await next() == "ASIAROLE")
    variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = nil
    #expect(try await next() == "AKFILE")
    files["/home/u/.aws/config"] = nil
    #expect(try await next() == "ASIACONTAINER")
    variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = nil
    #expect(try await next() == "ASIAINSTANCE")
  }

  @Test func aPlaceThatIsSetUpAndFailsEndsTheSearch() async {
    let files = ["/home/u/.aws/credentials": "[default]\naws_access_key_id=AKFILE\naws_secret_access_key=x"]
    let variables = ["AWS_WEB_IDENTITY_TOKEN_FILE": "/gone", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"]
    await #expect(throws: CredentialsError.unreadable(path: "/gone", reason: "it is not there")) {
      try await find(.standIn(variables, files: files))
    }
  }

  @Test func keysThatWouldBreakAHeaderAreRefused() async {
    let variables = ["AWS_ACCESS_KEY_ID": "a\nX-Evil: 1", "AWS_SECRET_ACCESS_KEY": "hidden"]
    let failed = await failure(.standIn(variables))
    #expect(failed?.reason.contains("characters that no key has") == true)
    #expect(!"\(String(describing: failed))".contains("hidden"))
  }
}
