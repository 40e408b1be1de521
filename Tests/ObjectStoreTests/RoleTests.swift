import Digests
import HTTP
import Platform
import Testing

@testable import ObjectStore

private let role = "arn:aws:iam::123456789012:role/backup"

private func config(_ text: String) -> [String: String] { ["/home/u/.aws/config": text] }

struct WebIdentityTests {
  private let variables = [
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token", "AWS_ROLE_ARN": role, "AWS_ROLE_SESSION_NAME": "pod-1",
  ]
  private let files = ["/var/run/token": "jwt.of/pod\n"]

  @Test func thePodsTokenIsExchangedForTheCredentialsOfItsRole() async throws {
    let service = StandInService { _ in roleAnswer("AssumeRoleWithWebIdentity") }
    let found = try await find(.standIn(variables, files: files, service))
    #expect(
      found.credentials
        == Credentials(accessKey: "ASIAROLE", secretKey: "secret/role", sessionToken: "token+role="))
    #expect(found.expires == Timestamp(parsing: "2026-11-24T04:42:54Z"))
    #expect(found.origin == "the role \(role) by the web identity of AWS_WEB_IDENTITY_TOKEN_FILE")
    #expect(service.urls == ["POST https://sts.eu-west-1.amazonaws.com/"])
    let request = try #require(service.requests.first)
    #expect(request.header("Authorization") == nil)
    #expect(
      request.form == [
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": "pod-1",
        "RoleArn": "arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fbackup", "WebIdentityToken": "jwt.of%2Fpod",
      ])
  }

  @Test(arguments: [
    (["AWS_ENDPOINT_URL_STS": "http://minio:9000/", "AWS_ENDPOINT_URL": "http://x"], "http://minio:9000/"),
    (["AWS_ENDPOINT_URL": "http://minio:9000"], "http://minio:9000/"),
    (
      ["AWS_ENDPOINT_URL": "http://minio:9000", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"],
      "https://sts.eu-west-1.amazonaws.com/"
    ),
  ])
  func variablesNameAnotherService(_ more: [String: String], _ url: String) async throws {
    let service = StandInService { _ in roleAnswer("AssumeRoleWithWebIdentity") }
    _ = try await find(.standIn(variables.merging(more) { $1 }, files: files, service))
    #expect(service.urls == ["POST \(url)"])
  }

  @Test func chinaHasADomainOfItsOwn() async throws {
    let service = StandInService { _ in roleAnswer("AssumeRoleWithWebIdentity") }
    _ = try await find(.standIn(variables, files: files, service), region: "cn-north-1")
    #expect(service.urls == ["POST https://sts.cn-north-1.amazonaws.com.cn/"])
  }

  @Test func theServicesClockCountsForTheEndOfCredentials() async throws {
    // This machine's clock is two hours behind.
    let service = StandInService { _ in
      var answer = roleAnswer("AssumeRoleWithWebIdentity", expires: "2026-11-24T06:42:54Z")
      answer.headers = ["Date": "Tue, 24 Nov 2026 05:42:54 GMT"]
      return answer
    }
    let found = try await find(.standIn(variables, files: files, service))
    #expect(found.expires == Timestamp(parsing: "2026-11-24T04:42:54Z"))
  }

  @Test func aRefusalIsToldWithoutTheToken() async throws {
    let service = StandInService { _ in
      .text(
        """
        <ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>
        <Message>The token jwt.of/pod is\n not valid.</Message></Error></ErrorResponse>
        """, status: 400)
    }
    let failed = try #require(await failure(.standIn(variables, files: files, service)))
    #expect(failed.place == "the role \(role) by the web identity /var/run/token")
    #expect(failed.reason == "it answered HTTP 400: InvalidIdentityToken The token *** is not valid")
  }

  @Test func whatMayPassIsTriedAgain() async throws {
    let count = Counter()
    let service = StandInService { _ in
      switch count.next() {
      case 1: throw HTTPError.connect(reason: "no")
      case 2: return .text("", status: 503)
      default: return roleAnswer("AssumeRoleWithWebIdentity")
      }
    }
    #expect(try await find(.standIn(variables, files: files, service)).credentials.accessKey == "ASIAROLE")
    #expect(service.requests.count == 3)
    let down = StandInService { _ in throw HTTPError.connect(reason: "refused.") }
    #expect(await failure(.standIn(variables, files: files, down))?.reason == "refused")
    #expect(down.requests.count == 3)
  }

  @Test(arguments: [
    "", "<html><body>Sign in</body></html>", "{}", "<AssumeRoleWithWebIdentityResponse/>",
    "<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>",
    "<!DOCTYPE a [<!ENTITY b \"c\">]><AssumeRoleWithWebIdentityResponse>&b;</AssumeRoleWithWebIdentityResponse>",
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials/></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
  ])
  func anAnswerWithoutCredentialsIsAFailure(_ body: String) async {
    let service = StandInService { _ in .text(body) }
    #expect(await failure(.standIn(variables, files: files, service)) != nil)
  }

  @Test func halfASettingIsAnError() async {
    let half = ["AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"]
    await #expect(
      throws: CredentialsError.incomplete(
        place: "the environment variable AWS_WEB_IDENTITY_TOKEN_FILE", lacking: "AWS_ROLE_ARN")
    ) { try await find(.standIn(half, files: files)) }
    let empty = await failure(.standIn(variables, files: ["/var/run/token": " \n"]))
    #expect(empty?.reason == "the file is empty or holds more than a token")
  }

  @Test func aProfileNamesAWebIdentityToo() async throws {
    let service = StandInService { _ in roleAnswer("AssumeRoleWithWebIdentity") }
    let text = """
      [profile pod]
      role_arn = \(role)
      web_identity_token_file = ~/token
      region = us-west-2
      """
    let files = config(text).merging(["/home/u/token": "jwt"]) { $1 }
    let found = try await find(.standIn(["AWS_PROFILE": "pod"], files: files, service))
    #expect(found.origin.hasSuffix("by the web identity of the profile [pod] of /home/u/.aws/config"))
    #expect(service.urls == ["POST https://sts.us-west-2.amazonaws.com/"])
    #expect(service.requests.first?.form["WebIdentityToken"] == "jwt")
    #expect(service.requests.first?.form["RoleSessionName"] == "ckbackup-1795491774")
  }
}

