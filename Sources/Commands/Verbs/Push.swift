import Engine
import Glibc
import ObjectStore
import Platform
import Repository

/// `ckbackup push`
enum PushCommand: Command {
  static let spec = CommandSpec(
    name: "push", summary: "Check a checkpoint, then back it up.", operands: "PATH", operandCount: 1...1,
    options: [
      OptionSpec("run", "NAME", "The run it belongs to; found in the path where it is not given."),
      OptionSpec("step", "N", "The training step; found in the checkpoint where it is not given."),
      OptionSpec("tag", "LABEL", repeats: true, "A label, for example paper."),
      OptionSpec("milestone", "Keep it for ever: no prune removes it."),
      OptionSpec(
        "metric", "NAME=VALUE", repeats: true, "A metric, beside those that the checkpoint records."),
      OptionSpec("log", "FILE", repeats: true, "A training log for the archive record."),
      OptionSpec("hparams", "FILE", repeats: true, "Hyper-parameters for the archive record."),
      OptionSpec("eval", "FILE", repeats: true, "Evaluation results for the archive record."),
      OptionSpec("note", "TEXT", "A sentence for the archive record."),
      OptionSpec("no-environment", "Leave code, machine, variables and packages out of the archive record."),
      OptionSpec("allow-incomplete", "Keep a torn or incomplete checkpoint all the same, marked as such."),
      OptionSpec(
        "lock-for", "TIME",
        "Lock what the snapshot needs against deletion for TIME, for example 90d; the bucket must have object lock."
      ),
      OptionSpec(
        "lock-mode", "MODE",
        "governance (default): who has the right may end the lock; compliance: nobody can, and what is locked is paid for."
      ),
      SaveWait.option,
      OptionSpec("strict", "Fail where something cannot be kept: an unreadable file, a socket, a pipe."),
      OptionSpec("dry-run", "Read and compare everything, send nothing, and tell what would be sent."),
    ] + Ranks.options,
    details: """
      PATH is a checkpoint's directory or a single file. Only chunks that the repository lacks are sent, in packs of up to 1 GiB
      (pack_size in the configuration). A push that was interrupted goes on when it is run again: finished packs are kept, the one
      that was not finished is sent anew from its beginning.

      Where many processes hold one checkpoint, on a shared file system or each on its own disk, each of them runs push with its rank: files
      that several see are sent by one of them, and the last one commits the snapshot. A rank that died is simply run again.
      Labels, metrics, notes and files for the record may be given to any of them.

      --lock-for locks packs, manifest, record and marker after the commit, also packs that earlier pushes stored; it lengthens locks
      and never shortens one. A push of what is there already locks too. Give it to every rank of a group.
      """,
    examples: [
      "ckbackup push out/llama-sft/checkpoint-1000",
      "ckbackup push model.pt --run baseline --step 500 --metric loss=0.31 --tag paper --milestone",
      "ckbackup push checkpoint-1000 --log train.log --hparams args.yaml --eval eval.json",
      "srun ckbackup push checkpoint-1000 --distributed",
      "ckbackup push checkpoint-1000 --milestone --lock-for 90d",
    ],
    whenInterrupted: "finished packs are kept, the unfinished one is not: run the same command again to go on"
  )

  private struct Result: Encodable {
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

  static func run(_ environment: Environment) async throws -> ExitCode {
    var request = try request(environment)
    try environment.refuseOverlap(request.path)
    let repository = try await environment.repository()
    let resources = try environment.resources(for: repository)
    if environment.configuration.recordsEnvironment, !environment.arguments.has("no-environment") {
      request.environment = try await resources.disk.run { [path = request.path] in
        HostFacts(variables: environment.variables).gather(near: path)
      }
    }
    let start = ContinuousClock.now
    if request.rank != nil { return try await pushShare(request, to: repository, environment) }
    let report = try await Push(
      repository, resources: resources, progress: environment.progress,
      grace: environment.configuration.grace
    ).run(request)
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    for warning in report.warnings { environment.console.warn(warning) }
    environment.console.show(sentence(report, request, seconds: seconds))
    if let lock = report.lock { environment.console.show(sentence(lock)) }
    let snapshot = report.snapshot
    try environment.console.json(
      Result(
        snapshot: snapshot.id, run: snapshot.run, step: snapshot.step, layout: snapshot.layout,
        complete: snapshot.complete, files: snapshot.files, bytes: snapshot.bytes,
        uploadedBytes: report.addedBytes,
        reusedBytes: report.reusedBytes, alreadyPresent: report.wasPresent, dryRun: request.isDryRun,
        lockedObjects: report.lock?.objects, lockedUntil: report.lock?.retention.until,
        warnings: report.warnings))
    return .done
  }

  private struct ShareResult: Encodable {
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

