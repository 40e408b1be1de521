import Platform
import Repository

/// One object of the repository that is not as it must be, and whom that hurts.
public struct Damage: Sendable, Equatable {
  /// What is wrong with it.
  public enum Kind: Equatable, Sendable {
    case missing
    case wrongSize(expected: Int, found: Int)
    case replaced(expected: String, found: String)
    case wrongContent
    case unreadable(String)
  }

  /// The object's key.
  public let object: String
  /// What is wrong.
  public let kind: Kind
  /// The snapshots that need it, as `RUN@STEP (ID)`, ordered.
  public var snapshots: [String]
  /// Paths of the files that lose bytes, as people read them, ordered; empty where that is not known.
  public var files: [String]
}

extension Snapshot {
  /// `RUN@STEP (ID)`: what a report calls it.
  public var label: String { "\(address) (\(id))" }
}
