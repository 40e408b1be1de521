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
      OptionSpec("grace", "TIME", "Remove what was found unused at least TIME ago (default 24h)."),
      OptionSpec("dry-run", "Only say what would go and what would stay, and why."),
      OptionSpec("yes", "Go ahead although more than half of a run would go."),
    ],
    details: """
      A snapshot stays when one rule keeps it. Milestones and the newest complete snapshot of a run stay whatever the rules say.
      Nothing is locked: snapshots go at once, and the bytes that nothing needs then are removed by a prune that runs after the
      grace period, so that a push beside it never loses any.
      """,
    examples: [
      "ckbackup prune --keep-last 3 --keep-best 2:eval_loss:min --dry-run",
      "ckbackup prune llama-sft --keep-every 1000 --keep-within 7d",
    ])

  private struct Document: Encodable {
    struct Decision: Encodable {
      let snapshot: SnapshotDocument
      let keeps: Bool
      let reasons: [String]
    }
    let dryRun: Bool
    let decisions: [Decision]
    let condemnedObjects: Int
    let condemnedBytes: Int
    let deletedObjects: Int
    let deletedBytes: Int
    let waitingObjects: Int
    let abortedUploads: Int
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    let policy = try policy(arguments) ?? environment.configuration.policy
    guard !policy.isEmpty else {
      throw UsageError(
        "no rule says what to keep: give --keep-last, --keep-best, --keep-every, --keep-within or --keep-tag, or write a [prune] table into the configuration",
        command: spec.name)
    }
    let grace = try arguments.seconds("grace") ?? environment.configuration.grace
    let repository = try await environment.repository()
    let prune = Prune(repository, policy: policy, run: arguments.operands.first, grace: grace)
    let plan = try await prune.plan()
    if let run = arguments.operands.first, plan.decisions.isEmpty {
      throw EngineError.notFound(address: "of the run \(run)", hint: "see ckbackup list")
    }
    for warning in idle(policy, plan) { environment.console.warn(warning) }
    let isDryRun = arguments.has("dry-run")
    if !isDryRun, !arguments.has("yes") { try refuseToEmpty(plan) }
    let report = isDryRun ? plan : try await prune.run()

    for line in table(report, environment.console.width) { environment.console.show(line) }
    for line in summary(report, isDryRun, grace) { environment.console.show(line) }
    try environment.console.json(
      Document(
        dryRun: isDryRun,
        decisions: report.decisions.map {
          .init(snapshot: SnapshotDocument($0.snapshot), keeps: $0.keeps, reasons: $0.reasons)
        },
        condemnedObjects: report.condemnedObjects, condemnedBytes: report.condemnedBytes,
        deletedObjects: report.deletedObjects, deletedBytes: report.deletedBytes,
        waitingObjects: report.waiting,
        abortedUploads: report.abortedUploads))
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
    return policy.isEmpty ? nil : policy
  }

  /// More than half of a run of some length is seldom what somebody meant.
  private static func refuseToEmpty(_ plan: Prune.Report) throws(UsageError) {
    for (run, decisions) in Dictionary(grouping: plan.decisions, by: \.snapshot.run).sorted(by: {
      $0.key < $1.key
    }) {
      let going = decisions.count { !$0.keeps }
      if decisions.count >= 4, going * 2 > decisions.count {
        throw UsageError(
          "this would remove \(going) of the \(decisions.count) snapshots of \(run): look with --dry-run, then pass --yes",
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
    for decision in report.decisions {
      table.add([
        decision.keeps ? "keep" : "remove", decision.snapshot.address, decision.snapshot.id,
        decision.snapshot.time.localMinute, Quantity.format(bytes: decision.snapshot.bytes),
        decision.keeps ? decision.reasons.joined(separator: ", ") : "no rule keeps it",
      ])
    }
    return table.lines(width: width)
  }

  private static func summary(_ report: Prune.Report, _ isDryRun: Bool, _ grace: Double) -> [String] {
    let going = report.forgotten.count
    let kept = report.decisions.count - going
    var lines: [String] = []
    if isDryRun {
      lines.append(
        "would remove \(Quantity.count(going, "snapshot")) and keep \(kept); \(Quantity.format(bytes: report.condemnedBytes)) would become free"
      )
      return lines
    }
    lines.append("removed \(Quantity.count(going, "snapshot")), kept \(kept)")
    if report.condemnedObjects > 0 {
      lines.append(
        "\(Quantity.format(bytes: report.condemnedBytes)) in \(Quantity.count(report.condemnedObjects, "object")) are unused now; a prune after \(Quantity.format(seconds: grace)) removes them"
      )
    }
    if report.deletedObjects > 0 {
      lines.append(
        "deleted \(Quantity.format(bytes: report.deletedBytes)) in \(Quantity.count(report.deletedObjects, "object")) that earlier prunes found unused"
      )
    }
    if report.spared > 0 { lines.append("\(report.spared) objects are needed again and stay") }
    if report.waiting > 0 {
      lines.append("\(report.waiting) unused objects wait for the end of their grace period")
    }
    if report.abortedUploads > 0 {
      lines.append("ended \(Quantity.count(report.abortedUploads, "upload")) that nobody finished")
    }
    if report.abandonedShares > 0 {
      lines.append(
        "removed \(Quantity.count(report.abandonedShares, "share")) of ranks whose group never came to a snapshot"
      )
    }
    return lines
  }
}
