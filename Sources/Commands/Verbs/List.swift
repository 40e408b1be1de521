import Engine
import Repository

/// `ckbackup list`
enum ListCommand: Command {
  static let spec = CommandSpec(
    name: "list", summary: "List runs, or the snapshots of a run.", operands: "[RUN]", operandCount: 0...1,
    options: [
      OptionSpec("tag", "LABEL", "Only snapshots with this label."),
      OptionSpec("metric", "NAME", "Show this metric instead of the one that best goes by."),
      OptionSpec("all", "List the snapshots of all runs."),
      OptionSpec(
        "pending", "List what is not committed: groups of ranks that wait, and what dead pushes have left."),
    ],
    examples: [
      "ckbackup list", "ckbackup list llama-sft", "ckbackup list llama-sft --tag paper --json",
      "ckbackup list --pending",
    ])

  private struct Document: Encodable {
    struct Run: Encodable {
      let run: String
      let snapshots: Int
      let latestStep: Int
      let latestTime: String
      let bytes: Int
      let addedBytes: Int
    }
    let runs: [Run]
    let snapshots: [SnapshotDocument]
    let unreadable: [String]
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let repository = try await environment.repository()
    if environment.arguments.has("pending") { return try await PendingList.run(repository, environment) }
    let run = environment.arguments.operands.first
    let listing = try await repository.snapshots(of: run)
    var snapshots = listing.snapshots
    if let run, snapshots.isEmpty, listing.unreadable.isEmpty {
      let runs = try await repository.snapshots().snapshots.byRun().map(\.run)
      let hint =
        runs.isEmpty ? "the repository holds no snapshot yet" : "the runs are \(runs.joined(separator: ", "))"
      throw EngineError.notFound(address: "of the run \(run)", hint: hint)
    }
    let ranking =
      environment.arguments.string("metric").map { Ranking(metric: $0) } ?? environment.configuration.best
    let best = best(of: snapshots, by: ranking, labelled: !environment.arguments.has("metric"))
    if let tag = environment.arguments.string("tag") {
      snapshots.removeAll { !$0.tags.contains(tag) }
      if snapshots.isEmpty {
        throw EngineError.notFound(address: "with the label \(tag)", hint: "see ckbackup list --all")
      }
    }

    let runs = snapshots.byRun()
    let isDetailed = run != nil || environment.arguments.has("all") || environment.arguments.has("tag")
    for line in isDetailed ? details(runs, ranking, best, environment) : overview(runs, environment) {
      environment.console.result(line)
    }
    for stray in listing.strays { environment.console.warn(Damage.words(ofStray: stray)) }
    let unreadable = listing.unreadable.map { Damage($0, snapshots: []) }
    for damage in unreadable { for sentence in damage.sentences { environment.console.warn(sentence) } }
    try environment.console.json(
      Document(
        runs: runs.map(summary), snapshots: isDetailed ? snapshots.map(SnapshotDocument.init) : [],
        unreadable: unreadable.map(\.object)))
    return unreadable.isEmpty ? .done : .damage
  }

  private static func summary(_ run: String, _ snapshots: [Snapshot]) -> Document.Run {
    let newest = snapshots.last
    return Document.Run(
      run: run, snapshots: snapshots.count, latestStep: newest?.step ?? 0,
      latestTime: newest?.time.rfc3339 ?? "",
      bytes: snapshots.reduce(0) { $0 + $1.bytes }, addedBytes: snapshots.reduce(0) { $0 + $1.addedBytes })
  }

  private static func overview(_ runs: [(run: String, snapshots: [Snapshot])], _ environment: Environment)
    -> [String]
  {
    guard !runs.isEmpty else { return ["no snapshots yet"] }
    var table = Table([
      ("RUN", .left), ("SNAPSHOTS", .right), ("LATEST", .right), ("PUSHED", .left), ("SIZE", .right),
      ("STORED", .right),
    ])
    for (run, snapshots) in runs {
      guard let newest = snapshots.last else { continue }
      table.add([
        run, String(snapshots.count), String(newest.step), newest.time.localMinute,
        Quantity.format(bytes: snapshots.reduce(0) { $0 + $1.bytes }),
        Quantity.format(bytes: snapshots.reduce(0) { $0 + $1.addedBytes }),
      ])
    }
    return table.lines(width: environment.console.width)
  }

  /// The keys of the snapshots that are the best of their runs; where a label says which is, the metrics do not.
  private static func best(of snapshots: [Snapshot], by ranking: Ranking, labelled: Bool) -> Set<String> {
    Set(
      snapshots.filter(\.complete).byRun().map(\.snapshots).compactMap { run in
        labelled && run.contains { $0.tags.contains("best") } ? nil : ranking.order(run).first?.key
      })
  }

  private static func details(
    _ runs: [(run: String, snapshots: [Snapshot])], _ ranking: Ranking, _ best: Set<String>,
    _ environment: Environment
  ) -> [String] {
    var lines: [String] = []
    for (run, snapshots) in runs {
      let metric = ranking.chosen(for: snapshots)?.metric
      var table = Table([
        ("STEP", .right), ("ID", .left), ("PUSHED", .left), ("SIZE", .right), ("STORED", .right),
        (metric?.uppercased() ?? "METRIC", .right), ("LABELS", .left),
      ])
      for snapshot in snapshots {
        let value = metric.flatMap { snapshot.metrics[$0] }.map(Quantity.format(metric:)) ?? "-"
        table.add([
          String(snapshot.step), snapshot.id, snapshot.time.localMinute,
          Quantity.format(bytes: snapshot.bytes),
          Quantity.format(bytes: snapshot.addedBytes), value,
          [snapshot.marks, best.contains(snapshot.key) ? "(best)" : ""].filter { !$0.isEmpty }.joined(
            separator: " "),
        ])
      }
      if runs.count > 1 { lines.append((lines.isEmpty ? "" : "\n") + run) }
      lines += table.lines(width: environment.console.width)
    }
    return lines.flatMap { $0.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) }
  }
}
