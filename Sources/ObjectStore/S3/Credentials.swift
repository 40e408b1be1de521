/// The keys that requests are signed with. Printing, logging or dumping them shows the access key alone.
public struct Credentials: Equatable, Sendable, CustomStringConvertible, CustomDebugStringConvertible,
  CustomReflectable
{
  /// The public half, which names the user.
  public let accessKey: String
  /// The secret half.
  public let secretKey: String
  /// The token of temporary credentials.
  public let sessionToken: String?

  /// Credentials by their parts.
  public init(accessKey: String, secretKey: String, sessionToken: String? = nil) {
    self.accessKey = accessKey
    self.secretKey = secretKey
    self.sessionToken = sessionToken
  }

  /// The access key alone.
  public var description: String { "Credentials(\(accessKey))" }
  /// The access key alone.
  public var debugDescription: String { description }
  /// The access key alone.
  public var customMirror: Mirror { Mirror(self, children: ["accessKey": accessKey]) }
}

/// Whoever knows the credentials of the moment.
public protocol CredentialsProvider: Sendable {
  /// The credentials to sign the next request with. Asked for each request, so it answers from memory while it can.
  func credentials() async throws -> Credentials
  /// Looks again at once for what has taken the place of credentials that the server refused; nil where nothing has.
  func renewed(insteadOf refused: Credentials) async throws -> Credentials?
}

extension CredentialsProvider {
  /// Nil: nothing changes while the program runs.
  public func renewed(insteadOf refused: Credentials) async throws -> Credentials? { nil }
}

/// Why there are no credentials.
public enum CredentialsError: Error, Equatable, Sendable {
  /// None were found; `looked` says in which places, each as people would name it.
  case missing(looked: [String])
  /// A place has one half of the credentials and not the other: `lacking` is the name that is missing or empty there.
  case incomplete(place: String, lacking: String)
  /// The credentials file is there and cannot be used.
  case unreadable(path: String, reason: String)
}

/// Credentials that never change.
public struct StaticCredentials: CredentialsProvider {
  private let value: Credentials

  /// A provider that always gives `value`.
  public init(_ value: Credentials) { self.value = value }

  /// The credentials.
  public func credentials() async throws -> Credentials { value }
}

/// Credentials from environment variables.
public struct EnvironmentCredentials: CredentialsProvider {
  private let environment: [String: String]
  private let accessKey: String
  private let secretKey: String
  private let sessionToken: String?

  /// A provider over an environment; the names are AWS's unless given.
  public init(
    environment: [String: String], accessKey: String = "AWS_ACCESS_KEY_ID",
    secretKey: String = "AWS_SECRET_ACCESS_KEY", sessionToken: String? = "AWS_SESSION_TOKEN"
  ) {
    self.environment = environment
    self.accessKey = accessKey
    self.secretKey = secretKey
    self.sessionToken = sessionToken
  }

  /// The credentials. Throws `.missing` where neither half is set, `.incomplete` where one is.
  public func credentials() async throws -> Credentials {
    try complete(
      value(accessKey), value(secretKey), sessionToken.flatMap(value), names: (accessKey, secretKey),
      place: "the environment variables \(accessKey) and \(secretKey)")
  }

  private func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
}

/// The first credentials that a row of providers has.
public struct CredentialsChain: CredentialsProvider {
  private let providers: [any CredentialsProvider]

  /// Providers in the order in which they are asked.
  public init(_ providers: [any CredentialsProvider]) { self.providers = providers }

  /// AWS's own order: the variables, then the profile in the credentials file.
  public init(environment: [String: String]) {
    self.init([
      EnvironmentCredentials(environment: environment), ProfileCredentials(environment: environment),
    ])
  }

  /// The first provider's credentials. Throws `.missing` with every place that was looked at; half credentials are an error at once.
  public func credentials() async throws -> Credentials {
    var looked: [String] = []
    for provider in providers {
      do {
        return try await provider.credentials()
      } catch CredentialsError.missing(let places) {
        looked += places
      }
    }
    throw CredentialsError.missing(looked: looked)
  }

  /// What the first provider that has any credentials has now.
  public func renewed(insteadOf refused: Credentials) async throws -> Credentials? {
    for provider in providers {
      do {
        _ = try await provider.credentials()
        return try await provider.renewed(insteadOf: refused)
      } catch CredentialsError.missing {
        continue
      }
    }
    return nil
  }
}

/// Credentials of two halves that must be there together.
func complete(
  _ accessKey: String?, _ secretKey: String?, _ sessionToken: String?, names: (String, String), place: String
) throws -> Credentials {
  switch (accessKey, secretKey) {
  case (let access?, let secret?):
    return Credentials(accessKey: access, secretKey: secret, sessionToken: sessionToken)
  case (nil, nil): throw CredentialsError.missing(looked: [place])
  case (nil, _): throw CredentialsError.incomplete(place: place, lacking: names.0)
  case (_, nil): throw CredentialsError.incomplete(place: place, lacking: names.1)
  }
}
