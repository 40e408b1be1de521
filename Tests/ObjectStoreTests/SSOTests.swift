import HTTP
import ObjectStore
import Platform
import Testing

struct SSOTests {
  private let text = """
    [profile sso]
    sso_session = team
    sso_account_id = 123456789012
    sso_role_name = Backup Role
    [sso-session team]
    sso_region = eu-central-1
    sso_start_url = https://team.awsapps.com/start
    [profile old]
    sso_start_url = https://team.awsapps.com/start
    sso_region = us-east-1
    sso_account_id = 1
    sso_role_name = R
    """
  private let variables = ["AWS_PROFILE": "sso"]
  // printf team | sha1sum; printf https://team.awsapps.com/start | sha1sum
  private let cache = "/home/u/.aws/sso/cache/d25187dc137f35c88bc80ec8c3ffbdb17b5eb873.json"
  private let oldCache = "/home/u/.aws/sso/cache/629c0f190b728da3e83c63c81257900d28075829.json"

  private func files(_ token: String?, at path: String? = nil) -> [String: String] {
    var files = ["/home/u/.aws/config": text]
    files[path ?? cache] = token
    return files
  }

  private func answer(_ milliseconds: Int64 = 1_795_495_374_000) -> HTTPResponse {
    .text(
      """
      {"roleCredentials": {"accessKeyId": "ASIASSO", "secretAccessKey": "s", "sessionToken": "t",
       "expiration": \(milliseconds)}}
      """)
  }

  @Test func theLoginsTokenIsShownToThePortal() async throws {
    let service = StandInService { _ in answer() }
    let token = "{\"accessToken\": \"bearer+1\", \"expiresAt\": \"2026-11-24T08:00:00Z\", \"region\": \"x\"}"
    let found = try await find(.standIn(variables, files: files(token), service))
    #expect(found.credentials == Credentials(accessKey: "ASIASSO", secretKey: "s", sessionToken: "t"))
    #expect(found.expires == Timestamp(parsing: "2026-11-24T04:42:54Z"))
    #expect(
      service.urls == [
        "GET https://portal.sso.eu-central-1.amazonaws.com/federation/credentials?account_id=123456789012&role_name=Backup%20Role"
      ])
    #expect(service.requests.first?.header("x-amz-sso_bearer_token") == "bearer+1")
  }

  @Test func profilesWithoutASessionAreKnownByTheirPortal() async throws {
    let service = StandInService { _ in answer() }
    let token = "{\"accessToken\": \"b\", \"expiresAt\": \"2026-11-24T08:00:00UTC\"}"
    let surroundings = CredentialsSurroundings.standIn(
      ["AWS_PROFILE": "old"], files: files(token, at: oldCache), service)
    #expect(try await find(surroundings).credentials.accessKey == "ASIASSO")
  }

  @Test(arguments: [
    (nil, "nobody has logged in"), ("{}", "cannot be read"), ("not JSON", "cannot be read"),
    ("{\"accessToken\": \"hidden\", \"expiresAt\": \"2026-11-24T03:42:54Z\"}", "the login has expired"),
    ("{\"accessToken\": \"hid\\nden\", \"expiresAt\": \"2026-11-24T08:00:00Z\"}", "cannot be read"),
  ])
  func aMissingOrOldLoginSaysHowToLogIn(_ token: String?, _ reason: String) async throws {
    let failed = try #require(await failure(.standIn(variables, files: files(token))))
    #expect(failed.reason.contains(reason), "\(failed)")
    #expect(failed.cure == "Run aws sso login --profile sso")
    #expect(!"\(failed)".contains("hidden"))
  }

  @Test func aTokenThatThePortalRefusesSaysHowToLogIn() async throws {
    let service = StandInService { _ in
      .text("{\"message\": \"Session token bearer is not valid\"}", status: 401)
    }
    let token = "{\"accessToken\": \"bearer\", \"expiresAt\": \"2026-11-24T08:00:00Z\"}"
    let failed = try #require(await failure(.standIn(variables, files: files(token), service)))
    #expect(failed.reason == "it answered HTTP 401: Session token *** is not valid")
    #expect(failed.cure == "Run aws sso login --profile sso")
  }

  @Test func aProfileThatLacksASettingIsNamed() async throws {
    let text = "[default]\nsso_account_id = 1\nsso_region = x\n"
    let failed = try #require(await failure(.standIn(files: ["/home/u/.aws/config": text])))
    #expect(failed.reason == "sso_role_name is missing")
  }

  @Test func timesBeyondAllBoundsDoNoHarm() async throws {
    let service = StandInService { _ in answer(.max) }
    let token = "{\"accessToken\": \"b\", \"expiresAt\": \"2026-11-24T08:00:00Z\"}"
    _ = try? await find(.standIn(variables, files: files(token), service))
  }
}
