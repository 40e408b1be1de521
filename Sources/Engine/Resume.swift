import Checkpoints
import Glibc
import ObjectStore
import Platform
import Repository

/// The way back into a training: the newest complete checkpoint of a run, from its directory or, where the repository has a newer
/// one, brought back from there.
public struct Resume: Sendable {
  /// Where training goes on.
  public struct Report: Sendable {
    /// The checkpoint.
    public let path: String
    /// Its step.
    public let step: Int
    /// The snapshot that was restored, or nil where the checkpoint was there.
    public let snapshot: Snapshot?
  }

  /// Why training does not go on from a local checkpoint.
  public enum Fault: Sendable {
    /// It is not whole: the first sentence of what is wrong.
    case defect(String)
    /// No layout knows it, so that nobody can tell whether it is whole.
    case unknownLayout
    /// It has weights alone.
    case weightsOnly
    /// It is still being written.
    case saving(Saving)
    /// It cannot be read.
    case unreadable(SystemError)
  }

  /// What whoever starts the training should know.
  public enum Notice: Sendable {
    /// A newer local checkpoint is not used.
    case ignored(path: String, Fault)
    /// The repository could not be used, and a local checkpoint is taken.
    case offline(any Error)
    /// A snapshot could not be restored, and an older checkpoint is looked for.
    case lost(Snapshot, any Error)
    /// A marker of the run cannot be read.
    case unreadable(FormatError)
    /// Another process brings a checkpoint to the directory, and is waited for.
    case waiting
    /// What stood in the way of a restored checkpoint was renamed.
    case movedAside(from: String, to: String)
  }

  private let directory: String
  private let run: String
  private let progress: Progress
  private let thaw: ThawWish
  private let notify: @Sendable (Notice) -> Void
  private let willRestore: @Sendable (Snapshot, Repository) async throws -> Void
  private let pool = BlockingPool(threads: 1)

  /// A look for the newest checkpoint of `run`, whose checkpoints lie in `directory`; `thaw` says what to do about packs in an archive
  /// class. `notify` hears of what is remarkable, and `willRestore` of a snapshot before anything of it is fetched.
  public init(
    _ run: String, in directory: String, progress: Progress, thaw: ThawWish = ThawWish(),
    willRestore: @escaping @Sendable (Snapshot, Repository) async throws -> Void = { _, _ in },
    notify: @escaping @Sendable (Notice) -> Void
  ) {
    self.run = run
    self.directory = directory
    self.progress = progress
    self.thaw = thaw
    self.notify = notify
    self.willRestore = willRestore
  }

  /// Finds the checkpoint, and restores it where the repository has a newer one than the directory.
  ///
  /// Nothing in the directory is deleted. Of several callers at once, on one machine, one restores and the others wait for it.
  ///
  /// - Parameter open: opens the repository. Where that fails and a local checkpoint is complete, that one is taken.
  /// - Throws: `EngineError.nothingToResume`; what `open` and `Restore.run` throw; `SystemError`, `CancellationError`.
  public func run(
    opening open: @Sendable () async throws -> (Repository, Resources)
  ) async throws -> Report {
    progress.begin(.check)
    let local = try await look()
    let (repository, resources, snapshots): (Repository, Resources, [Snapshot])
    do {
      (repository, resources) = try await open()
      snapshots = try await candidates(repository)
    } catch {
      if error is CancellationError { throw error }
      guard let newest = local.newest else { throw error }
      tell(local)
      notify(.offline(error))
      return Report(newest)
    }
    if let newest = local.newest, !snapshots.contains(where: { $0.step > newest.step }) {
      tell(local)
      return Report(newest)
    }
    guard !snapshots.isEmpty else {
      tell(local)
      throw try await nothing(repository)
    }
    let root = try await pool.run { [directory] in
      try RestoreTarget.makeDirectories(directory)
      return try OpenDirectory(directory)
    }
    // The kernel's, as long as `root` is open: it ends with the process, however that ends, and leaves nothing in the directory.
    try await lock(root)
    defer { flock(root.descriptor, LOCK_UN) }
    let restore = ResumeRestore(
      directory: directory, root: root, repository: repository, resources: resources, progress: progress,
      thaw: thaw,
      notify: notify, willRestore: willRestore)
    let now = try await look()
    do {
      let report = try await newest(of: snapshots, now, restore)
      tell(now, except: report.path)
      return report
    } catch {
      tell(now)
      throw error
    }
  }

  private func look() async throws -> LocalCheckpoints {
    try await pool.run { [directory] in try LocalCheckpoints(in: directory) }
  }

  private func tell(_ local: LocalCheckpoints, except path: String? = nil) {
    for (entry, fault) in local.rejected where entry.path != path {
      notify(.ignored(path: entry.path, fault))
    }
  }

  /// The run's snapshots that training can go on from, the newest first.
  private func candidates(_ repository: Repository) async throws -> [Snapshot] {
    let listing = try await repository.snapshots(of: run)
    for error in listing.unreadable { notify(.unreadable(error)) }
    return listing.snapshots.filter {
      $0.belongs(to: run) && $0.canResume
    }
    .sorted { SnapshotAddress.precedes($1, $0) }
  }

  private func nothing(_ repository: Repository) async throws -> EngineError {
    let all = try await repository.snapshots().snapshots
    let hint =
      all.contains { $0.belongs(to: run) }
      ? "the run has no complete snapshot to go on from" : SnapshotAddress.hint(run: run, all)
    return .nothingToResume(directory: directory, run: run, hint: hint)
  }

  /// The newest of some snapshots and of what is in the directory. The caller holds the lock.
  private func newest(
    of snapshots: [Snapshot], _ local: LocalCheckpoints, _ restore: ResumeRestore
  ) async throws -> Report {
    var failure: (any Error)?
    for snapshot in snapshots {
      if let newest = local.newest, newest.step >= snapshot.step { return Report(newest) }
      do {
        return try await restore.run(snapshot, besides: local)
      } catch {
        if error is CancellationError { throw error }
        // Another restore to the same name, of another machine or by hand, may have been quicker.
        if let newest = try await look().newest, newest.step >= snapshot.step { return Report(newest) }
        guard let isLasting = Self.isLasting(error) else { throw error }
        notify(.lost(snapshot, error))
        failure = failure ?? error
        if !isLasting { break }
      }
    }
    if let newest = local.newest { return Report(newest) }
    throw failure ?? CancellationError()
  }

  /// Whether an older snapshot may do better than one that failed so: true where this one is damaged, false where the store is out of
  /// reach, nil where something here is in the way.
  private static func isLasting(_ error: any Error) -> Bool? {
    switch error {
    case EngineError.damaged, is FormatError, StoreError.missing, StoreError.tooLarge, StoreError.short: true
    case StoreError.system(let error) where error.isNoSpace: nil
    case is StoreError: false
    default: nil
    }
  }

  private func lock(_ root: OpenDirectory) async throws {
    var isWaiting = false
    while flock(root.descriptor, LOCK_EX | LOCK_NB) != 0 {
      guard errno == EWOULDBLOCK || errno == EINTR else { throw SystemError.last("lock", directory) }
      if !isWaiting { notify(.waiting) }
      isWaiting = true
      try await Task.sleep(nanoseconds: 200_000_000)
    }
  }
}

extension Resume.Report {
  init(_ entry: LocalCheckpoints.Entry) { self.init(path: entry.path, step: entry.step, snapshot: nil) }
}

extension Snapshot {
  /// Whether training may go on from it: it is whole, has its training state still, and is no model that was saved alone.
  var canResume: Bool { complete && !isThinned && !layout.hasPrefix("hf_model") }
}
