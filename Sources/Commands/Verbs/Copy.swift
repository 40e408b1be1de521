import Engine
import Repository

/// `ckbackup copy`
enum CopyCommand: Command {
  static let spec = CommandSpec(
    name: "copy", summary: "Copy snapshots to another repository.", operands: "[SNAPSHOT…]",
    operandCount: 0...10_000,
    options: [
      OptionSpec("to", "REPO", "The repository to copy to: s3://BUCKET/PREFIX, or a directory."),
      OptionSpec("to-config", "FILE", "How that one is reached, where endpoint or credentials are others."),
      OptionSpec("run", "NAME", "Only snapshots of this run."),
      OptionSpec("tag", "LABEL", "Only snapshots with this label."),
    ],
    details: """
      REPO must have been made by init. Without SNAPSHOT all snapshots are copied that it does not have: run every night, this is a
      mirror that only grows. Packs are taken whole and every chunk is checked on the way; on one S3 server with one set of credentials
      the server copies packs of several parts by itself, as far as its ETags can prove it. A copy that was interrupted goes on
      when it is run again: only the unfinished pack is sent anew. Damaged snapshots are named and left out, and the exit code is 3.
      What is there already keeps its labels.
      """,
    examples: [
      "ckbackup copy --to /mnt/nas/checkpoints", "ckbackup copy llama-sft@best --to s3://archive/llama",
      "ckbackup copy --run llama-sft --tag paper --to s3://offsite/llama --to-config offsite.toml",
    ],
    whenInterrupted: "finished packs are kept, the unfinished one is not: run the same command again to go on"
  )

  private struct Document: Encodable {
    let copied: [SnapshotDocument]
    let alreadyPresent: [SnapshotDocument]
    let otherLabels: [SnapshotDocument]
    let notCopied: [SnapshotDocument]
    let packs: Int
    let sentBytes: Int
    let serverSideBytes: Int
    let damages: [DamageDocument]
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    guard arguments.has("to") else {
      throw UsageError("say where to: --to REPO", command: spec.name)
    }
    let (run, tag) = (arguments.string("run"), arguments.string("tag"))
    if !arguments.operands.isEmpty, run != nil || tag != nil {
      throw UsageError(
        "--run and --tag choose among all snapshots, so they do not go with SNAPSHOT", command: spec.name)
    }
    let other = try environment.second("to")
    try environment.refuse(second: other)
    let source = try await environment.repository()
    let target = try await other.repository()
    let choice = try await environment.choice(of: arguments.operands, in: source)
    let start = ContinuousClock.now
    let report = try await Copy(
      from: source, to: target, resources: environment.resources(for: source),
      progress: environment.progress, grace: other.configuration.grace
    ).run { snapshots in
      if !arguments.operands.isEmpty { return choice(snapshots) }
      let chosen = snapshots.filter { (run.map($0.belongs) ?? true) && (tag.map($0.tags.contains) ?? true) }
      if chosen.isEmpty, let word = tag.map({ "with the label \($0)" }) ?? run.map({ "of the run \($0)" }) {
        throw EngineError.notFound(address: word, hint: "see ckbackup list --all")
      }
      return chosen
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)

    for damage in report.damages { for line in damage.sentences { environment.console.result(line) } }
    for snapshot in report.refused { environment.console.result("not copied: \(snapshot.label)") }
    for snapshot in report.relabelled {
      environment.console.show(
        "\(snapshot.label) has other labels in \(target.store.name), which stay: \(snapshot.marks.isEmpty ? "none" : snapshot.marks)"
      )
    }
    environment.console.show(summary(report, to: target.store.name, seconds: seconds))
    try environment.console.json(
      Document(
        copied: report.copied.map(SnapshotDocument.init),
        alreadyPresent: report.present.map(SnapshotDocument.init),
        otherLabels: report.relabelled.map(SnapshotDocument.init),
        notCopied: report.refused.map(SnapshotDocument.init), packs: report.packs,
        sentBytes: report.sentBytes, serverSideBytes: report.serverBytes,
        damages: report.damages.map(DamageDocument.init)))
    if report.damages.isEmpty { return .done }
    let packs = report.damages.contains { $0.object.hasPrefix(ObjectKey.packs) }
    let help =
      packs ? "ckbackup repair --from REPO|DIR may bring packs back" : "ckbackup verify tells what helps"
    Console.write(
      "error: damaged or missing: \(Quantity.count(report.damages.count, "object")) of \(source.store.name); \(Quantity.count(report.refused.count, "snapshot")) not copied; \(help)\n",
      to: 2)
    return .damage
  }

  private static func summary(_ report: Copy.Report, to place: String, seconds: Double) -> String {
    var parts = ["copied \(Quantity.count(report.copied.count, "snapshot")) to \(place)"]
    parts.append("\(report.present.count) there already")
    parts.append("\(Quantity.format(bytes: report.sentBytes)) sent")
    if report.serverBytes > 0 {
      parts.append("\(Quantity.format(bytes: report.serverBytes)) copied by the server")
    }
    return parts.joined(separator: ", ") + ", in \(Quantity.format(seconds: seconds))"
  }
}
