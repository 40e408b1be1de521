import HTTP
import ObjectStore
import Platform
import TestSupport
import Testing

struct ContainerTests {
  @Test func theAgentOfECSIsAskedByARelativePath() async throws {
    let service = StandInService { _ in keysAnswer() }
    let variables = [
      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1?x=y",
      "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/never",
    ]
    let found = try await find(.standIn(variables, service))
    #expect(
      found.credentials
        == Credentials(accessKey: "ASIAKEYS", secretKey: "secret/keys", sessionToken: "token+keys="))
    #expect(found.origin == "the role of this container")
    #expect(service.urls == ["GET http://169.254.170.2/v2/credentials/1?x=y"])
  }

  @Test func thePodIdentityAgentGetsTheTokenOfTheFile() async throws {
    let service = StandInService { _ in keysAnswer() }
    let variables = [
      "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
      "AWS_CONTAINER_AUTHORIZATION_TOKEN": "variable",
      "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/token",
    ]
    _ = try await find(.standIn(variables, files: ["/var/run/token": "jwt\n"], service))
    #expect(service.requests.first?.header("Authorization") == "jwt")
    var without = variables
    without["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = nil
    _ = try await find(.standIn(without, service))
    #expect(service.requests.last?.header("Authorization") == "variable")
    await #expect(throws: CredentialsError.unreadable(path: "/var/run/token", reason: "it is not there")) {
      try await find(.standIn(variables, service))
    }
  }

  @Test(arguments: [
    "https://agent.example/x", "http://localhost:8080/x", "http://127.9.8.7/x", "http://[::1]:80/x",
    "http://169.254.170.2/x", "http://169.254.170.23/x", "http://[fd00:ec2::23]/x",
  ])
  func tokensGoToTheseHosts(_ url: String) async throws {
    let service = StandInService { _ in keysAnswer() }
    let variables = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t"]
    _ = try await find(.standIn(variables, service))
    #expect(service.urls == ["GET \(url)"])
  }

  @Test(arguments: [
    "http://agent.example/x", "http://169.254.169.254/x", "http://127.0.0.1.evil.example/x",
    "http://127.0.0.1@evil.example/x", "http://evil.example#@127.0.0.1/", "http://127.1/x",
    "http://localhost.evil/x",
    "ftp://127.0.0.1/x", "/credentials", "http:///x",
  ])
  func tokensGoToNoOtherHost(_ url: String) async {
    let service = StandInService { _ in keysAnswer() }
    let variables = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t"]
    #expect(await failure(.standIn(variables, service))?.place == "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    #expect(service.requests.isEmpty)
  }

  @Test func aTokenThatWouldBreakAHeaderIsNotSent() async {
    let service = StandInService { _ in keysAnswer() }
    let variables = [
      "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/",
      "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\r\nX: y",
    ]
    #expect(await failure(.standIn(variables, service)) != nil)
    #expect(service.requests.isEmpty)
  }

  /// Over a real connection: what a hostile agent may do.
  @Test(arguments: [
    ("HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/stolen\r\nContent-Length: 0\r\n\r\n", "a redirect"),
    (
      "HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n" + String(repeating: "x", count: 1_000_000),
      "more than 65536 bytes"
    ),
    ("HTTP/1.1 200 X\r\nContent-Length: 22\r\n\r\n<html>Sign in!!</html>", "an HTML page"),
    ("HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\n[[[[", "something else"),
    (
      "HTTP/1.1 403 X\r\nContent-Length: 31\r\n\r\n{\"message\": \"no, t0k3n, never\"}",
      "HTTP 403: no, ***, never"
    ),
    ("HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n", "an empty body"),
    (
      "HTTP/1.1 200 X\r\nContent-Length: 40\r\n\r\n{\"AccessKeyId\":7,\"SecretAccessKey\":\"abc\"}",
      "something else"
    ),
  ])
  func aHostileAgentDoesNoHarm(_ answer: String, _ reason: String) async throws {
    let server = try TestServer { _ in .rawThenClose(Array(answer.utf8)) }
    var surroundings = CredentialsSurroundings(variables: [
      "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(server.url)/", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t0k3n",
    ])
    surroundings.sleep = { _ in }
    let failed = try #require(await failure(surroundings))
    #expect(failed.reason.contains(reason), "\(failed)")
    #expect(!"\(failed)".contains("t0k3n"))
  }
}

struct EC2InstanceTests {
  private let instance = StandInService { request in
    switch (request.method, request.url.split(separator: "/").last) {
    case ("PUT", "token"): .text("s3ss10n")
    case ("GET", "security-credentials"): .text("backup-role\n")
    case ("GET", "backup-role"): keysAnswer()
    default: .text("", status: 404)
    }
  }

