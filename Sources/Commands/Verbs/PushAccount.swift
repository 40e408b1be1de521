import Engine
import Platform
import Repository

/// What a push tells of itself: sentences for people and a document for programs.
struct PushAccount: Sendable {
  /// A line on the screen.
  enum Line: Sendable {
    case sentence(String)
    case warning(String)
  }

  /// The JSON document.
  enum Document: Encodable, Sendable {
    case snapshot(SnapshotResult)
    case share(ShareResult)

    func encode(to encoder: any Encoder) throws {
      switch self {
      case .snapshot(let result): try result.encode(to: encoder)
      case .share(let result): try result.encode(to: encoder)
      }
    }
  }

  struct SnapshotResult: Encodable, Sendable {
    let snapshot: String
    let run: String
    let step: Int
    let layout: String
    let complete: Bool
    let files: Int
    let bytes: Int
    let uploadedBytes: Int
    let reusedBytes: Int
    let alreadyPresent: Bool
    let dryRun: Bool
    let lockedObjects: Int?
    let lockedUntil: Timestamp?
    let warnings: [String]
  }

  struct ShareResult: Encodable, Sendable {
    let state: String
    let snapshot: String?
    let run: String
    let step: Int
    let rank: Int
    let worldSize: Int
    let awaitedRanks: [Int]
    let files: Int
    let bytes: Int
    let uploadedBytes: Int
    let lockedObjects: Int?
    let lockedUntil: Timestamp?
    let warnings: [String]
  }

  /// What concerns the checkpoint, whatever the repository.
  let checkpointWarnings: [String]
  /// The rest, in the order in which it is shown.
  let lines: [Line]
  let document: Document

  /// The account of a push that began at `start`.
  init(_ report: Push.Report, isDryRun: Bool, since start: ContinuousClock.Instant) {
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let snapshot = report.snapshot
    checkpointWarnings = report.checkpointWarnings
    lines =
      report.repositoryWarnings.map(Line.warning)
      + [.sentence(Self.sentence(report, isDryRun: isDryRun, seconds: seconds))]
      + (report.lock.map { [.sentence(Self.sentence($0))] } ?? [])
    document = .snapshot(
      SnapshotResult(
        snapshot: snapshot.id, run: snapshot.run, step: snapshot.step, layout: snapshot.layout,
        complete: snapshot.complete, files: snapshot.files, bytes: snapshot.bytes,
        uploadedBytes: report.addedBytes, reusedBytes: report.reusedBytes,
        alreadyPresent: report.wasPresent, dryRun: isDryRun, lockedObjects: report.lock?.objects,
        lockedUntil: report.lock?.retention.until, warnings: report.warnings))
  }

  /// The account of a push by one of many processes.
  init(_ report: RankPush.Report, of rank: Push.Rank) {
    let share =
      "\(Quantity.format(bytes: report.bytes)) in \(Quantity.count(report.files, "file")), \(Quantity.format(bytes: report.addedBytes)) new"
    let who = "rank \(rank.rank) of \(rank.worldSize)"
    checkpointWarnings = report.checkpointWarnings
    var lines = report.repositoryWarnings.map(Line.warning)
    let state: String
    var snapshot: Snapshot?
    var awaited: [Int] = []
    switch report.outcome {
    case .committed(let committed):
      (state, snapshot) = ("committed", committed)
      lines.append(
        .sentence(
          "pushed \(committed.label): all \(rank.worldSize) ranks are there, \(Quantity.format(bytes: committed.bytes)) in \(Quantity.count(committed.files, "file")); \(who) stored \(share)"
        ))
    case .present(let present):
      (state, snapshot) = ("present", present)
      lines.append(.sentence("\(present.label) is in the repository, with all files of \(who)"))
    case .awaiting(let ranks):
      (state, awaited) = ("awaiting", ranks)
      lines.append(.sentence("stored the share of \(who): \(share)"))
      // Not quiet: whoever looks at exit codes alone would take it for a snapshot.
      lines.append(
        .warning(
          "there is no snapshot of \(report.run)@\(report.step) yet: it awaits \(Quantity.ranks(ranks)), in this group (ckbackup list --pending)"
        ))
    }
    if let lock = report.lock { lines.append(.sentence(Self.sentence(lock))) }
    self.lines = lines
    document = .share(
      ShareResult(
        state: state, snapshot: snapshot?.id, run: report.run, step: report.step, rank: rank.rank,
        worldSize: rank.worldSize, awaitedRanks: awaited, files: report.files, bytes: report.bytes,
        uploadedBytes: report.addedBytes, lockedObjects: report.lock?.objects,
        lockedUntil: report.lock?.retention.until, warnings: report.warnings))
  }

  /// Shows all of it, or without what concerns the checkpoint, which is told once. Of several repositories each line begins with the one
  /// that it tells of.
  func show(on console: Console, of place: String? = nil, withCheckpoint: Bool = true) {
    if withCheckpoint { for warning in checkpointWarnings { console.warn(warning) } }
    let start = place.map { "\($0): " } ?? ""
    for line in lines {
      switch line {
      case .sentence(let text): console.show(start + text)
      case .warning(let text): console.warn(start + text)
      }
    }
  }

  private static func sentence(_ report: Push.Report, isDryRun: Bool, seconds: Double) -> String {
    let snapshot = report.snapshot
    let size =
      "\(Quantity.format(bytes: snapshot.bytes)) in \(Quantity.count(snapshot.files, "file"))"
    if report.wasPresent {
      return "\(snapshot.label) is in the repository already: \(size), nothing was sent"
    }
    let new = Quantity.format(bytes: report.addedBytes)
    if isDryRun { return "\(snapshot.label) would be \(size), \(new) of it new; nothing was sent" }
    return
      "pushed \(snapshot.label): \(size), \(new) new, \(snapshot.layout), in \(Quantity.format(seconds: seconds))"
  }

  private static func sentence(_ lock: SnapshotLock.Report) -> String {
    let before = lock.lockedBefore > 0 ? ", \(lock.lockedBefore) of them as long before" : ""
    return
      "locked \(Quantity.count(lock.objects, "object")) until \(lock.retention.until.localMinute) (\(lock.retention.mode.rawValue))\(before)"
  }
}