struct AssumedRoleTests {
  private let base = """
    [profile base]
    aws_access_key_id = AKBASE
    aws_secret_access_key = basesecret
    aws_session_token = basetoken
    [profile backup]
    role_arn = \(role)
    source_profile = base
    external_id = ex/1
    role_session_name = night
    duration_seconds = 7200

    """

  @Test func theRequestIsSignedWithTheSourceProfile() async throws {
    let service = StandInService { _ in roleAnswer("AssumeRole") }
    let found = try await find(.standIn(["AWS_PROFILE": "backup"], files: config(base), service))
    #expect(found.credentials.accessKey == "ASIAROLE")
    #expect(
      found.origin
        == "the role \(role) of the profile [backup] of /home/u/.aws/config, assumed with the profile [base] of /home/u/.aws/config"
    )
    let request = try #require(service.requests.first)
    #expect(
      request.form == [
        "Action": "AssumeRole", "Version": "2011-06-15", "RoleSessionName": "night",
        "DurationSeconds": "7200",
        "RoleArn": "arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fbackup", "ExternalId": "ex%2F1",
      ])
    let signer = Signer(
      credentials: Credentials(accessKey: "AKBASE", secretKey: "basesecret", sessionToken: "basetoken"),
      region: "eu-west-1", service: "sts")
    let signed = signer.sign(
      "POST", path: "/", query: [],
      headers: [
        (name: "Host", value: "sts.eu-west-1.amazonaws.com"),
        (name: "Content-Type", value: "application/x-www-form-urlencoded; charset=utf-8"),
      ], payload: hex(SHA256.hash(Array(request.bodyText.utf8))), at: noon)
    for field in signed.headers { #expect(request.header(field.name) == field.value) }
    #expect(request.header("X-Amz-Security-Token") == "basetoken")
  }

  @Test func aClockThatIsOffIsPutRightByTheService() async throws {
    let date = Timestamp(seconds: noon.seconds + 7200)
    let service = StandInService { request in
      let isRight = request.header("X-Amz-Date") == date.basicUTC
      var answer =
        isRight
        ? roleAnswer("AssumeRole", expires: "2026-11-24T06:42:54Z")
        : .text(
          "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>", status: 403)
      answer.headers = ["Date": "Tue, 24 Nov 2026 05:42:54 GMT"]
      return answer
    }
    let found = try await find(.standIn(["AWS_PROFILE": "backup"], files: config(base), service))
    #expect(service.requests.count == 2)
    #expect(found.expires == Timestamp(parsing: "2026-11-24T04:42:54Z"))
  }

  @Test func rolesMayBuildOnRoles() async throws {
    let text = base + "[profile top]\nrole_arn = arn:aws:iam::1:role/top\nsource_profile = backup\n"
    let service = StandInService { request in
      roleAnswer("AssumeRole", access: request.bodyText.contains("top") ? "ASIATOP" : "ASIABACKUP")
    }
    let found = try await find(.standIn(["AWS_PROFILE": "top"], files: config(text), service))
    #expect(found.credentials.accessKey == "ASIATOP")
    #expect(service.requests.map { $0.header("Authorization")?.contains("ASIABACKUP") } == [false, true])
  }

  @Test func aProfileMayBuildItsRoleOnItsOwnKeys() async throws {
    let text = """
      [default]
      role_arn = \(role)
      source_profile = default
      aws_access_key_id = AKOWN
      aws_secret_access_key = x
      """
    let service = StandInService { _ in roleAnswer("AssumeRole") }
    #expect(try await find(.standIn(files: config(text), service)).credentials.accessKey == "ASIAROLE")
    #expect(service.requests.first?.header("Authorization")?.contains("AKOWN") == true)
  }

  @Test(arguments: [
    ("[default]\nrole_arn = r\nsource_profile = default\n", "leads back to [default]"),
    (
      "[default]\nrole_arn = r\nsource_profile = a\n[profile a]\nrole_arn = s\nsource_profile = b\n[profile b]\nrole_arn = t\nsource_profile = a\n",
      "leads back to [a]"
    ),
    ("[default]\nrole_arn = r\nsource_profile = none\n", "[none] is not there"),
    ("[default]\nrole_arn = r\nsource_profile = a\n[profile a]\nregion = x\n", "[a] names no credentials"),
    ("[default]\nrole_arn = r\n", "without what to assume the role with"),
    ("[default]\nrole_arn = r\nsource_profile = a\ncredential_source = Environment\n", "exclude each other"),
    ("[default]\nrole_arn = r\ncredential_source = Moon\n", "credential_source is Moon"),
    ("[default]\nrole_arn = r\nsource_profile = a\nmfa_serial = m\n", "one-time code"),
    (
      "[default]\nrole_arn = r\ncredential_source = Environment\n",
      "nothing to assume it with at AWS_ACCESS_KEY_ID"
    ),
  ])
  func aProfileThatCannotWorkSaysWhy(_ text: String, _ reason: String) async {
    let failed = await failure(.standIn(files: config(text)))
    #expect(failed?.reason.contains(reason) == true, "\(String(describing: failed))")
  }

  @Test func aRowOfProfilesHasAnEnd() async {
    let row = (0..<10_000).map { "[profile p\($0)]\nrole_arn=r\nsource_profile=p\($0 + 1)\n" }.joined()
    let failed = await failure(.standIn(["AWS_PROFILE": "p0"], files: config(row)))
    #expect(failed?.reason.contains("more than 16 profiles") == true)
  }

  @Test(arguments: [
    ("Environment", "AKENV"), ("EcsContainer", "ASIAKEYS"), ("Ec2InstanceMetadata", "ASIAKEYS"),
  ])
  func aRoleMayBuildOnTheMachinesOwnCredentials(_ source: String, _ access: String) async throws {
    let service = StandInService { request in
      if request.url.contains("sts") { return roleAnswer("AssumeRole") }
      return request.url.hasSuffix("credentials/") || request.url.hasSuffix("token")
        ? .text("name") : keysAnswer()
    }
    let variables = [
      "AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "x",
      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/c",
    ]
    let text = "[profile p]\nrole_arn = \(role)\ncredential_source = \(source)\n"
    let profile = ProfileCredentials(profile: "p", .standIn(variables, files: config(text), service))
    #expect(try await profile.find().credentials.accessKey == "ASIAROLE")
    #expect(service.requests.last?.header("Authorization")?.contains(access) == true)
  }
}
