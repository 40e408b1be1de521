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
      OptionSpec(
        "to", "REPO", repeats: true,
        "Push to this repository instead of the configured one: a name, s3://BUCKET/PREFIX or a path; give it again for more."
      ),
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

      With --to several times the checkpoint is read once and sent to all of them side by side, the slowest one sets the pace, and one
      that fails does not stop the others. The output tells for each whether it is done; the exit code is 0 where all are. Those that
      have it already are sent nothing when the same command is run again.

      --lock-for locks packs, manifest, record and marker after the commit, also packs that earlier pushes stored; it lengthens locks
      and never shortens one. A push of what is there already locks too. Give it to every rank of a group.
      """,
    examples: [
      "ckbackup push out/llama-sft/checkpoint-1000",
      "ckbackup push model.pt --run baseline --step 500 --metric loss=0.31 --tag paper --milestone",
      "ckbackup push checkpoint-1000 --log train.log --hparams args.yaml --eval eval.json",
      "srun ckbackup push checkpoint-1000 --distributed",
      "ckbackup push checkpoint-1000 --milestone --lock-for 90d",
      "ckbackup push checkpoint-1000 --to minio-lab --to oss-hz",
    ],
    whenInterrupted: "finished packs are kept, the unfinished one is not: run the same command again to go on"
  )

  static func run(_ environment: Environment) async throws -> ExitCode {
    var request = try request(environment)
    let targets = try PushTargets(environment)
    if targets == nil { try environment.refuseOverlap(request.path) }
    if environment.configuration.recordsEnvironment, !environment.arguments.has("no-environment") {
      request.environment = try await BlockingPool(threads: 1).run { [path = request.path] in
        HostFacts(variables: environment.variables).gather(near: path)
      }
    }
    if let targets { return try await targets.push(request) }
    let start = ContinuousClock.now
    let repository = try await environment.repository()
    let resources = try environment.resources(for: repository)
    let account: PushAccount
    if let rank = request.rank {
      let report = try await RankPush(
        repository, resources: resources, progress: environment.progress,
        grace: environment.configuration.grace
      ).run(request)
      account = PushAccount(report, of: rank)
    } else {
      let report = try await Push(
        repository, resources: resources, progress: environment.progress,
        grace: environment.configuration.grace
      ).run(request)
      account = PushAccount(report, isDryRun: request.isDryRun, since: start)
    }
    account.show(on: environment.console)
    try environment.console.json(account.document)
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
    request.comparedMetrics = environment.configuration.comparedMetrics
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
    if request.rank != nil {
      if request.isDryRun { throw UsageError("--dry-run does not go with --rank", command: spec.name) }
      var status = stat()
      if stat(request.path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR {
        throw UsageError("ranks push a directory together, and \(request.path) is none", command: spec.name)
      }
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

  /// `NAME=VALUE`; nil where the name is empty or the value no finite number.
  private static func metric(_ text: String) -> (name: String, value: Double)? {
    guard let equals = text.firstIndex(of: "="), equals > text.startIndex,
      let value = Double(text[text.index(after: equals)...]), value.isFinite
    else { return nil }
    return (String(text[..<equals]), value)
  }

  private static func hostName() -> String? {
    var name = utsname()
    guard uname(&name) == 0 else { return nil }
    return withUnsafeBytes(of: name.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
