import Engine
import Platform
import Repository

/// `ckbackup prune`
enum PruneCommand: Command {
  static let spec = CommandSpec(
    name: "prune", summary: "Remove snapshots by policy, and what nothing needs any more.", operands: "[RUN]",
    operandCount: 0...1,
    options: [
      OptionSpec("keep-last", "N", "Keep the N newest steps."),
      OptionSpec(
        "keep-best", "N[:METRIC[:min|max]]", repeats: true,
        "Keep the N best; may be given for several metrics."),
      OptionSpec("keep-every", "STEPS", "Keep every step that STEPS divides."),
      OptionSpec("keep-within", "TIME", "Keep what was pushed within TIME, for example 30d."),
      OptionSpec("keep-tag", "LABEL", repeats: true, "Keep what carries LABEL."),
      OptionSpec(
        "thin-after", "TIME",
        "Of what stays and was pushed longer ago than TIME, keep what inference needs and let the training state go."
      ),
      OptionSpec(
        "grace", "TIME",
        "Delete what was marked as unused at least TIME ago (default 24h; a short TIME is not safe beside a push)."
      ),
      OptionSpec("dry-run", "Only say what would go, now and after the grace period, and what would stay."),
      OptionSpec("yes", "Go ahead although more than half of a run would go."),
    ],
    details: """
      A snapshot stays when one rule keeps it. Milestones and the newest complete snapshot of a run stay whatever the rules say.
      These, and the best by a rule, a label or its metric, are never thinned. A thinned snapshot keeps run, step, labels and record, and has an id of
      its own; nobody can go on training from it as it was.
      Nothing is locked: snapshots go at once, and the bytes that nothing needs then are removed by a prune that runs after the
      grace period, so that a push beside it never loses any.
      What an object lock keeps (push --lock-for) stays until the lock has ended, and is removed by a prune after that.
      """,
    examples: [
      "ckbackup prune --keep-last 3 --keep-best 2:eval_loss:min --dry-run",
      "ckbackup prune llama-sft --keep-every 1000 --keep-within 7d",
    ],
    whenInterrupted: "what was removed is gone, the rest stays: run the same command again")

  private struct Document: Encodable {
    struct Decision: Encodable {
      let snapshot: SnapshotDocument
      let keeps: Bool
      let reasons: [String]
    }
    let dryRun: Bool
    let thinned: [String]
    let decisions: [Decision]
    let condemnedObjects: Int
    let condemnedBytes: Int
    let deletedObjects: Int
    let deletedBytes: Int
    let waitingObjects: Int
    let sparedObjects: Int
    let abortedUploads: Int?
    let abandonedShares: Int
    let abandonedShareBytes: Int
    let brokenSnapshots: [String]
    let lockedSnapshots: [String]
    let lockedObjects: Int
    let lockedBytes: Int
    let lockedUntil: Timestamp?
    let keepsOldVersions: Bool
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    var policy = try policy(arguments) ?? environment.configuration.policy
    policy.ranking = environment.configuration.best
    guard !policy.isEmpty || policy.thinAfter != nil else {
      throw UsageError(
        "no rule says what to keep: give --keep-last, --keep-best, --keep-every, --keep-within, --keep-tag or --thin-after, or write a [prune] table into the configuration",
        command: spec.name)
    }
    let grace = try arguments.seconds("grace") ?? environment.configuration.grace
    if let warning = hasty(grace, pushes: environment.configuration.grace) {
      environment.console.warn(warning)
    }
    let repository = try await environment.repository()
    let prune = Prune(repository, policy: policy, run: arguments.operands.first, grace: grace)
    let plan = try await prune.plan()
    if let run = arguments.operands.first, plan.decisions.isEmpty {
      throw EngineError.notFound(address: "of the run \(run)", hint: "see ckbackup list")
    }
    for warning in idle(policy, plan) { environment.console.warn(warning) }
    for snapshot in plan.broken {
      environment.console.warn(
        "\(snapshot.label) cannot be restored whole, so that it takes no other's place: run ckbackup verify")
    }
    let isDryRun = arguments.has("dry-run")
    if !isDryRun, !arguments.has("yes") { try refuseToEmpty(plan) }
    let report = isDryRun ? plan : try await prune.run()

