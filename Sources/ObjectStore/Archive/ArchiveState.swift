/// Whether an object can be read, or must be brought back from an archive first.
public struct ArchiveState: Equatable, Sendable {
  /// How far it is.
  public enum Stage: Sendable {
    /// It can be read.
    case readable
    /// It was asked for and will be readable.
    case thawing
    /// It is in an archive, and nobody has asked for it.
    case frozen
  }

  /// How far the object is.
  public let stage: Stage
  /// Its storage class in the store's words; nil where that does not tell.
  public let storageClass: String?

  /// A state as a store tells it.
  public init(_ stage: Stage, storageClass: String? = nil) {
    self.stage = stage
    self.storageClass = storageClass
  }
}

/// How an object is asked for that is in an archive.
public struct ThawRequest: Equatable, Sendable {
  /// How quick, and so how dear, it is.
  public enum Tier: String, CaseIterable, Sendable {
    case expedited = "Expedited"
    case standard = "Standard"
    case bulk = "Bulk"
  }

  /// For how many days it stays readable.
  public var days: Int
  /// How quick it is.
  public var tier: Tier

  /// A request for so many days.
  public init(days: Int = 7, tier: Tier = .standard) {
    self.days = days
    self.tier = tier
  }
}

/// A storage class whose objects must be brought back before they can be read.
public enum ArchiveClass: Sendable {
  /// Amazon's GLACIER, and the tier of that speed in INTELLIGENT_TIERING.
  case glacier
  /// Amazon's DEEP_ARCHIVE, and the tier of that speed in INTELLIGENT_TIERING.
  case deepArchive
  /// Alibaba's Archive, ColdArchive and DeepColdArchive.
  case archive, coldArchive, deepColdArchive

  /// The archive that a class or a tier of one is, by its name; nil for one that can be read at once and for unknown ones.
  public init?(_ name: String) {
    switch name.uppercased() {
    case "GLACIER", "ARCHIVE_ACCESS": self = .glacier
    case "DEEP_ARCHIVE", "DEEP_ARCHIVE_ACCESS": self = .deepArchive
    case "ARCHIVE": self = .archive
    case "COLDARCHIVE": self = .coldArchive
    case "DEEPCOLDARCHIVE": self = .deepColdArchive
    default: return nil
    }
  }

  /// Minutes that it takes until an object can be read, as the services state them
  /// (docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects-retrieval-options.html;
  /// help.aliyun.com/en/oss/user-guide/restore-objects); nil where that tier is not offered.
  public func minutes(_ tier: ThawRequest.Tier) -> ClosedRange<Int>? {
    switch (self, tier) {
    case (.archive, _): 1...1
    case (.glacier, .expedited): 1...5
    case (.glacier, .standard): 180...300
    case (.glacier, .bulk): 300...720
    case (.deepArchive, .standard): 720...720
    case (.deepArchive, .bulk): 2880...2880
    case (.coldArchive, .expedited): 60...60
    case (.coldArchive, .standard): 120...300
    case (.coldArchive, .bulk): 300...720
    case (.deepColdArchive, .expedited): 720...720
    case (.deepColdArchive, .standard): 2880...2880
    case (.deepArchive, .expedited), (.deepColdArchive, .bulk): nil
    }
  }
}

extension StoreError {
  /// Whether the object is in an archive class and must be brought back before it can be read.
  public var isArchived: Bool {
    if case .refused(_, _, _, "InvalidObjectState", _) = self { true } else { false }
  }
}

extension ObjectStore {
  /// A store without archive classes unless it says something else.
  public func archiveState(of key: String) async throws -> ArchiveState { ArchiveState(.readable) }

  /// No store brings anything back unless it says so.
  public func thaw(_ key: String, _ request: ThawRequest) async throws -> ArchiveState {
    throw StoreError.unsupported(operation: StoreOperation.thaw.rawValue)
  }
}
