import Platform

/// Until when a store refuses to let go of an object, and how strictly: S3's object retention
/// (docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html).
public struct ObjectRetention: Equatable, Sendable {
  /// Who may end it before its time.
  public enum Mode: String, CaseIterable, Comparable, Sendable {
    /// Whoever has the right to bypass it.
    case governance
    /// Nobody, the bucket's owner included.
    case compliance

    /// Orders by strictness.
    public static func < (a: Mode, b: Mode) -> Bool { a == .governance && b == .compliance }
  }

  /// Who may end it before its time.
  public let mode: Mode
  /// When it ends, by the store's clock. S3 keeps whole seconds.
  public let until: Timestamp

  /// A retention until a moment.
  public init(mode: Mode, until: Timestamp) {
    self.mode = mode
    self.until = until
  }

  /// The retention that grants what this and another one do: the later end and the stricter mode.
  public func joined(with other: ObjectRetention?) -> ObjectRetention {
    guard let other else { return self }
    return ObjectRetention(mode: max(mode, other.mode), until: max(until, other.until))
  }
}
