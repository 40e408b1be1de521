import Checkpoints
import Glibc
import Platform
import Repository
import Synchronization

/// Makes a directory for inference of a snapshot: fetches the files that hold its weights, every chunk held to its digest, and writes them
/// as whole safetensors beside configuration and tokenizer.
public struct Export: Sendable {
  /// What an export did.
  public struct Report: Sendable {
    /// Where the directory is now.
    public let target: String
    /// What was written.
    public let model: ModelExport.Report
    /// Bytes that came from the store.
    public let fetchedBytes: Int
  }

  private let repository: Repository
  private let resources: Resources
  private let progress: Progress

  /// An export from a repository.
  public init(_ repository: Repository, resources: Resources, progress: Progress) {
    self.repository = repository
    self.resources = resources
    self.progress = progress
  }

  /// Exports a snapshot to a path that nothing stands at.
  ///
  /// The snapshot's files lie beside the target until the export is done; one that was interrupted goes on with what it had fetched.
  ///
  /// - Throws: `ExportError`, and what `Restore.run` throws.
  public func run(
    _ snapshot: Snapshot, to path: String, options: ModelExport.Options, thaw: ThawWish = ThawWish()
  ) async throws -> Report {
    let target = try await resources.disk.run {
      try RestoreTarget(path: path, snapshot: snapshot, single: nil, overwrite: false)
    }
    let files = try await resources.disk.run { try FetchedFiles(target.partialPath + "-files") }
    do {
      let fetched = try await fetch(snapshot, to: files, thaw)
      let model = try await write(files.content, to: target, options)
      try await resources.disk.run {
        try target.publish()
        files.remove()
      }
      return Report(target: target.path, model: model, fetchedBytes: fetched)
    } catch {
      target.releaseIfEmpty()
      guard let unfit = ExportError(reading: error, of: snapshot.label) else { throw error }
      // Another try would come to the same end.
      try await resources.disk.run { files.remove() }
      throw unfit
    }
  }

  /// Brings the files that hold weights, and gives the bytes that came from the store.
  private func fetch(
    _ snapshot: Snapshot, to files: FetchedFiles, _ thaw: ThawWish
  ) async throws -> Int {
    let manifest = try await repository.manifest(of: snapshot)
    let paths = manifest.files.map(\.path)
    let single = manifest.kind == .file ? paths.first : nil
    if try await resources.disk.run({ files.isComplete(single: single) }) { return 0 }
    let part: Selection.Part = ModelExport.needsTrainingState(paths) ? .all : .weights
    let restore = Restore(repository, resources: resources, progress: progress)
    // The slash keeps the name of a snapshot that is one file.
    return try await restore.run(
      snapshot, to: files.content + (single == nil ? "" : "/"),
      options: .init(selection: Selection(part: part), thaw: thaw)
    ).fetchedBytes
  }

  private func write(
    _ source: String, to target: RestoreTarget, _ options: ModelExport.Options
  ) async throws -> ModelExport.Report {
    let isCancelled = Atomic(false)
    let progress = progress
    return try await withTaskCancellationHandler {
      try await resources.disk.run {
        let export = try ModelExport(source, options: options)
        let size = export.size
        let free = try target.freeBytes()
        guard size <= free else { throw EngineError.noRoom(path: target.path, needed: size, free: free) }
        for name in try target.root.names() { try target.root.removeTree(RelativePath(name)) }
        progress.begin(.export, total: size)
        return try export.write(to: target.root) { bytes in
          if isCancelled.load(ordering: .relaxed) { throw CancellationError() }
          progress.add(done: bytes)
        }
      }
    } onCancel: {
      isCancelled.store(true, ordering: .relaxed)
    }
  }
}

/// The directory beside the target that the fetched files lie in: of this user alone, and no link.
private struct FetchedFiles: Sendable {
  private let path: String

  /// Takes the directory, or makes it. Throws `SystemError`, EPERM where it is somebody else's.
  init(_ path: String) throws {
    self.path = path
    // What an earlier export was about to remove.
    try? RestoreTarget.removeTree(path + ".old")
    if mkdir(path, 0o700) == 0 { return }
    guard errno == EEXIST else { throw SystemError.last("mkdir", path) }
    var status = stat()
    guard lstat(path, &status) == 0 else { throw SystemError.last("stat", path) }
    guard status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid(), chmod(path, 0o700) == 0 else {
      throw SystemError(operation: "use", path: path, code: EPERM)
    }
  }

  /// Where the checkpoint is.
  var content: String { path + "/content" }

  /// Whether an earlier export has fetched all: a restore gives its target its name when everything is there.
  func isComplete(single: RelativePath?) -> Bool {
    var status = stat()
    let name = single.map { "/" + String(decoding: $0.bytes, as: UTF8.self) } ?? ""
    return lstat(content + name, &status) == 0
  }

  /// Removes it; under another name first, so that what is half removed is never taken for all.
  func remove() {
    if rename(path, path + ".old") == 0 { try? RestoreTarget.removeTree(path + ".old") }
  }
}
