import ObjectStore
import Platform
import Repository

/// Removes snapshots by policy, and in a later run the objects that nothing needs any more.
///
/// No lock is taken. Phase one deletes markers and writes down what became unused; phase two, once that is older than the grace
/// period, looks again and deletes what still is. A push looks at what is written down before it commits.
public struct Prune: Sendable {
  /// What a prune found, did or would do.
  public struct Report: Sendable {
    /// What was decided on each snapshot, by run and step.
    public var decisions: [RetentionPolicy.Decision] = []
    /// The snapshots of which the weights alone stay, as they were before.
    public var thinned: [Snapshot] = []
    /// Objects that this prune found unused and that a later one removes when the grace period is over.
    public var condemnedObjects = 0
    /// Their bytes.
    public var condemnedBytes = 0
    /// Objects that were removed for good.
    public var deletedObjects = 0
    /// Their bytes.
    public var deletedBytes = 0
    /// Condemned objects that are needed again.
    public var spared = 0
    /// Uploads that nobody finished and that were ended; nil in a plan where the credentials may not list them.
    public var abortedUploads: Int? = 0
    /// Shares of groups that never came to a snapshot and that were removed.
    public var abandonedShares = 0
    /// Their bytes; those of packs that they name are none of them.
    public var abandonedBytes = 0
    /// Objects that earlier prunes condemned and whose grace period is not over.
    public var waiting = 0

    /// Snapshots that cannot be restored whole, since a pack of theirs is missing or damaged: they take no other's place.
    public var broken: [Snapshot] = []
    /// Snapshots that no rule keeps and that stay since their marker is locked.
    public var lockedSnapshots: [LockedSnapshot] = []
    /// Objects that nothing needs and that stay since they are locked; later prunes try again. A plan does not know them.
    public var lockedObjects = 0
    /// Their bytes.
    public var lockedBytes = 0
    /// When the last of these locks ends; nil where there is none.
    public var lockedUntil: Timestamp?
    /// Whether something was deleted that stays as an old version, since no rule of the bucket ends these.
    public var keepsOldVersions = false

    /// The snapshots that go.
    public var forgotten: [Snapshot] {
      let locked = Set(lockedSnapshots.map(\.snapshot.key))
      return decisions.filter { !$0.keeps && !locked.contains($0.snapshot.key) }.map(\.snapshot)
    }
  }

  private let repository: Repository
  private let policy: RetentionPolicy
  private let run: String?
  private let grace: Double

  /// A prune of one run or of all, with a grace period in seconds.
  public init(_ repository: Repository, policy: RetentionPolicy, run: String?, grace: Double) {
    self.repository = repository
    self.policy = policy
    self.run = run
    self.grace = grace
  }

  /// What `run` would do now, without changing anything.
  public func plan() async throws -> Report {
    var proof = ListingProof(repository)
    var report = Report()
    let (due, waiting) = try await condemned()
    report.waiting = waiting.reduce(0) { $0 + $1.objects.count }
    let state = try await RepositoryState.load(repository, &proof)
    var deleted = Set<String>()
    for record in due { report.add(state.split(record, unless: &deleted)) }
    report.decisions = decisions(state)
    report.broken = state.broken
    report.thinned = state.thinnable(report.decisions)
    let condemned = deleted.union(waiting.flatMap(\.objects))
    report.add(
      condemned: state.unused(
        after: Set((report.forgotten + report.thinned).map(\.key)), thinned: Set(report.thinned.map(\.key)),
        grace: grace, condemned: condemned))
    do {
      report.abortedUploads = try await abandonedUploads(now: state.now).count
    } catch StoreError.denied {
      report.abortedUploads = nil
    }
    report.add(abandoned: try await AbandonedShares.find(in: repository, grace: grace))
    return report
  }

