import Digests
import Platform

/// The rules that the program sets for one repository, and that it knows again by their names.
public struct OwnLifecycle: Sendable {
  /// What the keys of the repository begin with in the bucket, `/`-ended, or empty.
  public let place: String

  /// The rules of the repository that settings name.
  public init(_ settings: S3Settings) { place = settings.full("") }

  /// What the names of its rules begin with: `ckbackup-` and 8 digits of the SHA-256 of the place.
  public var namePrefix: String { "ckbackup-\(hex(SHA256.hash(place.utf8).prefix(4)))-" }

  /// Whether a rule is one of its own.
  public func owns(_ rule: LifecycleRule) -> Bool { rule.id.hasPrefix(namePrefix) }

  /// Ends uploads that were begun so many days ago.
  public func abortion(days: Int) -> LifecycleRule {
    LifecycleRule(id: namePrefix + "uploads", prefix: place, actions: [.abortUploads(days: days)])
  }

  /// Moves packs of training state to a storage class so many days after they were pushed.
  public func training(to storageClass: String, days: Int) -> LifecycleRule {
    LifecycleRule(
      id: namePrefix + "training", prefix: place + "packs/training/",
      actions: [.move(to: storageClass, when: days == 1 ? "1 day" : "\(days) days")])
  }
}
