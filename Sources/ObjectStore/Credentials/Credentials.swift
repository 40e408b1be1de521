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

  /// The access key so that its owner knows it again: `AKIA…WXYZ`, or the first two characters of one that has fewer than 12.
  public var maskedAccessKey: String {
    accessKey.count < 12 ? "\(accessKey.prefix(2))…" : "\(accessKey.prefix(4))…\(accessKey.suffix(4))"
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
  /// In words for people where the credentials come from, for example `the profile [backup] of ~/.aws/credentials`.
  func origin() async throws -> String
}

extension CredentialsProvider {
  /// Nil: nothing changes while the program runs.
  public func renewed(insteadOf refused: Credentials) async throws -> Credentials? { nil }
  /// That the program has them from its caller.
  public func origin() async throws -> String { "the caller" }
}

/// Credentials that never change.
public struct StaticCredentials: CredentialsProvider {
  private let value: Credentials

  /// A provider that always gives `value`.
  public init(_ value: Credentials) { self.value = value }

  /// The credentials.
  public func credentials() async throws -> Credentials { value }
}
