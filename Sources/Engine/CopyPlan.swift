import ObjectStore
import Repository

/// What a copy takes from its source, and what it must not take.
struct CopyPlan {
  /// The snapshots that are whole as far as listings and the record's digests tell.
  private(set) var whole: [(snapshot: Snapshot, manifest: Manifest)] = []
  /// Those that are not.
  private(set) var refused: [Snapshot] = []
  private(set) var damages: [Damage] = []
  /// The packs of the source by key.
  let stored: [String: ObjectInfo]

  /// Those that the target has already.
  private(set) var present: [Snapshot] = []

  /// Looks at the snapshots that `choose` picks, but for those that `target` has: only their markers are read.
  static func load(
    _ source: Repository, _ choose: ([Snapshot]) throws -> [Snapshot], target: CopyTarget
  ) async throws -> CopyPlan {
    let listing = try await source.snapshots()
    let chosen = try choose(listing.snapshots)
    var plan = CopyPlan(stored: try await source.storedPacks())
    if chosen.count == listing.snapshots.count {
      plan.damages += listing.unreadable.map { Damage($0, snapshots: []) }
    }
    plan.present = chosen.filter { target.whole[$0.key] != nil }
    let open = chosen.filter { target.whole[$0.key] == nil }
    let manifests = try await source.listed(ObjectKey.manifests)
    let records = Set(try await source.listed(ObjectKey.records).keys)
    var readable: [(snapshot: Snapshot, manifest: Manifest)] = []
    for (snapshot, result) in try await source.manifests(of: open, listed: manifests) {
      switch result {
      case .success(let manifest): readable.append((snapshot, manifest))
      case .failure(let error):
        plan.damages.append(Damage(error, snapshots: [snapshot.label]))
        plan.refused.append(snapshot)
      }
    }
    var faults: [String: Damage.Kind] = [:]
    for pack in Set(readable.flatMap(\.manifest.packs)) {
      // Of a pack that is there with its size the bytes decide, whatever its ETag or an earlier verify says.
      switch Verify.fault(of: pack, stored: plan.stored[pack.key], ledger: Ledger()) {
      case .missing: faults[pack.key] = .missing
      case .wrongSize(let expected, let found):
        faults[pack.key] = .wrongSize(expected: expected, found: found)
      default: break
      }
    }
    for (key, kind) in faults.sorted(by: { $0.key < $1.key }) {
      let (labels, files) = Damage.users(of: key, in: readable)
      plan.damages.append(Damage(object: key, kind: kind, snapshots: labels, files: files))
    }
    let found = try await concurrently(readable, limit: 8) { snapshot, manifest in
      try await ArchiveRecord.faults(of: snapshot, manifest, in: source, listed: records, deep: true)
    }
    for (entry, faulty) in zip(readable, found) {
      plan.damages += faulty
      if faulty.isEmpty, !entry.manifest.packs.contains(where: { faults[$0.key] != nil }) {
        plan.whole.append(entry)
      } else {
        plan.refused.append(entry.snapshot)
      }
    }
    return plan
  }

  private init(stored: [String: ObjectInfo]) { self.stored = stored }
}