  /// Runs phase two on what earlier prunes condemned, then phase one.
  public func run() async throws -> Report {
    var report = Report()
    var proof = ListingProof(repository)
    try await deleteCondemned(&report, &proof)
    let before = try await RepositoryState.load(repository, &proof)
    report.decisions = decisions(before)
    report.broken = before.broken
    // One whose marker a lock keeps would stay beside what is left of it, and stand for two among those that are to be kept.
    let thinnable = before.thinnable(report.decisions)
    let fixed = try await repository.locked(thinnable)
    let fixedKeys = Set(fixed.map(\.snapshot.key))
    // What stays of a snapshot is committed before the whole one goes.
    for snapshot in thinnable where !fixedKeys.contains(snapshot.key) {
      guard try await Thinning(repository, grace: grace).run(snapshot) else { continue }
      report.thinned.append(snapshot)
    }
    let (removed, lockedNow) = try await repository.remove(
      report.forgotten + report.thinned, ifUnchanged: true)
    report.lockedSnapshots = fixed + lockedNow
    let locked = Set(report.lockedSnapshots.map(\.snapshot.key))
    report.thinned.removeAll { locked.contains($0.key) }
    proof.forget(removed)
    try await condemnUnused(before, &report, &proof)
    proof.remember()
    let uploads = try await abandonedUploads(now: before.now)
    for pending in uploads { try await repository.store.abort(pending.upload) }
    report.abortedUploads = uploads.count
    let shares = try await AbandonedShares.find(in: repository, grace: grace)
    let gone = try await delete(shares, &report) { [repository, grace] keys in
      // A process that was run again has written its share anew.
      let still = Set(try await AbandonedShares.find(in: repository, grace: grace).map(\.key))
      return keys.filter(still.contains)
    }.gone
    report.add(abandoned: gone)
    if report.deletedObjects > 0 || report.abandonedShares > 0 {
      // The work is done; a server that does not answer this takes nothing from it.
      report.keepsOldVersions = (try? await repository.store.keepsOldVersions()) ?? false
    }
    return report
  }

  /// Uploads of packs that were begun longer ago than the grace period.
  private func abandonedUploads(now: Timestamp) async throws -> [PendingUpload] {
    try await repository.store.listUploads(ObjectKey.packs).filter { now.seconds(since: $0.started) > grace }
  }

  /// The records of earlier prunes: those whose grace period is over, and those whose is not.
  private func condemned() async throws -> (due: [DeletionRecord], waiting: [DeletionRecord]) {
    let (records, now) = try await repository.deletions()
    let isDue = { (record: DeletionRecord) in now.seconds(since: record.written) >= grace }
    return (records.filter(isDue), records.filter { !isDue($0) })
  }

  private func decisions(_ state: RepositoryState) -> [RetentionPolicy.Decision] {
    let chosen = state.snapshots.filter { run.map($0.belongs) ?? true }
    let broken = Set(state.broken.map(\.key))
    return chosen.byRun().flatMap { policy.decide($0.snapshots, now: state.now, broken: broken) }
  }

  /// Phase one's end: what the remaining snapshots do not need is written to `deletions/`.
  private func condemnUnused(
    _ before: RepositoryState, _ report: inout Report, _ proof: inout ListingProof
  ) async throws {
    let after = try await RepositoryState.load(repository, &proof)
    let gone = Set(before.snapshots.map(\.key)).subtracting(after.snapshots.map(\.key))
    let condemned = Set(try await repository.deletions().records.flatMap(\.objects))
    let state = after.adding(manifestsOf: gone, from: before)
    let unused = state.unused(after: gone, grace: grace, condemned: condemned)
    guard !unused.isEmpty else { return }
    _ = try await repository.condemn(unused.map(\.key))
    report.add(condemned: unused)
  }

