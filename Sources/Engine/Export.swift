import Checkpoints
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
  public func run(_ snapshot: Snapshot, to path: String, options: ModelExport.Options) async throws -> Report
  {
    let target = try await resources.disk.run {
      try RestoreTarget(path: path, snapshot: snapshot, single: nil, overwrite: false)
    }
    let source = target.partialPath + "-files"
    let fetched: Int
    do {
      fetched = try await fetch(snapshot, to: source)
      let model = try await write(source, to: target, options)
      try await resources.disk.run {
        try target.publish()
        try RestoreTarget.removeTree(source)
      }
      return Report(target: target.path, model: model, fetchedBytes: fetched)
    } catch let error as ExportError {
      // Another try would come to the same end.
      try? RestoreTarget.removeTree(source)
      target.releaseIfEmpty()
      throw error
    } catch {
      target.releaseIfEmpty()
      throw error
    }
  }

  /// Brings the files that hold weights to `path`, and gives the bytes that came from the store.
  private func fetch(_ snapshot: Snapshot, to path: String) async throws -> Int {
    // What a finished fetch has left.
    if (try? Tree.scan(path)) != nil { return 0 }
    let files = try await repository.manifest(of: snapshot).files.map(\.path)
    let part: Selection.Part = ModelExport.needsTrainingState(files) ? .all : .weights
    let restore = Restore(repository, resources: resources, progress: progress)
    // The slash keeps the name of a snapshot that is one file.
    return try await restore.run(snapshot, to: path + "/", options: .init(selection: Selection(part: part)))
      .fetchedBytes
  }

  private func write(
    _ source: String, to target: RestoreTarget, _ options: ModelExport.Options
  ) async throws -> ModelExport.Report {
    let isCancelled = Atomic(false)
    let progress = progress
    return try await withTaskCancellationHandler {
      try await resources.disk.run {
        let export = try ModelExport(source, options: options)
        let size = try export.size()
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
