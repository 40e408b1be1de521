import Platform

/// A sign that a checkpoint is still being written: data; `words` is its words.
public enum Saving: Equatable, Sendable {
  /// Another process has a file open for writing.
  case open(file: RelativePath, pid: Int, program: String)
  /// A file is not as it was a moment ago: it grew, was written to, came or went.
  case changing(file: RelativePath)
  /// The checkpoint is not whole in a way in which one that is being saved is not, and a file was changed so many seconds ago.
  case unfinished(file: RelativePath, seconds: Double)
  /// A file is newer than the one that is written after it, which is thus still that of an earlier save.
  case replacing(file: RelativePath, marker: RelativePath)

  /// Whether another process is seen at it.
  public var isByAProcess: Bool { if case .open = self { true } else { false } }

  /// What is seen, to be put in parentheses.
  public var words: String {
    switch self {
    case .open(let file, let pid, let program): "\(program), pid \(pid), has \(file.display) open"
    case .changing(let file): "\(file.display) changed between two looks"
    case .unfinished(let file, let seconds):
      "\(file.display) was changed \(Int(seconds.rounded(.down))) s ago, and the save has not ended"
    case .replacing(let file, let marker):
      "\(file.display) is newer than \(marker.display), which is written last"
    }
  }
}

extension Inspection {
  /// A change within so many seconds makes what is not whole a save that is under way.
  public static let recent = 60.0
  /// How far a file server's clock may be ahead of this machine's for a file to count as new, in seconds.
  static let clockSkew = 3600.0

  /// How many seconds ago a file was changed last by the kernel's own time, which nobody can set; negative where the clock of the
  /// file's server is ahead. Nil where there are no files, or none but logs.
  public func age(at now: Timestamp) -> Double? { newest.map { now.seconds(since: $0.status.changed) } }

  /// Whether a file was changed within so many seconds, or has a time not too far in the future.
  public func isYounger(than seconds: Double, at now: Timestamp) -> Bool {
    age(at: now).map { $0 < seconds && $0 > -Self.clockSkew } ?? false
  }

  /// The other processes that write to its files now, by `/proc`. Logs do not count: a training has those open all along.
  public func writers() -> [OpenWriter] {
    let files = saved
    return OpenWriter.find(
      Set(files.map { FileIdentity($0.status) }), names: Set(files.map { Array($0.path.name.utf8) }))
  }

  /// The sign by which it is still being written, or nil.
  ///
  /// - Parameters:
  ///   - defects: those of its defects that count.
  ///   - writers: what `writers()` gave.
  ///   - now: this machine's time.
  ///   - earlier: the tree a moment ago, where it was looked at then.
  public func saving(
    defects: [Defect], writers: [OpenWriter], now: Timestamp, earlier: Tree? = nil
  ) -> Saving? {
    for file in saved {
      if let writer = writers.first(where: { $0.file == FileIdentity(file.status) }) {
        return .open(file: file.path, pid: writer.pid, program: writer.program)
      }
    }
    if let file = earlier.flatMap(change) { return .changing(file: file) }
    // A file gets its final name in the moment in which it is looked at.
    for defect in defects where defect.kind == .vanished {
      if let file = defect.file, isStaging(file.name) { return .changing(file: file) }
    }
    if let newest, isAwaitingEnd(defects) {
      let age = now.seconds(since: newest.status.changed)
      if (0..<Self.recent).contains(age) { return .unfinished(file: newest.path, seconds: age) }
    }
    for order in SaveOrder.all(in: tree) {
      guard let file = order.replaced,
        (0..<order.patience).contains(now.seconds(since: file.attributes.modified))
      else { continue }
      return .replacing(file: file.path, marker: order.marker.path)
    }
    return nil
  }

  /// Whether something is wrong that the rest of a save would mend. Where the file is there and whole that is written last, a torn
  /// file stays torn.
  private func isAwaitingEnd(_ defects: [Defect]) -> Bool {
    if defects.contains(where: { [.unfinished, .staging].contains($0.kind) }) { return true }
    let isMarked = saved.contains { file in
      Self.markers.contains(file.path.name) && !defects.contains { $0.file == file.path }
    }
    return !defects.isEmpty && !isMarked
  }

  /// Files that are written when all others are: by transformers' Trainer, torch.distributed.checkpoint, Megatron and Orbax. DeepSpeed's
  /// `latest` is none: other ranks may still write when it is there (runtime/engine.py, `save_checkpoint`).
  private static let markers: Set<String> = [
    trainerStateName, ".metadata", "metadata.json", "latest_checkpointed_iteration.txt", "commit_success.txt",
  ]

  /// A file that is not as it was.
  private func change(since earlier: Tree) -> RelativePath? {
    for file in saved {
      guard let before = earlier.entry(file.path)?.file, file.status.isUntouched(since: before) else {
        return file.path
      }
    }
    return earlier.entries.first { entry in
      entry.file != nil && !isLog(entry.path.name) && tree.entry(entry.path)?.file == nil
    }?.path
  }

  private var newest: (path: RelativePath, status: FileStatus)? {
    saved.max { $0.status.changed < $1.status.changed }
  }

  /// The files that a save writes.
  private var saved: [(path: RelativePath, status: FileStatus)] {
    var files: [(path: RelativePath, status: FileStatus)] = []
    for entry in tree.entries where !isLog(entry.path.name) {
      if let status = entry.file { files.append((entry.path, status)) }
    }
    return files
  }
}

/// Whether a file by its name grows as long as the training goes on, whatever is saved.
private func isLog(_ name: String) -> Bool {
  name.hasPrefix("events.out.tfevents.")
    || [".log", ".jsonl", ".csv", ".out", ".err"].contains(where: name.hasSuffix)
}