  /// Pushes what this process has to send of a checkpoint that many push together.
  private static func pushShare(
    _ request: Push.Request, to repository: Repository, _ environment: Environment
  ) async throws -> ExitCode {
    guard let rank = request.rank else { return .failed }
    var status = stat()
    if stat(request.path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR {
      throw UsageError("ranks push a directory together, and \(request.path) is none", command: spec.name)
    }
    let report = try await RankPush(
      repository, resources: environment.resources(for: repository), progress: environment.progress,
      grace: environment.configuration.grace
    ).run(request)
    for warning in report.warnings { environment.console.warn(warning) }
    let share =
      "\(Quantity.format(bytes: report.bytes)) in \(Quantity.count(report.files, "file")), \(Quantity.format(bytes: report.addedBytes)) new"
    let who = "rank \(rank.rank) of \(rank.worldSize)"
    let state: String
    var snapshot: Snapshot?
    var awaited: [Int] = []
    switch report.outcome {
    case .committed(let committed):
      (state, snapshot) = ("committed", committed)
      environment.console.show(
        "pushed \(committed.label): all \(rank.worldSize) ranks are there, \(Quantity.format(bytes: committed.bytes)) in \(Quantity.count(committed.files, "file")); \(who) stored \(share)"
      )
    case .present(let present):
      (state, snapshot) = ("present", present)
      environment.console.show("\(present.label) is in the repository, with all files of \(who)")
    case .awaiting(let ranks):
      (state, awaited) = ("awaiting", ranks)
      environment.console.show("stored the share of \(who): \(share)")
      // Not quiet: whoever looks at exit codes alone would take it for a snapshot.
      environment.console.warn(
        "there is no snapshot of \(report.run)@\(report.step) yet: it awaits \(Quantity.ranks(ranks)), in this group (ckbackup list --pending)"
      )
    }
    if let lock = report.lock { environment.console.show(sentence(lock)) }
    try environment.console.json(
      ShareResult(
        state: state, snapshot: snapshot?.id, run: report.run, step: report.step, rank: rank.rank,
        worldSize: rank.worldSize, awaitedRanks: awaited, files: report.files, bytes: report.bytes,
        uploadedBytes: report.addedBytes, lockedObjects: report.lock?.objects,
        lockedUntil: report.lock?.retention.until, warnings: report.warnings))
    return .done
  }

  private static func request(_ environment: Environment) throws -> Push.Request {
    let arguments = environment.arguments
    var request = Push.Request(path: arguments.operands[0])
    request.run = arguments.string("run") ?? environment.configuration.run
    request.step = try arguments.integer("step", atMost: ObjectKey.steps.upperBound)
    request.tags = arguments.strings("tag")
    for tag in request.tags { try TagCommand.check(label: tag, for: spec) }
    request.isMilestone = arguments.has("milestone")
    for text in arguments.strings("metric") {
      guard let (name, value) = metric(text) else {
        throw UsageError("--metric takes NAME=VALUE with a finite number, not \(text)", command: spec.name)
      }
      request.metrics[name] = value
    }
    request.attachments =
      arguments.strings("log").map { ($0, .log) }
      + arguments.strings("hparams").map { ($0, .hyperparameters) }
      + arguments.strings("eval").map { ($0, .evaluation) }
    request.note = arguments.string("note")
    request.allowsIncomplete = arguments.has("allow-incomplete")
    request.patience = try SaveWait.patience(arguments)
    request.isStrict = arguments.has("strict")
    request.isDryRun = arguments.has("dry-run")
    request.rank = try Ranks.find(arguments, environment.variables)
    if request.rank != nil, request.isDryRun {
      throw UsageError("--dry-run does not go with --rank", command: spec.name)
    }
    request.lock = try lock(arguments)
    request.sizes = .init(pack: environment.configuration.packSize, part: request.sizes.part)
    request.host = hostName()
    request.program = "ckbackup \(CommandLine.version)"
    request.commandLine = ["ckbackup", spec.name] + arguments.words
    return request
  }

  /// What `--lock-for` and `--lock-mode` ask for.
  private static func lock(_ arguments: Arguments) throws(UsageError) -> SnapshotLock.Request? {
    let seconds = try arguments.seconds("lock-for")
    let word = arguments.string("lock-mode")
    guard let seconds else {
      if word == nil { return nil }
      throw UsageError("--lock-mode goes with --lock-for", command: spec.name)
    }
    // Amazon keeps locks of at most 100 years (docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html).
    guard seconds > 0, seconds <= 36_500 * 86_400 else {
      throw UsageError("--lock-for takes a time of up to 100 years", command: spec.name)
    }
    guard let mode = ObjectRetention.Mode(rawValue: word ?? "governance") else {
      throw UsageError("--lock-mode is governance or compliance, not \(word ?? "")", command: spec.name)
    }
    return .init(seconds: seconds, mode: mode)
  }

  private static func sentence(_ lock: SnapshotLock.Report) -> String {
    let before = lock.lockedBefore > 0 ? ", \(lock.lockedBefore) of them as long before" : ""
    return
      "locked \(Quantity.count(lock.objects, "object")) until \(lock.retention.until.localMinute) (\(lock.retention.mode.rawValue))\(before)"
  }

  /// `NAME=VALUE`; nil where the name is empty or the value no finite number.
  private static func metric(_ text: String) -> (name: String, value: Double)? {
    guard let equals = text.firstIndex(of: "="), equals > text.startIndex,
      let value = Double(text[text.index(after: equals)...]), value.isFinite
    else { return nil }
    return (String(text[..<equals]), value)
  }

  private static func sentence(_ report: Push.Report, _ request: Push.Request, seconds: Double) -> String {
    let snapshot = report.snapshot
    let size =
      "\(Quantity.format(bytes: snapshot.bytes)) in \(Quantity.count(snapshot.files, "file"))"
    if report.wasPresent {
      return "\(snapshot.label) is in the repository already: \(size), nothing was sent"
    }
    let new = Quantity.format(bytes: report.addedBytes)
    if request.isDryRun { return "\(snapshot.label) would be \(size), \(new) of it new; nothing was sent" }
    return
      "pushed \(snapshot.label): \(size), \(new) new, \(snapshot.layout), in \(Quantity.format(seconds: seconds))"
  }

  private static func hostName() -> String? {
    var name = utsname()
    guard uname(&name) == 0 else { return nil }
    return withUnsafeBytes(of: name.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