    for line in table(report, environment.console.width) { environment.console.show(line) }
    for line in summary(report, isDryRun, grace) { environment.console.show(line) }
    try environment.console.json(
      Document(
        dryRun: isDryRun, thinned: report.thinned.map(\.id),
        decisions: report.decisions.map {
          .init(snapshot: SnapshotDocument($0.snapshot), keeps: $0.keeps, reasons: $0.reasons)
        },
        condemnedObjects: report.condemnedObjects, condemnedBytes: report.condemnedBytes,
        deletedObjects: report.deletedObjects, deletedBytes: report.deletedBytes,
        waitingObjects: report.waiting, sparedObjects: report.spared,
        abortedUploads: report.abortedUploads, abandonedShares: report.abandonedShares,
        abandonedShareBytes: report.abandonedBytes,
        brokenSnapshots: report.broken.map(\.id),
        lockedSnapshots: report.lockedSnapshots.map(\.snapshot.id),
        lockedObjects: report.lockedObjects, lockedBytes: report.lockedBytes, lockedUntil: report.lockedUntil,
        keepsOldVersions: report.keepsOldVersions)
    )
    return .done
  }

  private static func policy(_ arguments: Arguments) throws(UsageError) -> RetentionPolicy? {
    var policy = RetentionPolicy()
    policy.last = try arguments.integer("keep-last", atLeast: 1)
    policy.every = try arguments.integer("keep-every", atLeast: 1)
    policy.within = try arguments.seconds("keep-within")
    policy.tags = arguments.strings("keep-tag")
    for text in arguments.strings("keep-best") {
      guard let rule = RetentionPolicy.Best(text) else {
        throw UsageError("--keep-best takes N, N:METRIC or N:METRIC:min|max, not \(text)", command: spec.name)
      }
      policy.best.append(rule)
    }
    policy.thinAfter = try arguments.seconds("thin-after")
    return policy.isEmpty && policy.thinAfter == nil ? nil : policy
  }

  /// More than half of a run of some length is seldom what somebody meant.
  private static func refuseToEmpty(_ plan: Prune.Report) throws(UsageError) {
    let going = Set(plan.decisions.filter { !$0.keeps }.map(\.snapshot.key))
    for (run, snapshots) in plan.decisions.map(\.snapshot).byRun() {
      let count = snapshots.count { going.contains($0.key) }
      if snapshots.count >= 4, count * 2 > snapshots.count {
        throw UsageError(
          "this would remove \(count) of the \(snapshots.count) snapshots of \(run): look with --dry-run, then pass --yes",
          command: spec.name)
      }
    }
  }

  /// Rules that keep nothing since nothing is called so: perhaps a slip.
  private static func idle(_ policy: RetentionPolicy, _ plan: Prune.Report) -> [String] {
    let snapshots = plan.decisions.map(\.snapshot)
    let labels = policy.tags.filter { tag in !snapshots.contains { $0.tags.contains(tag) } }
    let metrics = policy.best.compactMap(\.ranking.metric).filter { name in
      !snapshots.contains { $0.metrics[name] != nil }
    }
    return labels.map { "no snapshot has the label \($0)" }
      + metrics.map { "no snapshot has the metric \($0)" }
  }

  private static func table(_ report: Prune.Report, _ width: Int) -> [String] {
    guard !report.decisions.isEmpty else { return [] }
    var table = Table([
      ("", .left), ("SNAPSHOT", .left), ("ID", .left), ("PUSHED", .left), ("SIZE", .right), ("WHY", .left),
    ])
    let thinned = Set(report.thinned.map(\.key))
    let locked = Dictionary(report.lockedSnapshots.map { ($0.snapshot.key, $0.until) }) { $1 }
    for decision in report.decisions {
      let until = locked[decision.snapshot.key]?.localMinute
      table.add([
        until != nil
          ? "locked" : decision.keeps ? thinned.contains(decision.snapshot.key) ? "thin" : "keep" : "remove",
        decision.snapshot.address, decision.snapshot.id,
        decision.snapshot.time.localMinute, Quantity.format(bytes: decision.snapshot.bytes),
        until.map { "a lock keeps it until \($0)" }
          ?? (decision.keeps ? decision.reasons.joined(separator: ", ") : "no rule keeps it"),
      ])
    }
    return table.lines(width: width)
  }

