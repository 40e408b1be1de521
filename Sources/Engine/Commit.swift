import ObjectStore
import Platform
import Repository

/// The end of everything that makes a snapshot: one more look at what it needs, then its marker.
struct Commit {
  private let repository: Repository
  private let grace: Double

  /// Commits to a repository; `grace` is its grace period in seconds.
  init(_ repository: Repository, grace: Double) {
    self.repository = repository
    self.grace = grace
  }

  /// Takes over the ETags that the store lists. False where a pack is not there as it was written.
  func adoptETags(_ manifest: inout Manifest, avoided: Set<String>) async throws -> Bool {
    let stored = try await repository.storedPacks()
    for (position, pack) in manifest.packs.enumerated() {
      guard !avoided.contains(pack.key), let object = stored[pack.key], object.size == pack.size else {
        return false
      }
      manifest.packs[position].etag = object.etag
    }
    return true
  }

  /// The last look, then the marker. False where a pack is not to be relied on any more.
  func run(_ snapshot: Snapshot, _ manifest: Manifest) async throws -> Bool {
    // The age of the look counts from its beginning. Deletions before packs: see `KnownChunks.load`.
    let looked = repository.surroundings.now()
    let condemned = Set(try await repository.deletions().records.flatMap(\.objects))
    let stored = try await repository.storedPacks()
    for pack in manifest.packs {
      guard !condemned.contains(pack.key), let object = stored[pack.key], pack.intact(as: object) != nil
      else {
        return false
      }
    }
    // The same for what was written before the look.
    guard !condemned.contains(snapshot.manifest.key),
      !condemned.contains(where: { $0.hasPrefix(snapshot.record) }),
      try await repository.store.head(snapshot.manifest.key) != nil
    else { return false }
    // Another push of the same content may have committed meanwhile: its labels stay.
    var snapshot = snapshot
    if let present = try await repository.snapshot(at: snapshot.key) {
      snapshot.tags = Set(snapshot.tags).union(present.tags).sorted()
      snapshot.milestone = snapshot.milestone || present.milestone
    }
    // A prune that condemns a pack from now on waits for the grace period before it removes it. A look that is older than half of
    // that (a suspended process) is no look.
    guard repository.surroundings.now().seconds(since: looked) <= max(grace / 2, 60) else { return false }
    try await repository.write(snapshot)
    if snapshot.tags.contains("best") { try await Tagging.moveBest(to: snapshot, in: repository) }
    return true
  }

  /// The marker of a snapshot as it is now, where `fits` says that its manifest is the right one and everything of it is still
  /// stored; else nil. What was read before files were hashed may be hours old, so all of it is looked at again.
  func present(_ former: Snapshot, if fits: (Manifest) -> Bool) async throws -> Snapshot? {
    let store = repository.store
    let avoided = try await repository.avoidedObjects()
    let stored = try await repository.storedPacks()
    guard let snapshot = try await repository.snapshot(at: former.key) else { return nil }
    let held: Manifest
    do {
      held = try await repository.manifest(of: snapshot, listed: try await store.head(snapshot.manifest.key))
    } catch is FormatError {
      return nil
    }
    let isWhole = held.packs.allSatisfy { pack in
      !avoided.contains(pack.key) && stored[pack.key].flatMap { pack.intact(as: $0) } != nil
    }
    guard isWhole, fits(held) else { return nil }
    // A record that is damaged is written anew; most have a few small objects.
    let listed = Set(try await store.list(snapshot.record).objects.map(\.key))
    let faults = try await ArchiveRecord.faults(
      of: snapshot, held, in: repository, listed: listed, deep: true)
    return faults.isEmpty ? snapshot : nil
  }
}
