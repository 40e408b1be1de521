import FoundationEssentials
import ObjectStore
import Repository

/// One process's share with all that its part names, read back.
struct StoredShare: Sendable {
  let share: RankShare
  let part: RankPart
  let manifest: Manifest
  let record: RecordDocument?

  /// Reads a share; nil where it is not whole, for example since somebody has just committed and removed it.
  static func read(_ share: RankShare, from repository: Repository) async throws -> StoredShare? {
    guard let part = try await repository.part(of: share) else { return nil }
    do {
      let manifest = try await repository.manifest(of: part.snapshot)
      var record: RecordDocument?
      if part.hasRecord {
        let bytes = try await repository.store.get(share.record, limit: ArchiveRecord.largestRecord)
        record = try RecordDocument.decode(bytes)
      }
      return StoredShare(share: share, part: part, manifest: manifest, record: record)
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

  /// All whole shares of a group of so many processes, ordered by rank.
  static func all(of group: RankGroup, worldSize: Int, in repository: Repository) async throws
    -> [StoredShare]
  {
    let keys = try await repository.listed(group.folder).keys
    let shares = keys.compactMap(RankShare.parse).filter {
      $0.share.worldSize == worldSize && $0.name == "part.json"
    }
    return try await concurrently(shares.map(\.share).sorted { $0.rank < $1.rank }, limit: 8) { share in
      try await read(share, from: repository)
    }.compactMap { $0 }
  }
}
