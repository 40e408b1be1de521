import Platform

/// Credentials by a profile of AWS's files: keys, a role to assume, a web identity, a program or a single sign-on
/// (docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html).
public struct ProfileCredentials: CredentialsSource {
  /// Seconds for which keys that were read from a file count: other programs renew temporary ones there.
  private static let recheck = 60.0
  /// Profiles in a row that build on each other, at most.
  private static let longestRow = 16

  private let name: String
  /// Whether somebody named the profile, so that it must be there.
  private let isNamed: Bool
  /// Whether the configuration names it, so that nothing else may take its place; `AWS_PROFILE` may be there for a region alone.
  private let isChosen: Bool
  private let region: String
  private let surroundings: CredentialsSurroundings

  /// A source over `profile`, or else the one that the environment names, or else `default`. `region` is where roles are assumed unless the
  /// profile says it.
  public init(profile: String? = nil, region: String = "us-east-1", _ surroundings: CredentialsSurroundings) {
    let named = profile ?? namedProfile(surroundings.variables)
    isNamed = named != nil
    isChosen = profile != nil
    name = named ?? "default"
    self.region = region
    self.surroundings = surroundings
  }

  /// What the profile gives. The files are read each time. Throws `CredentialsError`.
  public func find() async throws -> FoundCredentials {
    let files = try await ProfileFiles.read(surroundings)
    guard let profile = files.profiles[name] else {
      let place =
        files.paths.isEmpty ? "~/.aws/credentials (HOME is not set)" : files.paths.joined(separator: " and ")
      guard isNamed else { throw CredentialsError.missing(looked: ["the profile [\(name)] of \(place)"]) }
      throw CredentialsError.failed(
        place: "the profile [\(name)]", reason: "there is none of that name in \(place)",
        cure: "Name another, or write it there")
    }
    guard let source = try source(of: profile, in: files, isBase: false, through: []) else {
      guard isChosen else { throw CredentialsError.missing(looked: [profile.place]) }
      throw CredentialsError.failed(
        place: profile.place, reason: "it names no credentials",
        cure: "Give it keys, a role_arn, a credential_process or an sso_session")
    }
    return try await source.find()
  }

  /// Where a profile's credentials come from; nil where it says nothing of any. Of a base, the profile that another one builds its role
  /// on, its keys beat its role, as in botocore (github.com/boto/botocore, credentials.py).
  private func source(
    of profile: Profile, in files: ProfileFiles, isBase: Bool, through visited: [String]
  ) throws -> (any CredentialsSource)? {
    let keys = keys(of: profile)
    if isBase, let keys { return keys }
    if let role = profile["role_arn"] {
      if let file = profile["web_identity_token_file"] {
        return WebIdentityCredentials(
          role: role, tokenFile: surroundings.expanded(file), session: profile["role_session_name"],
          service: service(for: profile), origin: "the role \(role) by the web identity of \(profile.place)",
          surroundings)
      }
      return try assumedRole(role, of: profile, in: files, through: visited)
    }
    if profile["sso_account_id"] != nil || profile["sso_role_name"] != nil {
      return SSOCredentials(profile, session: files.sessions[profile["sso_session"] ?? ""], surroundings)
    }
    if let keys { return keys }
    return profile["credential_process"].map {
      ProcessCredentials(command: $0, profile: profile.place, surroundings)
    }
  }

  private func keys(of profile: Profile) -> (any CredentialsSource)? {
    let names = ["aws_access_key_id", "aws_secret_access_key"]
    guard names.contains(where: { profile[$0] != nil }) else { return nil }
    let fields = CredentialsFields(
      accessKey: profile[names[0]], secretKey: profile[names[1]], sessionToken: profile["aws_session_token"])
    return ProfileKeys(
      place: profile.place, lacking: names.first { profile[$0] == nil }, fields: fields, recheck: Self.recheck
    )
  }

  private func assumedRole(
    _ role: String, of profile: Profile, in files: ProfileFiles, through visited: [String]
  ) throws -> any CredentialsSource {
    func wrong(_ reason: String, _ cure: String) -> CredentialsError {
      .failed(place: profile.place, reason: reason, cure: cure)
    }
    if profile["mfa_serial"] != nil {
      throw wrong(
        "its role asks for a one-time code (mfa_serial)", "Use a credential_process that asks for it")
    }
    let base: any CredentialsSource
    switch (profile["source_profile"], profile["credential_source"]) {
    case (let name?, nil):
      // A profile may build its role on its own keys.
      let isOwn = name == profile.name && keys(of: profile) != nil
      guard isOwn || !visited.contains(name) && name != profile.name else {
        throw wrong(
          "source_profile leads back to [\(name)]", "End that row of profiles in one that has keys")
      }
      guard let other = files.profiles[name] else {
        throw wrong("its source_profile [\(name)] is not there", "Write that profile, or name another")
      }
      let path = visited + [profile.name]
      guard path.count <= Self.longestRow else {
        throw wrong("more than \(Self.longestRow) profiles build on it", "Shorten that row of profiles")
      }
      guard let source = try source(of: other, in: files, isBase: true, through: path) else {
        throw wrong("its source_profile [\(name)] names no credentials", "Give that profile some")
      }
      base = source
    case (nil, "Environment"?): base = EnvironmentCredentials(environment: surroundings.variables)
    case (nil, "Ec2InstanceMetadata"?): base = EC2InstanceCredentials(surroundings)
    case (nil, "EcsContainer"?): base = ContainerCredentials(surroundings)
    case (nil, let name?):
      throw wrong(
        "credential_source is \(name)", "It can be Environment, Ec2InstanceMetadata or EcsContainer")
    case (nil, nil):
      throw wrong(
        "role_arn is there without what to assume the role with",
        "Add source_profile, credential_source or web_identity_token_file")
    case (_?, _?):
      throw wrong("source_profile and credential_source exclude each other", "Take one of them out")
    }
    return AssumedRoleCredentials(
      role: role, base: base, session: profile["role_session_name"], externalID: profile["external_id"],
      seconds: profile["duration_seconds"], service: service(for: profile), profile: profile.place,
      surroundings)
  }

  private func service(for profile: Profile) -> SecurityTokenService {
    SecurityTokenService(
      region: profile["region"] ?? region, configured: profile["endpoint_url"], surroundings)
  }
}

/// The keys that stand in a profile.
private struct ProfileKeys: CredentialsSource {
  let place: String
  /// The name of the half that is missing.
  let lacking: String?
  let fields: CredentialsFields
  let recheck: Double

  func find() async throws -> FoundCredentials {
    if let lacking { throw CredentialsError.incomplete(place: place, lacking: lacking) }
    let found = try FoundCredentials.checked(
      fields, of: CredentialsPlace(name: place, cure: "Write its keys again"), origin: place)
    return FoundCredentials(found.credentials, origin: place, recheck: recheck)
  }
}
