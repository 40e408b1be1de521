import Checkpoints
import Digests
import ObjectStore
import Platform
import Repository
import Synchronization

/// Brings a snapshot back, exactly: every chunk is held to its digest before it is written, and nothing is visible under the
/// target's name before everything is there.
public struct Restore: Sendable {
  /// What a restore does besides naming snapshot and target.
  public struct Options: Sendable {
    /// Which files.
    public var selection: Selection
    /// Whether what stands at the target may be replaced.
    public var overwrite: Bool
    /// A directory whose files may hold chunks already.
    public var seed: String?
    /// What to do about packs in an archive class.
    public var thaw: ThawWish

    /// Everything, to a new place.
    public init(
      selection: Selection = Selection(), overwrite: Bool = false, seed: String? = nil,
      thaw: ThawWish = ThawWish()
    ) {
      self.selection = selection
      self.overwrite = overwrite
      self.seed = seed
      self.thaw = thaw
    }
  }

  /// What a restore did.
  public struct Report: Sendable {
    /// The snapshot.
    public let snapshot: Snapshot
    /// Where it is now.
    public let target: String
    /// Number of files.
    public let files: Int
    /// Their bytes.
    public let bytes: Int
    /// Bytes that came from the store.
    public let fetchedBytes: Int
    /// Bytes that an earlier, interrupted restore had written.
    public let resumedBytes: Int
    /// Bytes that came from the seed.
    public let seededBytes: Int
  }

  private let repository: Repository
  private let resources: Resources
  private let progress: Progress

  /// A restore from a repository.
  public init(_ repository: Repository, resources: Resources, progress: Progress) {
    self.repository = repository
    self.resources = resources
    self.progress = progress
  }

  /// Restores a snapshot to a path.
  ///
  /// - Throws: `EngineError` (`damaged` names what is lost, `frozen` counts packs that were asked for; the part that could be had stays
  ///   beside the target and is used when the restore is run again), `FormatError`, `StoreError`, `SystemError`, `CancellationError`.
  public func run(_ snapshot: Snapshot, to path: String, options: Options) async throws -> Report {
    progress.begin(.prepare)
    if options.selection.part == .record { return try await restoreRecord(snapshot, to: path, options) }
    let manifest = try await repository.manifest(of: snapshot)
    if let rank = options.selection.rank { try await check(rank, snapshot, manifest) }
    let plan = try RestorePlan(manifest, selection: options.selection)
    guard !plan.isEmpty else {
      throw EngineError.nothingSelected
    }
    // A seed that is not there is said before anything is made.
    if let seed = options.seed { _ = try await resources.disk.run { try Tree.scan(seed) } }
    let single = manifest.kind == .file ? manifest.files.first?.path : nil
    let target = try await resources.disk.run {
      try RestoreTarget(path: path, snapshot: snapshot, single: single, overwrite: options.overwrite)
    }
    let writer = FileWriter(root: target.root, files: manifest.files)
    let work = RestoreWork(plan: plan, writer: writer)

    let resumed = try await resume(target, manifest, work)
    try await checkRoom(target, needed: work.remainingBytes)
    try await resources.disk.run { try writer.createFiles(plan.files) }
    let seeded = try await seed(options.seed, work)
    let fetched = work.remainingBytes
    try await fetch(manifest, snapshot, work, options.thaw)

    progress.begin(.finish)
    try await resources.disk.run {
      try writer.finish(plan.files)
      try plan.finishTree(manifest, below: target.root)
      try target.publish()
    }
    return Report(
      snapshot: snapshot, target: target.path, files: plan.files.count, bytes: plan.bytes,
      fetchedBytes: fetched,
      resumedBytes: resumed, seededBytes: seeded)
  }

  /// Throws where the snapshot is known to have files of fewer processes. Where it has none of single processes, nothing is known.
  private func check(_ rank: Int, _ snapshot: Snapshot, _ manifest: Manifest) async throws {
    let owners = RankFiles(manifest.files.map(\.path))
    guard let last = manifest.files.compactMap({ owners.rank(of: $0.path) }).max(), rank > last else {
      return
    }
    // Files are named by the place in the model too, so that more processes than these numbers may have trained.
    let recorded = try await ArchiveRecord.read(of: snapshot, from: repository)?.worldSize
    let worldSize = max(last + 1, recorded ?? 0)
    if rank >= worldSize { throw EngineError.noSuchRank(rank, worldSize: worldSize) }
  }