  @Test func theRoleOfTheInstanceIsAskedInASession() async throws {
    let found = try await find(.standIn([:], instance))
    #expect(found.credentials.accessKey == "ASIAKEYS")
    #expect(found.origin == "the role backup-role of this EC2 instance")
    let base = "http://169.254.169.254/latest"
    #expect(
      instance.urls == [
        "PUT \(base)/api/token", "GET \(base)/meta-data/iam/security-credentials/",
        "GET \(base)/meta-data/iam/security-credentials/backup-role",
      ])
    #expect(instance.requests[0].header("X-aws-ec2-metadata-token-ttl-seconds") == "21600")
    #expect(instance.requests[1...].allSatisfy { $0.header("X-aws-ec2-metadata-token") == "s3ss10n" })
  }

  @Test func anotherAddressIsAskedAtAnyServer() async throws {
    let variables = ["AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1338/"]
    _ = try await find(.standIn(variables, instance), for: .other)
    #expect(instance.urls.first == "PUT http://127.0.0.1:1338/latest/api/token")
    let six = ["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"]
    _ = try await find(.standIn(six, instance))
    #expect(instance.urls.last?.hasPrefix("GET http://[fd00:ec2::254]/") == true)
  }

  @Test func itIsNotAskedWhereThatIsTurnedOffNorForOtherServers() async {
    await #expect(throws: CredentialsError.self) {
      try await find(.standIn(["AWS_EC2_METADATA_DISABLED": "TRUE"], instance))
    }
    await #expect(throws: CredentialsError.self) { try await find(.standIn([:], instance), for: .other) }
    #expect(instance.requests.isEmpty)
  }

  @Test(arguments: [
    (404, "", "HTTP 404 instead of a token"), (200, "<html>Sign in</html>", "HTTP 200 instead of a token"),
    (200, "a\r\nb", "HTTP 200 instead of a token"), (302, "", "HTTP 302 instead of a token"),
  ])
  func whatGivesNoTokenIsNoMetadataService(_ status: Int, _ body: String, _ why: String) async {
    let service = StandInService { _ in .text(body, status: status) }
    do {
      _ = try await find(.standIn([:], service))
      Issue.record("it gave credentials")
    } catch CredentialsError.missing(let looked) {
      #expect(looked.last == "the EC2 metadata service (\(why))")
    } catch {
      Issue.record("\(error)")
    }
    #expect(service.requests.count == 1)
  }

  @Test func anInstanceWithoutARoleHasNoCredentials() async {
    let service = StandInService { $0.method == "PUT" ? .text("t") : .text("", status: 404) }
    let error = await #expect(throws: CredentialsError.self) { try await find(.standIn([:], service)) }
    #expect("\(String(describing: error))".contains("the instance has no role"))
  }

  @Test(arguments: ["../../api", "a b", "", "<html>", String(repeating: "x", count: 200)])
  func aRolesNameIsNoPath(_ name: String) async {
    let service = StandInService { request in
      request.method == "PUT" ? .text("t") : request.url.hasSuffix("/") ? .text(name) : keysAnswer()
    }
    #expect(await failure(.standIn([:], service))?.reason == "the name of the role cannot be read")
    #expect(service.requests.count == 2)
  }

  @Test func aFailureIsToldInTheServicesWords() async {
    let service = StandInService { request in
      request.method == "PUT" || request.url.hasSuffix("/")
        ? .text("role")
        : .text("{\"Code\": \"AssumeRoleUnauthorizedAccess\", \"Message\": \"EC2 cannot assume it.\"}")
    }
    let failed = await failure(.standIn([:], service))
    #expect(failed?.reason == "it says AssumeRoleUnauthorizedAccess EC2 cannot assume it")
  }

  @Test func aMachineWithoutTheServiceWaitsForASecondOnly() async throws {
    // 192.0.2.0/24 is nobody's (RFC 5737): packets vanish or are refused.
    let surroundings = CredentialsSurroundings(variables: [
      "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://192.0.2.1", "HOME": "/nowhere",
    ])
    let error = await #expect(throws: CredentialsError.self) { try await find(surroundings) }
    // libcurl says how long it waited; this test may wait longer for its turn.
    let waited = "\(String(describing: error))".firstMatch(of: /after (\d+) (ms|milliseconds)/)
    if let waited { #expect(try #require(Int(waited.1)) < 5000) }
  }
}

struct AlibabaInstanceTests {
  private func instance(hardened: Bool, _ role: String = "backup") -> StandInService {
    StandInService { request in
      if request.method == "PUT" { return hardened ? .text("s3ss10n") : .text("", status: 404) }
      if request.url.hasSuffix("/") { return .text(role) }
      return .text(
        """
        {"AccessKeyId": "STS.abc", "AccessKeySecret": "s", "SecurityToken": "t", "Code": "Success",
         "LastUpdated": "2026-11-24T03:42:54Z", "Expiration": "2026-11-24T09:42:54Z"}
        """)
    }
  }

  @Test func theRoleOfTheInstanceIsAskedInTheHardenedMode() async throws {
    let service = instance(hardened: true)
    let found = try await find(.standIn([:], service), for: .alibaba)
    #expect(found.credentials == Credentials(accessKey: "STS.abc", secretKey: "s", sessionToken: "t"))
    #expect(found.expires == Timestamp(parsing: "2026-11-24T09:42:54Z"))
    #expect(found.origin == "the role backup of this ECS instance")
    let base = "http://100.100.100.200/latest"
    #expect(
      service.urls == [
        "PUT \(base)/api/token", "GET \(base)/meta-data/ram/security-credentials/",
        "GET \(base)/meta-data/ram/security-credentials/backup",
      ])
    #expect(service.requests[0].header("X-aliyun-ecs-metadata-token-ttl-seconds") == "21600")
    #expect(service.requests[2].header("X-aliyun-ecs-metadata-token") == "s3ss10n")
  }

  @Test func variablesNameTheRoleAndTurnThingsOff() async throws {
    let plain = instance(hardened: false)
    let variables = ["ALIBABA_CLOUD_ECS_METADATA": "named"]
    _ = try await find(.standIn(variables, plain), for: .alibaba)
    #expect(plain.urls.last?.hasSuffix("/named") == true && plain.requests.count == 2)
    #expect(plain.requests[1].header("X-aliyun-ecs-metadata-token") == nil)
    for off in ["ALIBABA_CLOUD_IMDSV1_DISABLED", "ALIBABA_CLOUD_ECS_METADATA_DISABLED"] {
      await #expect(throws: CredentialsError.self) {
        try await find(.standIn(variables.merging([off: "true"]) { $1 }, plain), for: .alibaba)
      }
    }
    await #expect(throws: CredentialsError.self) { try await find(.standIn(variables, plain), for: .other) }
  }
}