  /// Phase two: records older than the grace period are carried out.
  private func deleteCondemned(_ report: inout Report, _ proof: inout ListingProof) async throws {
    let (due, waiting) = try await condemned()
    report.waiting = waiting.reduce(0) { $0 + $1.objects.count }
    guard !due.isEmpty else { return }
    let state = try await RepositoryState.load(repository, &proof)
    var deleted = Set<String>()
    for record in due {
      var split = state.split(record, unless: &deleted)
      // Another prune may have carried it out meanwhile, and a copy brought packs back under their names since.
      var isThere = try await repository.store.head(record.key) != nil
      guard isThere else { continue }
      let (gone, locked) = try await delete(split.unused, &report) { keys in
        isThere = try await repository.store.head(record.key) != nil
        return isThere ? keys : []
      }
      guard isThere else { continue }
      split.unused = gone
      report.add(split)
      // While locked objects wait for their deletion, they stay condemned. What is needed again must not wait with them.
      if !locked.isEmpty {
        guard split.needed > 0 else { continue }
        _ = try await repository.condemn(locked)
      }
      // The record goes last: while it stands, a push knows that these packs are not to be relied on. Where the bucket locks
      // everything, it stands for longer than it is of use.
      _ = try await repository.delete([record.key])
    }
  }

  /// Deletes objects that nothing needs, as far as `confirm` gives their keys at the last moment. Those that a lock keeps are reported.
  private func delete(
    _ objects: [ObjectInfo], _ report: inout Report, confirm: ([String]) async throws -> [String] = { $0 }
  ) async throws -> (gone: [ObjectInfo], locked: [String]) {
    let (deleted, locked) = try await repository.delete(objects.map(\.key), confirm: confirm)
    for object in objects {
      guard let until = locked[object.key] else { continue }
      report.lockedObjects += 1
      report.lockedBytes += object.size
      report.lockedUntil = max(until, report.lockedUntil ?? until)
    }
    let gone = Set(deleted)
    return (objects.filter { gone.contains($0.key) }, locked.keys.sorted())
  }
}

extension Prune.Report {
  fileprivate mutating func add(condemned objects: [ObjectInfo]) {
    condemnedObjects += objects.count
    condemnedBytes += objects.reduce(0) { $0 + $1.size }
  }

  fileprivate mutating func add(_ carriedOut: (needed: Int, unused: [ObjectInfo])) {
    deletedObjects += carriedOut.unused.count
    deletedBytes += carriedOut.unused.reduce(0) { $0 + $1.size }
    spared += carriedOut.needed
  }

  fileprivate mutating func add(abandoned objects: [ObjectInfo]) {
    abandonedShares += Set(objects.compactMap { RankShare.parse($0.key)?.share }).count
    abandonedBytes += objects.reduce(0) { $0 + $1.size }
  }
}

/// The snapshots that need a pack that is missing, has another size, or was found damaged when it was read last.
private struct PackFaults {
  private let stored: [String: ObjectInfo]
  private let ledger: Ledger
  /// By packs that are not listed, the markers' keys of the snapshots that need them.
  private var missing: [String: Set<String>] = [:]
  private var broken = Set<String>()

  init(_ packs: [ObjectInfo], _ ledger: Ledger) {
    stored = Dictionary(packs.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    self.ledger = ledger
  }

  mutating func note(_ packs: [Manifest.PackReference], of snapshot: Snapshot) {
    for pack in packs {
      switch Verify.fault(of: pack, stored: stored[pack.key], ledger: ledger) {
      case .missing: missing[pack.key, default: []].insert(snapshot.key)
      case .wrongSize, .wrongContent: broken.insert(snapshot.key)
      // A store that was copied has other ETags for the same bytes.
      case .replaced, .unreadable, nil: break
      }
    }
  }

  /// The keys of the markers of all that were noted and cannot be restored whole.
  func broken(in store: any ObjectStore) async throws -> Set<String> {
    // A push may have sent a pack after they were listed.
    let present = Set(try await ListingProof.present(Set(missing.keys), in: store).map(\.key))
    return missing.reduce(into: broken) { if !present.contains($1.key) { $0.formUnion($1.value) } }
  }
}

/// All snapshots with their manifests, and all objects that belong to snapshots: what a deletion must know for sure.
private struct RepositoryState {
  let snapshots: [Snapshot]
  /// Those of them that cannot be restored whole.
  let broken: [Snapshot]
  let objects: [ObjectInfo]
  let now: Timestamp
  private let infos: [String: ObjectInfo]
  private var packsOf: [String: Set<String>]
  /// The packs that a snapshot needs when it is thinned, where it has something to let go.
  private let thinPacksOf: [String: Set<String>]
  private let neededPacks: Set<String>
  private let neededManifests: Set<String>
  private let neededRecords: Set<String>

