import Digests
import ObjectStore
import Platform

/// What one process of many has stored of their checkpoint, and what it knows of it: `part.json` of its share.
public struct RankPart: Codable, Equatable, Sendable {
  /// Something that this process did not see and that another one may have.
  public struct Absence: Codable, Equatable, Sendable {
    /// The path of the file that is awaited; nil where it is weights as such.
    public var file: String?
    /// What to say where nobody has it.
    public var sentence: String

    /// Something that is not there.
    public init(file: String?, sentence: String) {
      self.file = file
      self.sentence = sentence
    }
  }

  /// The repository format, 1.
  public var format = repositoryFormat
  /// The digest of the process's view.
  public var view: String
  /// The marker that its files would have alone; its manifest is the share's.
  public var snapshot: Snapshot
  /// Whether it sees weights.
  public var hasWeights: Bool
  /// What it did not see.
  public var absences: [Absence]
  /// Whether the share has a record: of processes that see the same, the first gives one, and others where they were given files for it.
  public var hasRecord: Bool
  /// The names of the metrics that the joint marker tells however many there are; nil where these are none.
  public var askedMetrics: [String]?
  /// The names of the record's files that the user gave to this process; nil where there are none.
  public var given: [String]?

  /// A part of all its members.
  public init(
    view: String, snapshot: Snapshot, hasWeights: Bool, absences: [Absence],
    hasRecord: Bool, askedMetrics: [String]? = nil, given: [String]? = nil
  ) {
    self.view = view
    self.snapshot = snapshot
    self.hasWeights = hasWeights
    self.absences = absences
    self.hasRecord = hasRecord
    self.askedMetrics = askedMetrics
    self.given = given
  }

  fileprivate static let largest = 16 << 20
}

extension Repository {
  /// The part of a share, or nil where there is none, or none that can be read: its process has to push again.
  ///
  /// - Throws: `StoreError`; `FormatError.newerFormat`.
  public func part(of share: RankShare) async throws -> RankPart? {
    let key = share.part
    do {
      let bytes = try await store.get(key, limit: RankPart.largest)
      let part = try MetadataCoding.decode(RankPart.self, from: bytes, object: key)
      try MetadataCoding.check(format: part.format, object: key)
      let snapshot = part.snapshot
      let isOwn =
        snapshot.run == share.group.run && snapshot.step == share.group.step
        && snapshot.manifest.key == share.manifest && ChunkID(hex: snapshot.manifest.sha256) != nil
      return isOwn && snapshot.hasPossibleSizes ? part : nil
    } catch FormatError.invalid {
      return nil
    } catch StoreError.missing {
      return nil
    } catch StoreError.tooLarge {
      return nil
    }
  }

  /// Stores a part: the share is whole then.
  public func write(_ part: RankPart, of share: RankShare) async throws {
    let bytes = try MetadataCoding.encode(
      part, upTo: RankPart.largest, object: share.part, detail: "the process lacks too many files")
    try await store.put(share.part, Payload(bytes))
  }

  /// Stores the manifest of a share's files and gives the reference to it.
  public func write(_ manifest: Manifest, of share: RankShare) async throws -> Snapshot.ManifestReference {
    let bytes = try manifest.encode()
    try await store.put(share.manifest, Payload(bytes))
    return .init(key: share.manifest, sha256: hex(SHA256.hash(bytes)), size: bytes.count)
  }
}
