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
  let notify: @Sendable (Resume.Notice) -> Void

  /// Restores a snapshot, unless one of the directory's checkpoints that were not known to be whole is it.
  ///
  /// - Throws: as `Restore.run`.
  func run(_ snapshot: Snapshot, besides local: LocalCheckpoints) async throws -> Resume.Report {
    let manifest = try await repository.manifest(of: snapshot)
    let same = local.rejected.map(\.entry).filter { $0.step == snapshot.step }
    if let entry = try await resources.disk.run({ same.first { Self.holds($0.path, manifest) } }) {
      return Resume.Report(entry)
    }
    let name = try await name(of: snapshot)
    let path = LocalCheckpoints.join(directory, name)
    let whole = ".\(name).ckbackup-\(snapshot.id).whole"
    let wholePath = LocalCheckpoints.join(directory, whole)
    let (isWhole, isTaken) = try await resources.disk.run {
      (RestoreTarget.isOccupied(wholePath), RestoreTarget.isOccupied(path))
    }
    if !isWhole {
      let restore = Restore(repository, resources: resources, progress: progress)
      _ = try await restore.run(snapshot, to: isTaken ? wholePath : path, options: .init())
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

  /// The name that the checkpoint had, where its step can be read off it; else `checkpoint-STEP`.
  private func name(of snapshot: Snapshot) async throws -> String {
    let isFile = snapshot.kind == .file
    let former = try await TrainingFacts.read(of: snapshot, from: repository)?.path.map {
      RestoreTarget.split($0).name
    }
    if let former, let path = try? RelativePath(former), path.display == former, path.components.count == 1,
      former.utf8.count <= 180, !former.hasPrefix("."),
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

  /// Whether a checkpoint has all files of a snapshot with their sizes and times, as a restore leaves them.
  private static func holds(_ path: String, _ manifest: Manifest) -> Bool {
    guard let tree = try? Tree.scan(path), tree.isSingleFile == (manifest.kind == .file) else { return false }
    return manifest.files.allSatisfy { file in
      let entry = tree.isSingleFile ? tree.entries.first : tree.entry(file.path)
      return entry?.file?.size == file.size && entry?.attributes.modified == file.attributes.modified
    }
  }
}