  /// What was done, or with `isDryRun` what would be: first what goes at once, then what goes later.
  private static func summary(_ report: Prune.Report, _ isDryRun: Bool, _ grace: Double) -> [String] {
    func does(_ would: String, _ did: String) -> String { isDryRun ? "would \(would)" : did }
    let going = report.forgotten.count
    let kept = report.decisions.count - going
    var lines = [
      "\(does("remove", "removed")) \(Quantity.count(going, "snapshot")) and \(isDryRun ? "keep" : "kept") \(kept)"
    ]
    if !report.thinned.isEmpty {
      lines.append(
        "\(does("let", "let")) the training state of \(Quantity.count(report.thinned.count, "snapshot")) of these go"
      )
    }
    if report.deletedObjects > 0 {
      lines.append(
        "\(does("delete", "deleted")) \(Quantity.format(bytes: report.deletedBytes)) in \(Quantity.count(report.deletedObjects, "object")) that earlier prunes marked as unused"
      )
    }
    if report.lockedObjects > 0, let until = report.lockedUntil {
      lines.append(
        "kept by a lock until \(until.localMinute): \(Quantity.count(report.lockedObjects, "object")), \(Quantity.format(bytes: report.lockedBytes)), that nothing needs; later prunes try again"
      )
    }
    if report.keepsOldVersions {
      lines.append(
        "the bucket keeps versions: what was deleted is stored and paid for until a lifecycle rule ends old ones (NoncurrentVersionExpiration; docs/stores.md)"
      )
    }
    if let uploads = report.abortedUploads, uploads > 0 {
      lines.append("\(does("end", "ended")) \(Quantity.count(uploads, "upload")) that nobody finished")
    } else if report.abortedUploads == nil {
      lines.append("unfinished uploads may not be listed with these credentials")
    }
    if report.abandonedShares > 0 {
      lines.append(
        "\(does("remove", "removed")) \(Quantity.count(report.abandonedShares, "share")), \(Quantity.format(bytes: report.abandonedBytes)), of ranks whose group never came to a snapshot"
      )
    }
    if report.condemnedObjects > 0 {
      lines.append(
        "\(does("mark", "marked")) \(Quantity.format(bytes: report.condemnedBytes)) in \(Quantity.count(report.condemnedObjects, "object")) as unused: \(later(grace))"
      )
    }
    if report.waiting > 0 {
      lines.append(
        "\(Quantity.count(report.waiting, "unused object")) of earlier prunes may not go yet: their grace period is not over"
      )
    }
    if report.spared > 0 {
      lines.append(
        "\(does("keep", "kept")) \(Quantity.count(report.spared, "object")) that earlier prunes marked and that are needed again"
      )
    }
    return lines
  }

  /// The grace period that a push never outlasts between its last look and its marker, unless it stands still: in seconds. See
  /// docs/reliability.md.
  static let leastGrace = 3600.0

  /// What to say of a grace period that a push beside the prune may outlast; `pushes` is the one that pushes go by, in seconds. Their
  /// last look before the marker may be half of that old (`Commit`).
  static func hasty(_ grace: Double, pushes: Double) -> String? {
    let least = max(leastGrace, pushes / 2)
    guard grace < least else { return nil }
    return
      "a grace period of \(Quantity.format(seconds: grace)) is safe only while nothing is pushed or copied to this repository; beside a push it should be \(Quantity.format(seconds: least)) or more"
  }

  private static func later(_ grace: Double) -> String {
    grace > 0
      ? "a prune after \(Quantity.format(seconds: grace)) removes them" : "the next prune removes them"
  }
}
