/// Credentials of a role by the token of another identity provider, as pods of Kubernetes have one (IAM roles for service accounts):
/// `AssumeRoleWithWebIdentity` of the Security Token Service (docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html).
///
/// The token is read anew each time: Kubernetes replaces the file.
struct WebIdentityCredentials: CredentialsSource {
  private let role: String
  private let tokenFile: String
  private let session: String?
  private let service: SecurityTokenService
  private let origin: String
  private let surroundings: CredentialsSurroundings

  init(
    role: String, tokenFile: String, session: String?, service: SecurityTokenService, origin: String,
    _ surroundings: CredentialsSurroundings
  ) {
    self.role = role
    self.tokenFile = tokenFile
    self.session = session
    self.service = service
    self.origin = origin
    self.surroundings = surroundings
  }

  func find() async throws -> FoundCredentials {
    let place = CredentialsPlace(
      name: "the role \(role) by the web identity \(tokenFile)",
      cure: "Check that the role trusts the issuer of that token, and that the token is not old")
    let token = trim(try await surroundings.text(of: tokenFile))
    // AWS's own limit (docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html).
    guard !token.isEmpty, token.utf8.count <= 20_000 else {
      throw place.failed("the file is empty or holds more than a token")
    }
    return try await service.credentials(
      "AssumeRoleWithWebIdentity",
      [
        (name: "RoleArn", value: role), (name: "RoleSessionName", value: session ?? surroundings.sessionName),
        (name: "WebIdentityToken", value: token),
      ], at: place, origin: origin, secrets: [token])
  }
}

/// A web identity that the environment names by `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN` and `AWS_ROLE_SESSION_NAME`.
struct EnvironmentWebIdentity: CredentialsSource {
  let region: String
  let surroundings: CredentialsSurroundings

  func find() async throws -> FoundCredentials {
    let names = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
    guard let file = surroundings.value(names.0) else { throw CredentialsError.missing(looked: [names.0]) }
    guard let role = surroundings.value(names.1) else {
      throw CredentialsError.incomplete(place: "the environment variable \(names.0)", lacking: names.1)
    }
    return try await WebIdentityCredentials(
      role: role, tokenFile: file, session: surroundings.value("AWS_ROLE_SESSION_NAME"),
      service: SecurityTokenService(region: region, surroundings),
      origin: "the role \(role) by the web identity of \(names.0)", surroundings
    ).find()
  }
}
