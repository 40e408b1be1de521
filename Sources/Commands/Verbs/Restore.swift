import Engine
import Platform
import Repository

/// `ckbackup restore`
enum RestoreCommand: Command {
  static let spec = CommandSpec(
    name: "restore", summary: "Bring a snapshot back, exactly.", operands: "SNAPSHOT TARGET",
    operandCount: 2...2,
    options: [
      OptionSpec(
        "only", "PART",
        "weights (what inference needs), training (the rest), or record (log, parameters, results)."),
      OptionSpec("include", "GLOB", repeats: true, "Only files that match; may be given several times."),
      OptionSpec("exclude", "GLOB", repeats: true, "Leave out files that match; may be given several times."),
      OptionSpec("seed", "DIR", "Take from DIR what it has already, for example an older checkpoint."),
      OptionSpec("overwrite", "Replace what stands at TARGET, in one step when everything is there."),
    ],
    details: """
      The copy is built beside TARGET and gets its name when every byte is there and was checked. A restore that was interrupted
      goes on where it stopped when it is run again.
      """,
    examples: [
      "ckbackup restore llama-sft@best ./ckpt", "ckbackup restore llama-sft@latest ./model --only weights",
      "ckbackup restore llama-sft@2000 ./ckpt --seed ./checkpoint-1000",
    ])

  private struct Document: Encodable {
    let snapshot: SnapshotDocument
    let target: String
    let files: Int
    let bytes: Int
    let fetchedBytes: Int
    let resumedBytes: Int
    let seededBytes: Int
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    var selection = Selection(include: arguments.strings("include"), exclude: arguments.strings("exclude"))
    if let only = arguments.string("only") {
      guard let part = Selection.Part(rawValue: only), part != .all else {
        throw UsageError("--only takes weights, training or record, not \(only)", command: spec.name)
      }
      selection.part = part
    }
    let repository = try await environment.repository()
    let snapshot = try await environment.snapshot(arguments.operands[0], in: repository)
    let restore = Restore(
      repository, resources: try environment.resources(for: repository), progress: environment.progress)
    let report = try await restore.run(
      snapshot, to: arguments.operands[1],
      options: .init(
        selection: selection, overwrite: arguments.has("overwrite"), seed: arguments.string("seed")))

    var words =
      "restored \(snapshot.label) to \(report.target): \(Quantity.format(bytes: report.bytes)) in \(report.files) files"
    if report.seededBytes > 0 {
      words += ", \(Quantity.format(bytes: report.seededBytes)) of it from the seed"
    }
    if report.resumedBytes > 0 {
      words += ", \(Quantity.format(bytes: report.resumedBytes)) were there already"
    }
    environment.console.show(words)
    try environment.console.json(
      Document(
        snapshot: SnapshotDocument(snapshot), target: report.target, files: report.files, bytes: report.bytes,
        fetchedBytes: report.fetchedBytes, resumedBytes: report.resumedBytes, seededBytes: report.seededBytes)
    )
    return .done
  }
}
