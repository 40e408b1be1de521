import Platform
import Synchronization

/// A place that may have credentials. It is asked anew each time; `RenewingCredentials` remembers.
public protocol CredentialsSource: Sendable {
  /// What the place has now.
  ///
  /// - Throws: `CredentialsError`: `.missing` where the place is not set up here, so that the next one may be asked, any other case where
  ///   it is and gives nothing; `CancellationError`.
  func find() async throws -> FoundCredentials
}

/// Credentials, where they came from and how long they are good for. Printing shows the masked access key alone.
public struct FoundCredentials: Sendable, CustomStringConvertible {
  /// The keys.
  public let credentials: Credentials
  /// The place in words for people, for example `the role backup of this EC2 instance`.
  public let origin: String
  /// When they end, by this machine's clock; nil where nothing says so.
  public let expires: Timestamp?
  /// Seconds after which the place is asked again though nothing ends: other programs renew what is in files. Nil for never.
  public let recheck: Double?

  /// Credentials of a place.
  public init(_ credentials: Credentials, origin: String, expires: Timestamp? = nil, recheck: Double? = nil) {
    self.credentials = credentials
    self.origin = origin
    self.expires = expires
    self.recheck = recheck
  }

  /// `AKIA…WXYZ from PLACE`
  public var description: String { "\(credentials.maskedAccessKey) from \(origin)" }
}

/// Why there are no credentials. No case holds a secret.
public enum CredentialsError: Error, Equatable, Sendable {
  /// None were found; `looked` says in which places, each as people would name it.
  case missing(looked: [String])
  /// A place has one half of the credentials and not the other: `lacking` is the name that is missing or empty there.
  case incomplete(place: String, lacking: String)
  /// A file that credentials depend on is there, or was named, and cannot be read.
  case unreadable(path: String, reason: String)
  /// A place that is set up gives none: why, as a clause, and what to do, as a sentence without its full stop.
  case failed(place: String, reason: String, cure: String)
}

/// The first credentials that a row of places has. Later it asks the one first that had some.
public final class CredentialsChain: CredentialsSource {
  private let sources: [any CredentialsSource]
  private let chosen = Mutex<Int?>(nil)

  /// Places in the order in which they are asked.
  public init(_ sources: [any CredentialsSource]) { self.sources = sources }

  /// The first place's credentials. Throws `.missing` with every place that was looked at; a place that is set up and fails is an error
  /// at once, so that nobody works by another identity than he thinks.
  public func find() async throws -> FoundCredentials {
    if let index = chosen.withLock({ $0 }) {
      do {
        return try await sources[index].find()
      } catch CredentialsError.missing {
        chosen.withLock { $0 = nil }
      }
    }
    var looked: [String] = []
    for (index, source) in sources.enumerated() {
      do {
        let found = try await source.find()
        chosen.withLock { $0 = index }
        return found
      } catch CredentialsError.missing(let places) {
        looked += places
      }
    }
    throw CredentialsError.missing(looked: looked)
  }
}

/// A place to be asked, and what people can do where it fails.
struct CredentialsPlace: Sendable {
  /// As people would name it.
  let name: String
  /// A sentence without its full stop.
  let cure: String

  /// The error that it gives nothing, and why.
  func failed(_ reason: String) -> CredentialsError { .failed(place: name, reason: reason, cure: cure) }
}
