import Checkpoints
import ObjectStore
import Platform
import Repository

/// Backs up one process's share of a checkpoint that many processes push together, and commits the snapshot where it is the last.
///
/// Nobody leads. Each process tells which files it sees, sends those that `RankSharing` gives it, and writes its part; whoever then
/// finds all parts joins and commits them. Several may: they write the same bytes under the same names.
public struct RankPush: Sendable {
  /// What a process's push did.
  public struct Report: Sendable {
    /// How the snapshot stands.
    public enum Outcome: Sendable {
      /// This process joined all shares and committed the snapshot.
      case committed(Snapshot)
      /// It was committed before, with these files in it.
      case present(Snapshot)
      /// The share is stored; these processes have not pushed theirs yet.
      case awaiting([Int])
    }
    /// How the snapshot stands.
    public var outcome: Outcome
    /// The run.
    public var run: String
    /// The training step.
    public var step: Int
    /// How many files this process stored, and their bytes.
    public var files: Int
    /// The bytes of these files.
    public var bytes: Int
    /// Bytes of chunks that were sent.
    public var addedBytes: Int
    /// What was locked, where that was asked for and the snapshot is there.
    public var lock: SnapshotLock.Report?
    /// What the user should know of the checkpoint, whatever the repository.
    public var checkpointWarnings: [String]
    /// What the user should know of what was done in this repository.
    public var repositoryWarnings: [String] = []
    /// All of it.
    public var warnings: [String] { checkpointWarnings + repositoryWarnings }
  }

  private let repository: Repository
  private let resources: Resources
  private let progress: Progress
  private let grace: Double
  private static let attempts = 3

  /// A push to a repository; `grace` is the repository's grace period in seconds.
  public init(_ repository: Repository, resources: Resources, progress: Progress, grace: Double) {
    self.repository = repository
    self.resources = resources
    self.progress = progress
    self.grace = grace
  }

  /// Pushes the share of the process that `request.rank` names.
  ///
  /// - Throws: as `Push.run`, and `EngineError.ranksDisagree`.
  public func run(_ request: Push.Request) async throws -> Report {
    let lock = try await SnapshotLock.prepare(request.lock, in: repository)
    var report = try await share(request)
    switch report.outcome {
    case .committed(let snapshot), .present(let snapshot): report.lock = try await lock?.run(snapshot)
    case .awaiting: break
    }
    return report
  }

  private func share(_ request: Push.Request) async throws -> Report {
    let rank = request.rank ?? .init(0, of: 1)
    let source = try await CheckpointSource.look(request, repository, resources, progress)
    let group = RankGroup(run: source.run, step: source.step, name: rank.group)
    let share = RankShare(group: group, rank: rank.rank, worldSize: rank.worldSize)
    let view = source.view
    var gaps = Set<RelativePath>()
    var added = 0
    for _ in 0..<Self.attempts {
      if let report = try await committedBefore(source, share) { return report }
      try await announce(view, share, group: rank.group)
      guard let views = try await views(besides: view, share, patience: rank.patience) else { continue }
      let taken = try await shares(beside: share).flatMap(\.manifest.files).map(RankView.File.init)
      let mine = RankSharing.files(of: share.rank, in: views).union(gaps)
        .subtracting(Set(view.files).intersection(taken).map(\.path))
      guard let sent = try await send(source.only(mine)) else { continue }
      added += sent.addedBytes
      let isFirst = !views.contains { $0.key < share.rank && $0.value == view }
      try await source.write(
        sent.manifest, addedBytes: added, view: view.digest, isFirst: isFirst, as: share, to: repository)
      func report(_ outcome: Report.Outcome, besides warnings: [String] = []) -> Report {
        Report(
          outcome: outcome, run: source.run, step: source.step, files: sent.manifest.files.count,
          bytes: sent.manifest.bytes, addedBytes: added, checkpointWarnings: source.warnings,
          repositoryWarnings: warnings)
      }
      let join = RankJoin(repository, request, grace: grace)
      switch try await join.run(share, knowing: views) {
      case .committed(let snapshot): return report(.committed(snapshot))
      case .awaiting(let ranks):
        // Somebody else may have joined the shares a moment ago, and removed them.
        let isRemoved = ranks.contains(share.rank)
        if let present = try await joined(sent.manifest, view, share, isRemoved: isRemoved) {
          try await clear(share)
          // Of a share that was joined the labels and the record's files are there already.
          if isRemoved { return report(.present(present)) }
          return report(
            .present(try await source.retag(present, in: repository)), besides: source.leftOut(of: present))
        }
        // Else it was removed with the shares of an older save.
        if !isRemoved { return report(.awaiting(ranks)) }
      case .again(let unsent): gaps.formUnion(unsent.intersection(view.files).map(\.path))
      }
    }
    throw EngineError.keptCondemned
  }

  /// Looks whether the snapshot was committed already: then the files that this process would send are read and compared.
  private func committedBefore(_ source: CheckpointSource, _ share: RankShare) async throws -> Report? {
    let view = source.view
    // Every snapshot has all files of a process that sees none.
    guard !view.files.isEmpty else { return nil }
    for (former, manifest) in try await snapshots(of: share.group) {
      guard Set(manifest.files.map(RankView.File.init)).isSuperset(of: view.files) else { continue }
      let everybody = Dictionary(uniqueKeysWithValues: (0..<share.worldSize).map { ($0, view) })
      let mine = source.only(RankSharing.files(of: share.rank, in: everybody))
      guard let read = try await send(mine, isDryRun: true),
        let present = try await Commit(repository, grace: grace).present(
          former, if: { $0.holds(read.manifest) })
      else { continue }
      try await clear(share)
      return Report(
        outcome: .present(try await source.retag(present, in: repository)), run: source.run,
        step: source.step, files: read.manifest.files.count, bytes: read.manifest.bytes, addedBytes: 0,
        checkpointWarnings: source.warnings, repositoryWarnings: source.leftOut(of: present))
    }
    return nil
  }

