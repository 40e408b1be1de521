import Digests
import FoundationEssentials
import HTTP
import Platform

/// Credentials of a role that a user of AWS's single sign-on has (IAM Identity Center,
/// docs.aws.amazon.com/sdkref/latest/guide/feature-sso-credentials.html): the token that `aws sso login` left in `~/.aws/sso/cache` is shown
/// to the portal (docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html).
struct SSOCredentials: CredentialsSource {
  private struct Token: Decodable {
    let accessToken: String
    let expiresAt: String
  }
  private struct Answer: Decodable {
    struct Role: Decodable {
      let accessKeyId: String?
      let secretAccessKey: String?
      let sessionToken: String?
      /// Milliseconds since 1970.
      let expiration: Int64?
    }
    let roleCredentials: Role
  }

  private let profile: Profile
  private let session: [String: String]?
  private let surroundings: CredentialsSurroundings

  /// A profile, and the section `[sso-session]` that it names.
  init(_ profile: Profile, session: [String: String]?, _ surroundings: CredentialsSurroundings) {
    self.profile = profile
    self.session = session
    self.surroundings = surroundings
  }

  func find() async throws -> FoundCredentials {
    let place = CredentialsPlace(
      name: "the single sign-on of \(profile.place)", cure: "Run aws sso login --profile \(profile.name)")
    func setting(_ name: String) throws -> String {
      if let value = profile[name] ?? session?[name], !value.isEmpty { return value }
      throw CredentialsError.failed(
        place: place.name, reason: "\(name) is missing",
        cure: "Run aws configure sso --profile \(profile.name)")
    }
    let region = try setting("sso_region")
    let (account, role) = (try setting("sso_account_id"), try setting("sso_role_name"))
    // The file's name is the digest of the session's name, or of the portal's address where a profile has no session.
    let token = try await token(of: profile["sso_session"] ?? setting("sso_start_url"), place)
    let url =
      surroundings.value("AWS_ENDPOINT_URL_SSO") ?? "https://portal.sso.\(region).\(amazonDomain(of: region))"
    guard isRegionName(region), let endpoint = Endpoint(url) else {
      throw place.failed("\(url.debugDescription) is no portal's address")
    }
    let query = canonicalQuery([(name: "account_id", value: account), (name: "role_name", value: role)])
    let request = HTTPRequest(
      "GET", "\(endpoint.url)/federation/credentials?\(query)",
      headers: [(name: "x-amz-sso_bearer_token", value: token)])
    let response = try await place.success(
      of: request, by: surroundings.network(), surroundings, secrets: [token])
    guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(response.body)).roleCredentials
    else {
      throw place.failed("the portal answered with something else than credentials")
    }
    return try FoundCredentials.checked(
      CredentialsFields(
        accessKey: answer.accessKeyId, secretKey: answer.secretAccessKey, sessionToken: answer.sessionToken,
        expires: answer.expiration.map { Timestamp(seconds: $0 / 1000).rfc3339 }),
      of: place, origin: "the role \(role) of account \(account), by \(place.name)",
      now: surroundings.clock(), date: response.date)
  }

  /// The token of the last login.
  private func token(of key: String, _ place: CredentialsPlace) async throws -> String {
    guard let path = surroundings.home(".aws/sso/cache/\(hex(sha1(Array(key.utf8)))).json") else {
      throw place.failed("HOME is not set, so that the login is not found")
    }
    let bytes: [UInt8]?
    do {
      bytes = try await surroundings.read(path)
    } catch let error as SystemError {
      throw CredentialsError.unreadable(path: path, reason: error.reason)
    }
    guard let bytes else { throw place.failed("nobody has logged in") }
    guard let token = try? JSONDecoder().decode(Token.self, from: Data(bytes)),
      // Older versions of the AWS CLI write UTC for Z.
      let end = moment(token.expiresAt.replacing("UTC", with: "Z")),
      isHeaderValue(token.accessToken, limit: 32 << 10)
    else { throw place.failed("\(path) cannot be read") }
    guard surroundings.clock() < end else { throw place.failed("the login has expired") }
    return token.accessToken
  }
}
