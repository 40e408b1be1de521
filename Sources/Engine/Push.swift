import Checkpoints
import Digests
import ObjectStore
import Platform
import Repository

/// Backs up one checkpoint: checks it, sends what the repository lacks, and commits a snapshot.
public struct Push: Sendable {
  /// What is pushed, and what the user says of it. What is left out is found in the checkpoint.
  public struct Request: Sendable {
    /// A directory or a file.
    public var path: String
    /// The run's name.
    public var run: String?
    /// The training step.
    public var step: Int?
    /// Labels.
    public var tags: [String] = []
    /// Whether prune must keep it for ever.
    public var isMilestone = false
    /// Metrics, which win over those that are found.
    public var metrics: [String: Double] = [:]
    /// Names of metrics that snapshots are compared by: the marker tells them, however many there are.
    public var comparedMetrics: Set<String> = []
    /// Training logs, hyper-parameter files and evaluation results that go into the record.
    public var attachments: [(path: String, role: ArchiveRecord.Attachment.Role)] = []
    /// A sentence.
    public var note: String?
    /// The command line, as the record keeps it.
    public var commandLine: [String] = []
    /// The machine's name, as the record keeps it.
    public var host: String?
    /// This program's version, as the record keeps it.
    public var program = ""
    /// The machine and the code, as the record keeps them.
    public var environment: TrainingEnvironment?
    /// Whether everything is read and compared but nothing is written to the store.
    public var isDryRun = false
    /// Whether a checkpoint with defects is kept all the same, marked as incomplete.
    public var allowsIncomplete = false
    /// For how many seconds the end of a save is waited for; nil not to wait.
    public var patience: Double?
    /// Whether entries that cannot be kept are an error.
    public var isStrict = false
    /// Which of many processes this is, where these push one checkpoint together.
    public var rank: Rank?
    /// For how long what the snapshot needs is locked against deletion, and how strictly; nil for not at all.
    public var lock: SnapshotLock.Request?
    /// Sizes of packs and parts.
    public var sizes = PackWriter.Sizes.standard

    /// A push of a path.
    public init(path: String) { self.path = path }
  }

  /// What a push did.
  public struct Report: Sendable {
    /// The snapshot, new or found.
    public var snapshot: Snapshot
    /// Whether it was there already, so that nothing was sent.
    public var wasPresent: Bool
    /// Bytes of chunks that were sent.
    public var addedBytes: Int
    /// What was locked, where that was asked for.
    public var lock: SnapshotLock.Report?
    /// Bytes that the repository had already.
    public var reusedBytes: Int { snapshot.bytes - addedBytes }
    /// What the user should know of the checkpoint: skipped entries, defects that were allowed, names that were guessed.
    public var checkpointWarnings: [String]
    /// What the user should know of the repository.
    public var repositoryWarnings: [String]
    /// Both.
    public var warnings: [String] { checkpointWarnings + repositoryWarnings }
  }

  let repository: Repository
  let resources: Resources
  let progress: Progress
  private let grace: Double

  /// How often a push starts over since prunes condemn what it uses.
  private static let attempts = 3

  /// A push to a repository; `grace` is the repository's grace period in seconds.
  public init(_ repository: Repository, resources: Resources, progress: Progress, grace: Double) {
    self.repository = repository
    self.resources = resources
    self.progress = progress
    self.grace = grace
  }

  /// Pushes.
  ///
  /// - Throws: `EngineError`, `FormatError`, `StoreError`, `SystemError`, `CancellationError`; then no snapshot was committed, and
  ///   what was sent is found by the next push. After `EngineError.notLocked` the snapshot is there.
  public func run(_ request: Request) async throws -> Report {
    let lock = try await SnapshotLock.prepare(request.lock, in: repository)
    let source = try await CheckpointSource.look(request, repository, resources, progress)
    return try await run(request, source, lock)
  }

  /// Pushes a checkpoint that was looked at; `attemptsBefore` tells how often that was tried already.
  func run(
    _ request: Request, _ source: CheckpointSource, _ lock: SnapshotLock?, attemptsBefore: Int = 0
  ) async throws -> Report {
    for _ in attemptsBefore..<Self.attempts {
      let reader = HashedReader(source.files, below: source.root, resources)
      if let report = try await attempt(request, source, lock, reader) { return report }
    }
    throw EngineError.keptCondemned
  }

  /// One attempt with what `reading` reads of the source's files; nil where a prune condemned a pack that it had counted on.
  func attempt(
    _ request: Request, _ source: CheckpointSource, _ lock: SnapshotLock?, _ reading: some ChunkReading
  ) async throws -> Report? {
    guard var report = try await store(request, source, reading) else { return nil }
    if !request.isDryRun { report.lock = try await lock?.run(report.snapshot) }
    return report
  }

