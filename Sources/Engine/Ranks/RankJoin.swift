import ObjectStore
import Platform
import Repository

/// Joins the shares of all processes and commits their snapshot.
struct RankJoin {
  /// What a join came to.
  enum Outcome {
    /// The snapshot is there.
    case committed(Snapshot)
    /// These processes have to push first.
    case awaiting([Int])
    /// A prune has condemned what the caller's share needs, or some of these files were sent by nobody: the caller sends again.
    case again(Set<RankView.File>)
  }

  private let repository: Repository
  private let request: Push.Request
  private let grace: Double

  /// A join in a repository with a grace period in seconds, by whoever pushes with `request`.
  init(_ repository: Repository, _ request: Push.Request, grace: Double) {
    self.repository = repository
    self.request = request
    self.grace = grace
  }

  /// Joins the shares of all processes of `own`'s group where they are all there. `views` are those that the caller knows.
  ///
  /// - Throws: `EngineError.ranksDisagree`; `.incomplete` where something is missing that nobody has; `StoreError`.
  func run(_ own: RankShare, knowing views: [Int: RankView]) async throws -> Outcome {
    let named = try await StoredShare.named(in: own.group, worldSize: own.worldSize, of: repository)
    // Most processes are not the last and see it by the names: they need not read what the others have written.
    let all = Set(0..<own.worldSize)
    let absent = all.subtracting(named.map(\.share.rank))
    guard absent.isEmpty else { return .awaiting(absent.sorted()) }
    let shares = try await StoredShare.read(named, from: repository)
    let missing = all.subtracting(shares.map(\.share.rank))
    guard missing.isEmpty else { return .awaiting(missing.sorted()) }
    var merge = try RankMerge(shares)
    guard !merge.manifest.files.isEmpty else { throw EngineError.nothingToPush(path: request.path) }
    if let outcome = try await unsent(merge, own, views) { return outcome }
    if !merge.absences.isEmpty, !request.allowsIncomplete {
      throw EngineError.incomplete(path: request.path, defects: merge.absences)
    }

    let avoided = try await repository.avoidedObjects()
    let commit = Commit(repository, grace: grace)
    guard try await commit.adoptETags(&merge.manifest, avoided: avoided) else {
      return try await lost(shares, own, avoided)
    }
    let snapshots = try await repository.snapshots(of: own.group.run).snapshots
    let former = snapshots.first { $0.id == merge.manifest.id && $0.step == merge.manifest.step }
    let reference = try await repository.write(merge.manifest)
    let snapshot = merge.snapshot(at: reference, replacing: former)
    guard let record = merge.record(snapshot, from: repository) else {
      return .awaiting([0])
    }
    if let rank = try await write(record) { return .awaiting([rank]) }
    guard try await commit.run(snapshot, merge.manifest) else { return .again([]) }
    try await remove(shares, of: own.group)
    return .committed(snapshot)
  }

  /// Writes the record; gives the process whose files for it are not there as its share tells, since somebody else has joined the
  /// shares and removed them, or it is sending anew, or they are damaged.
  private func write(_ record: ArchiveRecord) async throws -> Int? {
    let broken: String
    do {
      try await record.write(to: repository.store)
      return nil
    } catch StoreError.missing(let key) {
      broken = key
    } catch StoreError.tooLarge(let key, _) {
      broken = key
    } catch FormatError.digestMismatch(let key) {
      broken = key
    }
    guard let (share, _) = RankShare.parse(broken) else { throw StoreError.missing(key: broken) }
    return share.rank
  }

  /// Removes all shares that were joined, but for those that their processes have replaced since: what these hold is in no snapshot.
  private func remove(_ shares: [StoredShare], of group: RankGroup) async throws {
    let listed = try await repository.listed(group.folder)
    let joined = Set(shares.filter { listed[$0.share.part] == $0.stamp }.map(\.share))
    let keys = listed.keys.filter { key in RankShare.parse(key).map { joined.contains($0.share) } == true }
    try await repository.store.delete(keys.sorted())
  }

  /// What to do where somebody sees a file that nobody has sent; nil where there is none.
  private func unsent(_ merge: RankMerge, _ own: RankShare, _ known: [Int: RankView]) async throws -> Outcome?
  {
    var views = Dictionary(known.values.map { ($0.digest, $0) }, uniquingKeysWith: { first, _ in first })
    for share in merge.shares where views[share.part.view] == nil {
      do {
        views[share.part.view] = try await repository.view(of: share.share, digest: share.part.view)
      } catch is FormatError {}
      // Without its view nobody knows whether all of its files were sent.
      if views[share.part.view] == nil { return .awaiting([share.share.rank]) }
    }
    let gaps = merge.gaps(views.values)
    if gaps.isEmpty { return nil }
    if known[own.rank].map({ !gaps.isDisjoint(with: $0.files) }) == true { return .again(gaps) }
    return .awaiting(
      merge.shares.filter { share in views[share.part.view].map { !gaps.isDisjoint(with: $0.files) } == true }
        .map(\.share.rank))
  }

  /// What to do where packs of some shares are not to be relied on: these have to be sent again.
  private func lost(_ shares: [StoredShare], _ own: RankShare, _ avoided: Set<String>) async throws -> Outcome
  {
    let stored = try await repository.storedPacks()
    let hurt = shares.filter { share in
      share.manifest.packs.contains { avoided.contains($0.key) || stored[$0.key]?.size != $0.size }
    }
    try await repository.store.delete(hurt.map(\.share.part))
    let ranks = hurt.map(\.share.rank)
    return ranks.isEmpty || ranks.contains(own.rank) ? .again([]) : .awaiting(ranks)
  }
}
