import Platform

/// The logs that lie in a checkpoint or beside it in its run's directory.
struct RunLogs {
  /// Larger files are not read, in bytes.
  static let maximumFile = 64 << 20
  /// What is read of all event files together, in bytes.
  static let maximumEvents = 128 << 20

  private struct Log {
    let root: OpenDirectory
    let path: RelativePath
    let status: FileStatus
  }

  /// All logs, the oldest first.
  private var logs: [Log] = []
  private var visits = 0

  /// Looks for logs: names and sizes only.
  init(_ inspection: Inspection) {
    let tree = inspection.tree
    for entry in tree.files {
      if let status = entry.file, !tree.isSingleFile, Self.isLog(entry.path.name) {
        logs.append(Log(root: tree.root, path: entry.path, status: status))
      }
    }
    for holder in Self.holders(inspection) { look(in: holder, below: nil, depth: 0) }
    logs.sort {
      ($0.status.modified, $0.path.bytes.count, $0.path.display)
        < ($1.status.modified, $1.path.bytes.count, $1.path.display)
    }
  }

  /// The directories of the run: what holds the checkpoint, and what holds the directory `checkpoints` that it lies in.
  private static func holders(_ inspection: Inspection) -> [OpenDirectory] {
    guard inspection.place.step != nil || inspection.findings.layout == "lightning" else { return [] }
    let tree = inspection.tree
    var path = tree.isSingleFile ? tree.root.path : tree.root.path + "/.."
    var names = inspection.place.components.dropLast()
    if names.last?.lowercased() == "checkpoints" {
      path += "/.."
      names.removeLast()
    }
    return (try? OpenDirectory(path)).map { [$0] } ?? []
  }

  private static func isLog(_ name: String) -> Bool {
    name == "metrics.csv" || name == "logging.jsonl" || isEventFile(name)
  }

  private static func isEventFile(_ name: String) -> Bool { name.hasPrefix("events.out.tfevents.") }

  /// Directories that loggers make below a run's own.
  private static let directories: Set<String> = ["runs", "logs", "lightning_logs", "tensorboard", "tb_logs"]

  /// Logs in a directory, and in the loggers' directories below it; never through a link.
  private mutating func look(in root: OpenDirectory, below parent: RelativePath?, depth: Int) {
    guard visits < 64, let directory = parent.map({ try? root.directory($0) }) ?? root,
      let names = try? directory.names()
    else { return }
    visits += 1
    for name in names.sorted(by: { $0.lexicographicallyPrecedes($1) }).prefix(4096) {
      let text = String(decoding: name, as: UTF8.self)
      guard let path = try? RelativePath((parent.map { $0.bytes + [UInt8(ascii: "/")] } ?? []) + name) else {
        continue
      }
      if Self.isLog(text) {
        if logs.count < 256, let status = (try? root.open(path))?.status {
          logs.append(Log(root: root, path: path, status: status))
        }
      } else if depth == 0 ? Self.directories.contains(text) : depth < 4 {
        look(in: root, below: path, depth: depth + 1)
      }
    }
  }

  /// The rows of the newest log that is text, and its file for the record where it is not one that the record has anyway.
  func rows() -> (rows: [JSONValue], file: ArchiveFacts.RecordFile?) {
    for log in logs.reversed() where log.status.size <= Self.maximumFile && !Self.isEventFile(log.path.name) {
      guard let bytes = try? log.root.open(log.path).bytes(at: 0, count: log.status.size) else { continue }
      if log.path.name == "metrics.csv" {
        let rows = LogText.rows(csv: bytes)
        if !rows.isEmpty { return (rows, .init(name: "metrics.csv", root: log.root, path: log.path)) }
      } else {
        let rows = LogText.rows(jsonLines: bytes)
        if !rows.isEmpty { return (rows, nil) }
      }
    }
    return ([], nil)
  }

  /// Every scalar of the event files, the newest file last. Of the names that the Trainer of transformers gives
  /// (integrations/integration_utils.py, `rewrite_logs`) its own are made again: `train/loss` is `loss`, `eval/loss` is `eval_loss`.
  func scalars(_ take: (String, Int, Double) -> Void) {
    var left = Self.maximumEvents
    var chosen: [Log] = []
    for log in logs.reversed() where Self.isEventFile(log.path.name) {
      guard log.status.size <= min(left, Self.maximumFile) else { continue }
      left -= log.status.size
      chosen.append(log)
    }
    for log in chosen.reversed() {
      guard let file = try? log.root.open(log.path) else { continue }
      var events = EventFile(file)
      try? events.scalars { tag, step, value in take(Self.name(of: tag), step, value) }
    }
  }

  private static func name(of tag: String) -> String {
    if tag.hasPrefix("train/") { return String(tag.dropFirst("train/".count)) }
    return tag.hasPrefix("eval/") ? "eval_" + tag.dropFirst("eval/".count) : tag
  }
}