  /// What a restore that failed or was interrupted has left beside a target, or nil.
  public static func remains(of snapshot: Snapshot, at path: String) -> String? {
    let partial = RestoreTarget.partialPath(path, snapshot)
    return (try? OpenDirectory(partial)) == nil ? nil : partial
  }

  /// Takes over what an interrupted restore of this snapshot had written: chunks that match their digests at their places.
  private func resume(_ target: RestoreTarget, _ manifest: Manifest, _ work: RestoreWork) async throws -> Int
  {
    let (plan, root) = (work.plan, target.root)
    let candidates = try await resources.disk.run { () -> [(LocalCandidate, Destination)] in
      try plan.prepareDirectory(manifest, below: root)
      return plan.candidates(manifest, below: root)
    }
    guard !candidates.isEmpty else { return 0 }
    let before = work.remainingBytes
    try await LocalChunks(root: root, resources: resources).scan(candidates.map(\.0)) { index, id, _ in
      work.markWritten(id, at: candidates[index].1)
    }
    return before - work.remainingBytes
  }

  /// Takes chunks from a local directory, wherever in it they stand.
  private func seed(_ path: String?, _ work: RestoreWork) async throws -> Int {
    guard let path else { return 0 }
    let chunkSize = repository.info.chunkSize
    let (root, candidates) = try await resources.disk.run {
      try SeedFiles.candidates(in: path, chunkSize: chunkSize)
    }
    let before = work.remainingBytes
    try await LocalChunks(root: root, resources: resources).scan(candidates) { _, id, bytes in
      try work.write(id, bytes)
    }
    return before - work.remainingBytes
  }

  private func fetch(
    _ manifest: Manifest, _ snapshot: Snapshot, _ work: RestoreWork, _ thaw: ThawWish
  ) async throws {
    progress.begin(.fetch, total: work.remainingBytes)
    let thaws = Thaws(repository, thaw)
    let fetcher = ChunkFetcher(
      store: repository.store, resources: resources, progress: progress, thaws: thaws)
    repeat {
      let ranges = work.wanted().sorted { $0.key < $1.key }.flatMap { pack, chunks in
        FetchRange.ranges(of: chunks, in: manifest.packs[pack].key, limit: resources.buffers.bufferSize)
      }
      let losses = try await fetcher.fetch(ranges) { chunk, _, bytes in try work.write(chunk.id, bytes) }
      if !losses.isEmpty { throw EngineError.damaged(Damage.of(losses, in: [(snapshot, manifest)])) }
    } while try await thaws.settle()
  }

  private func checkRoom(_ target: RestoreTarget, needed: Int) async throws {
    let free = try await resources.disk.run { try target.freeBytes() }
    guard needed <= free else {
      target.releaseIfEmpty()
      throw EngineError.noRoom(path: target.path, needed: needed, free: free)
    }
  }

  /// Copies the archive record's objects.
  private func restoreRecord(_ snapshot: Snapshot, to path: String, _ options: Options) async throws -> Report
  {
    let objects = try await repository.store.list(snapshot.record).objects
    guard !objects.isEmpty else { throw FormatError.missing(object: snapshot.record + "record.json") }
    let target = try await resources.disk.run {
      try RestoreTarget(path: path, snapshot: snapshot, single: nil, overwrite: options.overwrite)
    }
    // The hidden directory may be that of a restore of the files.
    try await resources.disk.run {
      for name in try target.root.names() { try target.root.removeTree(RelativePath(name)) }
    }
    let total = objects.reduce(0) { $0 + $1.size }
    progress.begin(.fetch, total: total)
    for object in objects {
      guard let name = try? RelativePath(String(object.key.dropFirst(snapshot.record.count))) else {
        continue
      }
      let bytes = try await repository.store.get(object.key, limit: 1 << 30)
      try await resources.disk.run { try target.root.writeWhole(name, bytes) }
      progress.add(done: bytes.count)
    }
    try await resources.disk.run { try target.publish() }
    return Report(
      snapshot: snapshot, target: target.path, files: objects.count, bytes: total, fetchedBytes: total,
      resumedBytes: 0,
      seededBytes: 0)
  }
}
