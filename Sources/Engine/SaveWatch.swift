import Checkpoints
import Platform
import Repository

/// Looks at a checkpoint, tells whether it is still being written, and waits for the end of that where it is asked to.
public struct SaveWatch: Sendable {
  /// What the last look saw.
  public struct Look: Sendable {
    /// The checkpoint, as it is to be pushed.
    public let inspection: Inspection
    /// Its defects that count.
    public let defects: [Defect]
    /// The sign by which it is still being written; nil where there is none.
    public let saving: Saving?
  }

  /// How long `--wait` waits where it is not told, in seconds.
  public static let usualPatience = 1800.0
  /// What was changed within so many seconds is looked at twice.
  private static let young = Inspection.recent
  /// How far apart the two looks are, in seconds.
  private static let moment = 0.3
  /// Nobody is asked for open files where nothing changed for so many seconds.
  private static let old = 3600.0
  /// What is not whole, and was not changed for so many seconds, is not waited for.
  private static let hopeless = 600.0

  private let surroundings: Surroundings
  private let disk: BlockingPool
  private let progress: Progress
  private let writers: @Sendable (Inspection) -> [OpenWriter]

  /// A watch with this machine's clock and processes, or with others that a test makes up.
  public init(
    _ surroundings: Surroundings, disk: BlockingPool, progress: Progress,
    writers: @escaping @Sendable (Inspection) -> [OpenWriter] = { $0.writers() }
  ) {
    self.surroundings = surroundings
    self.disk = disk
    self.progress = progress
    self.writers = writers
  }

  /// Looks once, or twice a moment apart where something is new, and then again and again for up to `patience` seconds as long as the
  /// checkpoint is being written or is not whole. `counts` says which defects count.
  ///
  /// - Throws: `SystemError` where the path cannot be opened, `EngineError.vanished` where it is gone at a later look, `CancellationError`.
  public func look(
    _ path: String, patience: Double? = nil,
    counting counts: @escaping @Sendable (Defect) -> Bool = { _ in true }
  ) async throws -> Look {
    let start = surroundings.now()
    progress.begin(.check)
    var look = try await inspect(path, counts)
    if look.saving == nil, look.defects.isEmpty,
      look.inspection.isYounger(than: Self.young, at: surroundings.now())
    {
      try await surroundings.sleep(Self.moment)
      look = try await inspect(path, counts, after: look)
    }
    guard let patience else { return look }
    var delay = 0.5
    var isWaiting = false
    while isWorthWaiting(look) {
      let left = patience - surroundings.now().seconds(since: start)
      guard left > 0 else { break }
      if !isWaiting { progress.begin(.save) }
      isWaiting = true
      try await surroundings.sleep(min(delay, left))
      delay = min(5, delay * 1.5)
      look = try await inspect(path, counts, after: look)
    }
    return look
  }

  private func isWorthWaiting(_ look: Look) -> Bool {
    if look.saving != nil { return true }
    return !look.defects.isEmpty
      && look.inspection.isYounger(than: Self.hopeless, at: surroundings.now())
  }

  private func inspect(
    _ path: String, _ counts: @escaping @Sendable (Defect) -> Bool, after earlier: Look? = nil
  ) async throws -> Look {
    do {
      return try await disk.run { [surroundings, writers] in
        let inspection = try Inspection(path)
        let now = surroundings.now()
        let defects = inspection.defects.filter(counts)
        let saving = inspection.saving(
          defects: defects, writers: inspection.isYounger(than: Self.old, at: now) ? writers(inspection) : [],
          now: now, earlier: earlier?.inspection.tree)
        return Look(inspection: inspection, defects: defects, saving: saving)
      }
    } catch let error as SystemError where error.isMissing && earlier != nil {
      throw EngineError.vanished(path: path)
    }
  }
}
