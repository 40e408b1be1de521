import Checkpoints
import Glibc
import Platform
import Repository

/// Brings a snapshot back into a run's directory, under the name that its checkpoint had there.
///
/// Where something stands under that name, the copy is built under a hidden name and swapped in by two renames: a name of that kind
/// is only ever given to a whole copy, so that a process that dies between the two leaves one that the next takes up.
struct ResumeRestore: Sendable {
  let directory: String
  /// The directory, which the caller has locked.
  let root: OpenDirectory
  let repository: Repository
  let resources: Resources
  let progress: Progress
  let thaw: ThawWish
  let notify: @Sendable (Resume.Notice) -> Void
  /// Is told of a snapshot before anything of it is fetched.
  let willRestore: @Sendable (Snapshot, Repository) async throws -> Void

  /// Restores a snapshot, unless one of the directory's checkpoints that were not known to be whole is it.
  ///
  /// - Throws: as `Restore.run`.
  func run(_ snapshot: Snapshot, besides local: LocalCheckpoints) async throws -> Resume.Report {
    let manifest = try await repository.manifest(of: snapshot)
    if let entry = try await match(snapshot, manifest, local) { return Resume.Report(entry) }
    let name = try await name(of: snapshot)
    let path = LocalCheckpoints.join(directory, name)
    let whole = ".\(name).ckbackup-\(snapshot.id).whole"
    let wholePath = LocalCheckpoints.join(directory, whole)
    if let (entry, fault) = local.rejected.first(where: { $0.entry.path == path }),
      case .saving(let sign) = fault, sign.isByAProcess
    {
      throw EngineError.nameInUse(path: entry.path, sign: sign)
    }
    let (isWhole, isTaken) = try await resources.disk.run {
      (RestoreTarget.isOccupied(wholePath), RestoreTarget.isOccupied(path))
    }
    if !isWhole {
      try await willRestore(snapshot, repository)
      let restore = Restore(repository, resources: resources, progress: progress)
      _ = try await restore.run(snapshot, to: isTaken ? wholePath : path, options: .init(thaw: thaw))
    }
    if isWhole || isTaken {
      try await resources.disk.run {
        if isTaken { try moveAside(name) }
        try root.rename(RelativePath(whole), to: RelativePath(name))
        try root.sync()
      }
    }
    return Resume.Report(path: path, step: snapshot.step, snapshot: snapshot)
  }

  /// The one of the directory's checkpoints that is the snapshot although it was not known to be good.
  ///
  /// What no layout knows is told by sizes and times. Where something was found to be wrong, only the same bytes count: damage may have
  /// left sizes and times as they were.
  private func match(
    _ snapshot: Snapshot, _ manifest: Manifest, _ local: LocalCheckpoints
  ) async throws -> LocalCheckpoints.Entry? {
    for (entry, fault) in local.rejected where entry.step == snapshot.step {
      switch fault {
      case .unknownLayout, .weightsOnly:
        // Not every file system keeps times to the nanosecond: then the bytes decide.
        let likeness = try await resources.disk.run { Self.likeness(entry.path, manifest) }
        if likeness == .whole { return entry }
        if likeness == .sizes, try await isSame(entry, as: snapshot, manifest, ignoringExtras: true) {
          return entry
        }
      case .defect, .saving:
        if try await isSame(entry, as: snapshot, manifest, ignoringExtras: false) { return entry }
      case .unreadable: continue
      }
    }
    return nil
  }

  /// The name that the checkpoint had, where its step can be read off it; else `checkpoint-STEP`.
  private func name(of snapshot: Snapshot) async throws -> String {
    let isFile = snapshot.kind == .file
    let former = try await TrainingFacts.read(of: snapshot, from: repository)?.path.map {
      PathText.split($0).name
    }
    if let former, let path = try? RelativePath(former), path.display == former, path.components.count == 1,
      former.utf8.count <= 180, !former.hasPrefix("."), !isFile || LocalCheckpoints.isListed(former),
      Place("/" + former, isFile: isFile).step == snapshot.step
    {
      return former
    }
    return "checkpoint-\(snapshot.step)" + (isFile ? ".pt" : "")
  }

  /// Renames an entry of the directory to a hidden name beside it that is free: it may be all that somebody has.
  private func moveAside(_ name: String) throws {
    let time = Timestamp.now().basicUTC
    for number in 0..<100 {
      let hidden = ".\(name).aside-\(time)" + (number > 0 ? "-\(number)" : "")
      // Nothing else gives such names, and the directory is locked, so what is free stays free.
      if (try? root.status(of: RelativePath(hidden))) != nil { continue }
      try root.rename(RelativePath(name), to: RelativePath(hidden))
      notify(
        .movedAside(
          from: LocalCheckpoints.join(directory, name), to: LocalCheckpoints.join(directory, hidden)))
      return
    }
    throw EngineError.targetExists(path: LocalCheckpoints.join(directory, name))
  }

  /// Whether an entry has the bytes of a snapshot. Permissions do not count, which some file systems do not keep; a directory that
  /// the snapshot has and nobody may search is as it was pushed, where no file below it is missing.
  private func isSame(
    _ entry: LocalCheckpoints.Entry, as snapshot: Snapshot, _ manifest: Manifest, ignoringExtras: Bool
  ) async throws -> Bool {
    let comparison = LocalComparison(repository, resources: resources, progress: progress)
    return try await comparison.run(snapshot, at: entry.path).allSatisfy { difference in
      switch difference.kind {
      case .permissions: true
      case .extra: ignoringExtras
      case .unreadable: manifest.directories.contains { $0.path == difference.path }
      case .missing, .otherKind, .size, .content: false
      }
    }
  }

  /// What a checkpoint has in common with a snapshot.
  private enum Likeness {
    /// All files, with their sizes and times as a restore leaves them.
    case whole
    /// All files with their sizes.
    case sizes
    case none
  }

  private static func likeness(_ path: String, _ manifest: Manifest) -> Likeness {
    guard let tree = try? Tree.scan(path), tree.isSingleFile == (manifest.kind == .file) else { return .none }
    let pairs = manifest.files.map { ($0, tree.isSingleFile ? tree.entries.first : tree.entry($0.path)) }
    guard pairs.allSatisfy({ $0.size == $1?.file?.size }) else { return .none }
    return pairs.allSatisfy { $0.attributes.modified == $1?.attributes.modified } ? .whole : .sizes
  }
}
