/// Credentials of a role that other credentials may assume: `AssumeRole` of the Security Token Service
/// (docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html).
struct AssumedRoleCredentials: CredentialsSource {
  private let base: any CredentialsSource
  private let parameters: [(name: String, value: String)]
  private let service: SecurityTokenService
  private let role: String
  private let profile: String
  private let session: String?
  private let surroundings: CredentialsSurroundings

  /// A role over the credentials to assume it with. `seconds` is how long a session lasts, in the profile's own words; `profile` says who
  /// names the role.
  init(
    role: String, base: any CredentialsSource, session: String?, externalID: String?, seconds: String?,
    service: SecurityTokenService, profile: String, _ surroundings: CredentialsSurroundings
  ) {
    self.role = role
    self.base = base
    self.service = service
    self.profile = profile
    self.session = session
    self.surroundings = surroundings
    let optional = [(name: "DurationSeconds", value: seconds), (name: "ExternalId", value: externalID)]
    parameters = optional.compactMap { pair in pair.value.map { (name: pair.name, value: $0) } }
  }

  func find() async throws -> FoundCredentials {
    let place = CredentialsPlace(
      name: "the role \(role) of \(profile)",
      cure: "Check the role, who may assume it, and what it is assumed with")
    let signer: FoundCredentials
    do {
      signer = try await base.find()
    } catch CredentialsError.missing(let looked) {
      throw place.failed("there is nothing to assume it with at \(looked.joined(separator: ", "))")
    }
    let names = [
      (name: "RoleArn", value: role), (name: "RoleSessionName", value: session ?? surroundings.sessionName),
    ]
    return try await service.credentials(
      "AssumeRole", names + parameters, signedWith: signer.credentials, at: place,
      origin: "\(place.name), assumed with \(signer.origin)",
      secrets: parameters.filter { $0.name == "ExternalId" }.map(\.value)
        + [signer.credentials.sessionToken ?? ""])
  }
}