  /// Reads everything.
  ///
  /// - Throws: `EngineError.unsafeToDelete` where a marker or manifest cannot be read: nobody knows then what is needed;
  ///   `.shortListing` where a listing is proven to lack something.
  static func load(
    _ repository: Repository, _ proof: inout ListingProof
  ) async throws -> RepositoryState {
    for _ in 0..<5 {
      if let state = try await look(repository, &proof) { return state }
    }
    throw EngineError.unsafeToDelete(reason: "snapshots are committed faster than they can be listed")
  }

  /// One look, or nil where something that came meanwhile asks for another.
  private static func look(
    _ repository: Repository, _ proof: inout ListingProof
  ) async throws -> RepositoryState? {
    let ledger = try await repository.ledger().ledger
    // Objects are listed before markers: what a push commits meanwhile is then seen as needed, or not seen at all.
    let packs = try await repository.store.list(ObjectKey.packs)
    let manifests = try await repository.store.list(ObjectKey.manifests)
    let records = try await repository.store.list(ObjectKey.records)
    let listing = try await repository.snapshots()
    if let broken = listing.unreadable.first {
      throw EngineError.unsafeToDelete(
        reason: "a snapshot's marker cannot be read: \(broken.objectAndDetail)")
    }
    var packsOf: [String: Set<String>] = [:]
    var thinPacksOf: [String: Set<String>] = [:]
    var faults = PackFaults(packs.objects, ledger)
    for (snapshot, result) in try await repository.manifests(of: listing.snapshots) {
      switch result {
      case .success(let manifest):
        packsOf[snapshot.key] = Set(manifest.packs.map(\.key))
        faults.note(manifest.packs, of: snapshot)
        thinPacksOf[snapshot.key] = manifest.thinned.map { Set($0.packs.map(\.key)) }
      case .failure(let error):
        throw EngineError.unsafeToDelete(
          reason: "the manifest of \(snapshot.label) cannot be read: \(error.objectAndDetail)")
      }
    }
    let broken = try await faults.broken(in: repository.store)
    let state = RepositoryState(
      snapshots: listing.snapshots, broken: listing.snapshots.filter { broken.contains($0.key) },
      objects: packs.objects + manifests.objects + records.objects,
      now: listing.now, packsOf: packsOf, thinPacksOf: thinPacksOf)
    for snapshot in listing.snapshots { packsOf[snapshot.key]?.insert(snapshot.manifest.key) }
    let isWhole = try await proof.check(
      markers: listing.snapshots.map(\.key), objects: state.objects, needs: packsOf, at: packs.now)
    return isWhole ? state : nil
  }