  /// Removes what an earlier attempt has left, since it may tell of other files, and tells which files are seen now.
  private func announce(_ view: RankView, _ share: RankShare, group: String) async throws {
    try await clear(share)
    try await repository.store.put(share.view(view.digest), Payload(try view.encode(group: group)))
  }

  private func clear(_ share: RankShare) async throws {
    let keys = try await repository.listed(share.folder).keys.sorted()
    if !keys.isEmpty { try await repository.store.delete(keys) }
  }

  /// What each process sees, by rank; those that say nothing within `patience` seconds are left out. Nil where somebody has joined an
  /// older share of this process meanwhile, and removed all of the group's.
  private func views(
    besides own: RankView, _ share: RankShare, patience: Double
  ) async throws -> [Int: RankView]? {
    progress.begin(.wait)
    let clock = repository.surroundings
    let start = clock.now()
    var byDigest = [own.digest: own]
    var pause = 0.1
    var slept = 0.0
    while true {
      var views = [share.rank: own]
      let objects = try await repository.store.list(share.group.folder).objects
      if !objects.contains(where: { $0.key == share.view(own.digest) }) { return nil }
      // A process that began anew may not have removed its older view yet.
      for object in objects.sorted(by: { $0.modified < $1.modified }) {
        guard let (other, name) = RankShare.parse(object.key), other.worldSize == share.worldSize,
          other.rank != share.rank, let digest = RankShare.digest(ofView: name)
        else { continue }
        if byDigest[digest] == nil {
          do { byDigest[digest] = try await repository.view(of: other, digest: digest) } catch is FormatError
          {}
        }
        views[other.rank] = byDigest[digest]
      }
      progress.wait(for: (0..<share.worldSize).filter { views[$0] == nil }, of: share.worldSize)
      // A clock that is set back while this waits must not make it wait longer.
      let waited = max(slept, clock.now().seconds(since: start))
      if views.count == share.worldSize || waited >= patience { return views }
      pause = min(pause, patience - waited)
      try await clock.sleep(pause)
      slept += pause
      pause = min(2, pause * 1.5)
    }
  }

  /// The whole shares of the other processes.
  private func shares(beside own: RankShare) async throws -> [StoredShare] {
    let named = try await StoredShare.named(in: own.group, worldSize: own.worldSize, of: repository)
    return try await StoredShare.read(named.filter { $0.share.rank != own.rank }, from: repository)
  }

  /// The committed snapshot, whole as listings tell, that has the files that this process has sent and, as far as sizes and times tell,
  /// all others that it sees. What was sent alone tells too little: checkpoints of one step may have files in common.
  private func joined(
    _ sent: Manifest, _ view: RankView, _ share: RankShare, isRemoved: Bool
  ) async throws -> Snapshot? {
    // Of a file that several have with times of their own, the snapshot keeps one time.
    let paths = Set(sent.files.map(\.path))
    for (former, manifest) in try await snapshots(of: share.group) {
      // Every snapshot has all files of a process that sees none. The one with its share is as late as the share.
      if view.files.isEmpty, !isRemoved || former.time < sent.time { continue }
      let stored = Set(manifest.files.map(RankView.File.init))
      guard view.files.allSatisfy({ paths.contains($0.path) || stored.contains($0) }) else { continue }
      let commit = Commit(repository, grace: grace)
      if let present = try await commit.present(former, if: { $0.holds(sent) }) { return present }
    }
    return nil
  }

  /// The committed snapshots of the group's step that can be read.
  private func snapshots(
    of group: RankGroup
  ) async throws -> [(snapshot: Snapshot, manifest: Manifest)] {
    let listed = try await repository.snapshots(of: group.run).snapshots.filter { $0.step == group.step }
    return try await repository.manifests(of: listed).compactMap { snapshot, result in
      (try? result.get()).map { (snapshot, $0) }
    }
  }

  /// Sends what the repository lacks of the files and gives their manifest; nil where a prune condemned what it had counted on, or
  /// where a dry run finds something to send.
  private func send(
    _ source: CheckpointSource, isDryRun: Bool = false
  ) async throws -> (manifest: Manifest, addedBytes: Int)? {
    progress.begin(.compare)
    let known = try await KnownChunks.load(from: repository)
    var index = known.index
    progress.begin(.send, total: source.bytes)
    let upload = ChunkUpload(
      store: isDryRun ? DryRunStore(base: repository.store) : repository.store,
      random: repository.surroundings.random, resources: resources, progress: progress,
      sizes: source.request.sizes)
    let reader = HashedReader(source.files, below: source.root, resources)
    let (stored, added) = try await upload.run(source.files, reader, index: &index)
    progress.begin(.commit)
    var manifest = source.manifest(stored, packs: index.packs, time: repository.surroundings.now())
    if isDryRun { return added == 0 ? (manifest, 0) : nil }
    let commit = Commit(repository, grace: grace)
    return try await commit.adoptETags(&manifest, avoided: known.avoided) ? (manifest, added) : nil
  }
}

extension RankView.File {
  /// A stored file as a process would see it.
  init(_ entry: Manifest.FileEntry) {
    self.init(path: entry.path, size: entry.size, modified: entry.attributes.modified)
  }
}

extension Manifest {
  /// Whether all files of `other` are here with the same content.
  fileprivate func holds(_ other: Manifest) -> Bool {
    let contents = Dictionary(files.map { ($0.path, $0.sha256) }, uniquingKeysWith: { first, _ in first })
    return other.files.allSatisfy { contents[$0.path] == $0.sha256 }
  }
}