  private func store(
    _ request: Request, _ source: CheckpointSource, _ reading: some ChunkReading
  ) async throws -> Report? {
    progress.begin(.compare)
    let known = try await KnownChunks.load(from: repository)
    var index = known.index
    progress.begin(.send, total: source.bytes)
    let upload = ChunkUpload(
      store: request.isDryRun ? DryRunStore(base: repository.store) : repository.store,
      random: repository.surroundings.random, resources: resources, progress: progress, sizes: request.sizes)
    let (stored, added) = try await upload.run(source.files, reading, index: &index)

    progress.begin(.commit)
    var manifest = source.manifest(stored, packs: index.packs, time: repository.surroundings.now())
    let former = known.snapshots.first {
      $0.id == manifest.id && $0.belongs(to: manifest.run) && $0.step == manifest.step
    }
    func report(_ snapshot: Snapshot, wasPresent: Bool = false) -> Report {
      let leftOut = wasPresent ? source.leftOut(of: snapshot) : []
      return Report(
        snapshot: snapshot, wasPresent: wasPresent, addedBytes: added,
        checkpointWarnings: source.warnings,
        repositoryWarnings: leftOut + source.collisions(manifest, with: known.snapshots))
    }
    let commit = Commit(repository, grace: grace)
    // What was kept as incomplete may have been pushed before its save had ended, with all bytes there by chance.
    if added == 0, let former, former.complete || !source.isComplete,
      let present = try await commit.present(former, if: { $0.hasSameTree(as: manifest) })
    {
      return report(
        request.isDryRun ? present : try await source.retag(present, in: repository), wasPresent: true)
    }
    if request.isDryRun {
      let place = Snapshot.ManifestReference(key: "", sha256: "", size: 0)
      return report(source.snapshot(of: manifest, addedBytes: added, at: place, replacing: former))
    }

    // The listing gives the ETags that the store shows, and proves that every pack is there with its size.
    guard try await commit.adoptETags(&manifest, avoided: known.avoided) else { return nil }
    let reference = try await repository.write(manifest)
    let snapshot = source.snapshot(of: manifest, addedBytes: added, at: reference, replacing: former)
    var record = source.record(snapshot, manifest)
    try await addTensors(to: &record, of: source, besides: known.snapshots)
    try await record.write(to: repository.store)
    return try await commit.run(snapshot, manifest) ? report(snapshot) : nil
  }

  /// Adds a digest of each tensor, and which modules are as they were in the run's snapshot before.
  private func addTensors(
    to record: inout ArchiveRecord, of source: CheckpointSource, besides snapshots: [Snapshot]
  ) async throws {
    let (manifest, chunkSize) = (record.manifest, repository.info.chunkSize)
    // Nothing of a push depends on the digests: where they cannot be made, the record goes without.
    let made = try? await resources.disk.run {
      let digests = try TensorDigests(
        TensorMap(of: source.inspection), of: manifest, below: source.root, chunkSize: chunkSize)
      return (digests, bytes: try digests.encode())
    }
    try Task.checkCancellation()
    guard let (digests, bytes) = made, !digests.tensors.isEmpty, bytes.count <= TensorDigests.largestFile,
      !record.attachments.contains(where: { $0.name == TensorDigests.fileName })
    else { return }
    record.attachments.append(.init(name: TensorDigests.fileName, role: .tensors) { bytes })
    let earlier = snapshots.filter { $0.belongs(to: manifest.run) && $0.step < manifest.step && $0.complete }
    guard let before = earlier.max(by: { ($0.step, $0.time) < ($1.step, $1.time) }) else { return }
    let old = try? await TensorDigests.read(
      before, ArchiveRecord.read(of: before, from: repository), from: repository)
    try Task.checkCancellation()
    let frozen = TensorChanges(old, digests)?.frozen ?? []
    if !frozen.isEmpty {
      record.document.frozen = .init(since: before.id, step: before.step, modules: frozen)
    }
  }
}

extension Manifest {
  /// Whether files, permissions, links and directories are the same. The id tells of the files' names and contents.
  fileprivate func hasSameTree(as other: Manifest) -> Bool {
    id == other.id && root?.permissions == other.root?.permissions
      && files.map(\.attributes.permissions) == other.files.map(\.attributes.permissions)
      && links.map(\.path) == other.links.map(\.path) && links.map(\.target) == other.links.map(\.target)
      && directories.map(\.path) == other.directories.map(\.path)
      && directories.map(\.attributes.permissions) == other.directories.map(\.attributes.permissions)
  }
}
