import ObjectStore
import Platform
import Repository

/// Copies whole snapshots from one repository to another.
///
/// Packs are taken as they are, under their own keys, so that a copy that was interrupted goes on and one that is repeated sends only
/// what is new. A key that is taken or condemned in the target is never written to: the pack gets another one there.
public struct Copy: Sendable {
  /// What a copy did.
  public struct Report: Sendable {
    /// Snapshots that the target has now and had not before.
    public var copied: [Snapshot] = []
    /// Snapshots that were there already, as the target has them.
    public var present: [Snapshot] = []
    /// Those of them whose labels are others than in the source; the target's stay.
    public var relabelled: [Snapshot] = []
    /// Snapshots that were not copied since something of them is damaged.
    public var refused: [Snapshot] = []
    /// What is damaged in the source.
    public var damages: [Damage] = []
    /// Packs that were copied, by whatever way.
    public var packs = 0
    /// Bytes of packs that passed through this machine.
    public var sentBytes = 0
    /// Bytes of packs that the server copied by itself.
    public var serverBytes = 0
  }

  private let source: Repository
  private let target: Repository
  private let resources: Resources
  private let progress: Progress
  private let grace: Double
  private let part: Int

  /// How often a snapshot starts over since prunes of the target condemn what it uses.
  private static let attempts = 3

  /// A copy between two repositories.
  ///
  /// - Parameters:
  ///   - resources: for the source's chunk size.
  ///   - grace: the target's grace period in seconds.
  ///   - part: bytes of a part of a pack's upload.
  public init(
    from source: Repository, to target: Repository, resources: Resources, progress: Progress, grace: Double,
    part: Int = PackWriter.Sizes.standard.part
  ) {
    self.source = source
    self.target = target
    self.resources = resources
    self.progress = progress
    self.grace = grace
    self.part = part
  }

  /// Copies the snapshots that `choose` picks from all of the source, the oldest of each run first. Damaged ones are left out and
  /// reported.
  ///
  /// - Throws: `EngineError.chunksTooLong` where the target takes only shorter chunks than the source may have, `.keptCondemned`;
  ///   `FormatError`, `StoreError`, `CancellationError`. What was copied by then is kept.
  public func run(
    choose: @Sendable ([Snapshot]) throws -> [Snapshot] = { $0 }
  ) async throws -> Report {
    guard source.info.chunkSize <= target.info.chunkSize else {
      throw EngineError.chunksTooLong(source.info.chunkSize, limit: target.info.chunkSize)
    }
    progress.begin(.compare)
    var report = Report()
    var state = try await CopyTarget.load(target)
    let plan = try await CopyPlan.load(source, choose, target: state)
    report.damages += plan.damages
    report.refused += plan.refused
    for snapshot in plan.present {
      guard let present = state.whole[snapshot.key] else { continue }
      report.present.append(present)
      if !present.hasSameLabels(as: snapshot) { report.relabelled.append(present) }
    }
    let needed = Set(plan.whole.flatMap(\.manifest.packs)).filter { !state.has($0) }
    progress.begin(.send, total: needed.reduce(0) { $0 + $1.size })

    let packs = PackCopy(
      source: source, target: target, resources: resources, progress: progress, part: part,
      manifests: plan.whole, stored: plan.stored)
    var isDamaged = false
    for (snapshot, manifest) in plan.whole {
      var done: Bool?
      for _ in 0..<Self.attempts where done == nil {
        done = try await attempt(snapshot, manifest, packs, state)
        if done == nil {
          state = try await CopyTarget.load(target)
          await packs.revise(state)
        }
      }
      guard let done else { throw EngineError.keptCondemned }
      // One that was removed from the source meanwhile is no damage.
      if done {
        report.copied.append(snapshot)
      } else if try await source.snapshot(at: snapshot.key) != nil {
        report.refused.append(snapshot)
        isDamaged = true
      }
    }
    let outcome = await packs.outcome
    if isDamaged { report.damages += Damage.of(outcome.losses, in: plan.whole) }
    report.packs = outcome.packs
    report.sentBytes = outcome.sentBytes
    report.serverBytes = outcome.serverBytes
    return report
  }

  /// Copies one snapshot: packs, manifest, record, marker. False where a pack is damaged, nil where a prune of the target condemned
  /// what was counted on.
  private func attempt(
    _ snapshot: Snapshot, _ manifest: Manifest, _ packs: PackCopy, _ state: CopyTarget
  ) async throws -> Bool? {
    var manifest = manifest
    for (index, pack) in manifest.packs.enumerated() {
      guard let key = try await packs.place(pack, state) else { return false }
      manifest.packs[index].key = key
    }
    let commit = Commit(target, grace: grace)
    guard try await commit.adoptETags(&manifest, avoided: state.avoided) else { return nil }
    // The stamp keeps it apart from the manifest of a copy that was removed, which a prune may be about to delete.
    var copy = snapshot
    copy.manifest = try await target.write(manifest, stamp: target.surroundings.now())
    try await copyRecord(of: snapshot, to: copy)
    if let present = try await target.snapshot(at: copy.key) {
      (copy.tags, copy.milestone, copy.note) = (present.tags, present.milestone, present.note)
    }
    return try await commit.run(copy, manifest) ? true : nil
  }

  /// Copies the objects of a record, `record.json` last.
  private func copyRecord(of snapshot: Snapshot, to copy: Snapshot) async throws {
    let main = snapshot.record + "record.json"
    let objects = try await source.store.list(snapshot.record).objects.map(\.key).filter { $0 != main }
    for key in objects + [main] {
      let bytes = try await source.store.get(key, limit: ArchiveRecord.largestObject)
      try await target.store.put(copy.record + key.dropFirst(snapshot.record.count), Payload(bytes))
    }
  }
}

extension Snapshot {
  /// Whether what people say of both is the same.
  fileprivate func hasSameLabels(as other: Snapshot) -> Bool {
    tags == other.tags && milestone == other.milestone && note == other.note
  }
}
