import Checkpoints
import Platform
import Synchronization

/// Reads every byte of a checkpoint on a thread of its own, with progress, until it is done or cancelled.
public enum DeepReading {
  /// Runs the check.
  ///
  /// - Throws: `CancellationError`.
  public static func run(
    _ inspection: Inspection, disk: BlockingPool, progress: Progress
  ) async throws -> DeepCheck.Report {
    progress.begin(.read, total: inspection.tree.totalBytes)
    let flag = Flag()
    return try await withTaskCancellationHandler {
      try await disk.run {
        try DeepCheck(inspection, progress: { progress.add(done: $0) }, isCancelled: { flag.isSet }).run()
      }
    } onCancel: {
      flag.set()
    }
  }

  private final class Flag: Sendable {
    private let value = Mutex(false)
    var isSet: Bool { value.withLock { $0 } }
    func set() { value.withLock { $0 = true } }
  }
}
