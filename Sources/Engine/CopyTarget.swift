import ObjectStore
import Platform
import Repository

/// What of a copy the target has already.
struct CopyTarget {
  /// The snapshots that are whole as far as listings tell, by the keys of their markers.
  private(set) var whole: [String: Snapshot] = [:]
  /// The packs that these vouch for, by key.
  private(set) var packs: [String: Manifest.PackReference] = [:]
  /// Keys that must not be relied on: condemned by a prune or found damaged by a verify.
  let avoided: Set<String>
  private let stored: [String: ObjectInfo]

  /// Reads listings, markers and manifests.
  static func load(_ repository: Repository) async throws -> CopyTarget {
    // Deletions before packs: see `KnownChunks.load`.
    let condemned = try await repository.deletions().records.flatMap(\.objects)
    let damaged = try await repository.ledger().ledger.damaged
    let stored = try await repository.storedPacks()
    var target = CopyTarget(avoided: damaged.union(condemned), stored: stored)
    let manifests = try await repository.listed(ObjectKey.manifests)
    let records = try await repository.listed(ObjectKey.records)
    let snapshots = try await repository.snapshots().snapshots
    for (snapshot, result) in try await repository.manifests(of: snapshots, listed: manifests) {
      guard case .success(let manifest) = result else { continue }
      let intact = manifest.packs.filter { pack in
        stored[pack.key].flatMap { pack.intact(as: $0) } != nil && !damaged.contains(pack.key)
      }
      for pack in intact where !target.avoided.contains(pack.key) { target.packs[pack.key] = pack }
      if intact.count == manifest.packs.count,
        ArchiveRecord.fixedNames.allSatisfy({ records[snapshot.record + $0] != nil })
      {
        target.whole[snapshot.key] = snapshot
      }
    }
    return target
  }

  private init(avoided: Set<String>, stored: [String: ObjectInfo]) {
    self.avoided = avoided
    self.stored = stored
  }

  /// Whether a pack of the source is there, whole and to be relied on: by its size and ETag, or since a snapshot vouches for it.
  func has(_ pack: Manifest.PackReference) -> Bool {
    guard !avoided.contains(pack.key) else { return false }
    return packs[pack.key]?.size == pack.size || stored[pack.key].flatMap { pack.intact(as: $0) } != nil
  }

  /// Whether a pack under a key is there and not to be avoided.
  func keeps(_ key: String) -> Bool { stored[key] != nil && !avoided.contains(key) }

  /// Whether nothing stands under a key, and nothing is about to be deleted there.
  func isFree(_ key: String) -> Bool { stored[key] == nil && !avoided.contains(key) }
}
