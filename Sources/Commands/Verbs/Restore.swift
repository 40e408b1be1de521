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
      OptionSpec(
        "rank", "R", "Only what process R of a training reads: its own files, and those that are for all."),
      OptionSpec("seed", "DIR", "Take from DIR what it has already, for example an older checkpoint."),
      OptionSpec(
        "for-world-size", "N",
        "How many processes will train; by default what WORLD_SIZE, OMPI_COMM_WORLD_SIZE or SLURM_NTASKS says."
      ),
      OptionSpec(
        "strict", "Fetch nothing where training could not go on here as it was: see below. Exit code 1."),
      OptionSpec("overwrite", "Replace what stands at TARGET, in one step when everything is there."),
    ] + CommandSpec.thawing,
    details: """
      A GLOB without a slash matches a name anywhere, one with a slash a path from the top; a directory that matches stands for all
      below it, `*` stays within a name, `**/` matches any number of directories.
      The copy is built beside TARGET and gets its name when every byte is there and was checked. A restore that was interrupted
      goes on where it stopped when it is run again.
      Before anything is fetched, the snapshot's record is compared with this machine: the number of processes, the versions of the
      packages of PATH's python3, the commit of the working directory, the kind of processors, an adapter's base model. What does
      not fit is warned of.
      """,
    examples: [
      "ckbackup restore llama-sft@best ./ckpt", "ckbackup restore llama-sft@latest ./model --only weights",
      "ckbackup restore llama-sft@2000 ./ckpt --seed ./checkpoint-1000",
    ],
    whenInterrupted: "what was written is kept beside TARGET: run the same command again to go on")

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
    selection.rank = try arguments.integer("rank")
    if let only = arguments.string("only") {
      guard let part = Selection.Part(rawValue: only), part != .all else {
        throw UsageError("--only takes weights, training or record, not \(only)", command: spec.name)
      }
      selection.part = part
    }
    let thaw = try environment.thawWish()
    let target = arguments.operands[1]
    try environment.refuseOverlap(target)
    if arguments.has("overwrite") { try refuseOverwriting(target, selection, environment) }
    let repository = try await environment.repository()
    let snapshot = try await environment.snapshot(arguments.operands[0], in: repository)
    try await warnOfMisfits(snapshot, selection.part, environment, repository)
    let restore = Restore(
      repository, resources: try environment.resources(for: repository), progress: environment.progress)
    let report: Restore.Report
    do {
      report = try await restore.run(
        snapshot, to: target,
        options: .init(
          selection: selection, overwrite: arguments.has("overwrite"), seed: arguments.string("seed"),
          thaw: thaw))
    } catch {
      if let partial = Restore.remains(of: snapshot, at: target) {
        environment.console.warn(
          "what was restored so far is in \(partial), and the same command goes on from it")
      }
      throw error
    }

    var words =
      "restored \(snapshot.label) to \(report.target): \(Quantity.format(bytes: report.bytes)) in \(Quantity.count(report.files, "file"))"
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

  /// Tells what of a snapshot will not fit here, before anything of it is fetched.
  private static func warnOfMisfits(
    _ snapshot: Snapshot, _ part: Selection.Part, _ environment: Environment, _ repository: Repository
  ) async throws {
    let arguments = environment.arguments
    let worldSize = try arguments.integer("for-world-size", atLeast: 1)
    let warnings = try await environment.misfits(of: snapshot, part, in: repository, worldSize: worldSize)
    if arguments.has("strict"), !warnings.isEmpty { throw EngineError.unfit(warnings) }
    for warning in warnings { environment.console.warn(warning.sentence) }
  }

  /// Throws where a replacement would take more than a target with it.
  private static func refuseOverwriting(
    _ target: String, _ selection: Selection, _ environment: Environment
  ) throws(UsageError) {
    if !selection.isEverything {
      throw UsageError(
        "--overwrite replaces all of TARGET, so it does not go with --only, --include, --exclude and --rank: restore them to another place",
        command: spec.name)
    }
    for place in [".", environment.variables["HOME"] ?? "."] where Places.holds(target, place) {
      throw UsageError(
        "--overwrite would replace \(target), which holds the directory \(place)", command: spec.name)
    }
  }
}