  private init(
    snapshots: [Snapshot], broken: [Snapshot], objects: [ObjectInfo], now: Timestamp,
    packsOf: [String: Set<String>],
    thinPacksOf: [String: Set<String>]
  ) {
    self.thinPacksOf = thinPacksOf
    self.snapshots = snapshots
    self.broken = broken
    self.objects = objects
    self.now = now
    self.packsOf = packsOf
    infos = Dictionary(objects.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    neededPacks = snapshots.reduce(into: []) { $0.formUnion(packsOf[$1.key] ?? []) }
    neededManifests = Set(snapshots.map(\.manifest.key))
    neededRecords = Set(snapshots.map(\.record))
  }

  /// This state, which also knows what snapshots that have gone since `earlier` had needed.
  func adding(manifestsOf gone: Set<String>, from earlier: RepositoryState) -> RepositoryState {
    var result = self
    for key in gone { result.packsOf[key] = earlier.packsOf[key] }
    result.goneManifests = Set(earlier.snapshots.filter { gone.contains($0.key) }.map(\.manifest.key))
    return result
  }
  private var goneManifests: Set<String> = []

  /// The snapshots that are to be thinned and have something to let go.
  func thinnable(_ decisions: [RetentionPolicy.Decision]) -> [Snapshot] {
    decisions.filter { $0.thins && thinPacksOf[$0.snapshot.key] != nil }.map(\.snapshot)
  }

  /// How many objects of a record are needed again, and those that are there and needed by nobody, which join `deleted`.
  func split(
    _ record: DeletionRecord, unless deleted: inout Set<String>
  ) -> (needed: Int, unused: [ObjectInfo]) {
    let needed = record.objects.count(where: isNeeded)
    let unused = record.objects.filter { !isNeeded($0) && isRemovable($0) && deleted.insert($0).inserted }
    return (needed, unused.compactMap { infos[$0] })
  }

  /// Whether a snapshot that is there needs the object.
  func isNeeded(_ key: String) -> Bool {
    neededPacks.contains(key) || neededManifests.contains(key)
      || neededRecords.contains(Self.recordFolder(key))
  }

  /// Whether a prune may ever remove such an object, whatever a deletion record says.
  func isRemovable(_ key: String) -> Bool {
    key.hasPrefix(ObjectKey.packs) || key.hasPrefix(ObjectKey.manifests) || key.hasPrefix(ObjectKey.records)
  }

  /// The objects that no snapshot needs but `forgotten` ones, and that either those needed or that are older than `grace`
  /// seconds: younger ones may belong to a push that is under way. Of the `thinned` among the forgotten, the weights' packs are needed.
  func unused(
    after forgotten: Set<String>, thinned: Set<String> = [], grace: Double, condemned: Set<String>
  ) -> [ObjectInfo] {
    let remaining = snapshots.filter { !forgotten.contains($0.key) }
    var packs = remaining.reduce(into: Set<String>()) { $0.formUnion(packsOf[$1.key] ?? []) }
    for key in thinned { packs.formUnion(thinPacksOf[key] ?? []) }
    let manifests = Set(remaining.map(\.manifest.key))
    let records = Set(remaining.map(\.record))
    let hadPacks = forgotten.reduce(into: Set<String>()) { $0.formUnion(packsOf[$1] ?? []) }
    let hadManifests = goneManifests.union(
      snapshots.filter { forgotten.contains($0.key) }.map(\.manifest.key))
    let hadRecords = Set(hadManifests.map { ObjectKey.record(besides: $0) })
    return objects.filter { object in
      let folder = Self.recordFolder(object.key)
      if packs.contains(object.key) || manifests.contains(object.key) || records.contains(folder) {
        return false
      }
      if condemned.contains(object.key) { return false }
      let wasUsed =
        hadPacks.contains(object.key) || hadManifests.contains(object.key) || hadRecords.contains(folder)
      return wasUsed || now.seconds(since: object.modified) > grace
    }
  }

  /// `records/RUN/NAME/` of an object in it.
  private static func recordFolder(_ key: String) -> String {
    let parts = key.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count > 3 && parts[0] == "records" ? parts[0..<3].joined(separator: "/") + "/" : ""
  }
}

extension FormatError {
  /// The object and what is wrong with it, in a few words.
  var objectAndDetail: String {
    switch self {
    case .invalid(let object, let detail), .tooLarge(let object, let detail): "\(object): \(detail)"
    case .digestMismatch(let object): "\(object) does not match its digest"
    case .missing(let object): "\(object) is missing"
    case .newerFormat(let object, let format):
      "\(object) has format \(format), which is newer than this program"
    case .noRepository(let place), .occupied(let place, _), .exists(let place): place
    }
  }
}
