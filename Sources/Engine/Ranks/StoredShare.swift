import FoundationEssentials
import ObjectStore
import Repository

/// One process's share with all that its part names, read back.
struct StoredShare: Sendable {
  let share: RankShare
  /// Its part's object, as it was listed before the share was read.
  let stamp: ObjectInfo
  let part: RankPart
  let manifest: Manifest
  let record: RecordDocument?

  /// Reads a share; nil where it is not whole, for example since somebody has just committed and removed it.
  private static func read(
    _ share: RankShare, _ stamp: ObjectInfo, from repository: Repository
  ) async throws -> StoredShare? {
    guard let part = try await repository.part(of: share) else { return nil }
    do {
      let manifest = try await repository.manifest(of: part.snapshot)
      var record: RecordDocument?
      if part.hasRecord {
        let bytes = try await repository.store.get(share.record, limit: ArchiveRecord.largestRecord)
        record = try RecordDocument.decode(bytes)
      }
      return StoredShare(share: share, stamp: stamp, part: part, manifest: manifest, record: record)
    } catch is FormatError {
      return nil
    } catch is DecodingError {
      return nil
    } catch StoreError.missing {
      return nil
    } catch StoreError.tooLarge {
      return nil
    }
  }

  /// The shares of a group of so many processes whose part is there, ordered by rank, by their names alone.
  static func named(
    in group: RankGroup, worldSize: Int, of repository: Repository
  ) async throws -> [(share: RankShare, stamp: ObjectInfo)] {
    try await repository.store.list(group.folder).objects.compactMap { object in
      guard let (share, name) = RankShare.parse(object.key), share.worldSize == worldSize,
        name == "part.json"
      else { return nil }
      return (share, object)
    }.sorted { $0.share.rank < $1.share.rank }
  }

  /// Those of the named shares that are whole.
  static func read(
    _ named: [(share: RankShare, stamp: ObjectInfo)], from repository: Repository
  ) async throws -> [StoredShare] {
    try await concurrently(named, limit: 8) { share, stamp in
      try await read(share, stamp, from: repository)
    }.compactMap { $0 }
  }
}
