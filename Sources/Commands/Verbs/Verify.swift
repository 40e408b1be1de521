import Engine
import Platform
import Repository

/// `ckbackup verify`
enum VerifyCommand: Command {
  static let spec = CommandSpec(
    name: "verify", summary: "Prove that what the repository keeps is there and is right.",
    operands: "[SNAPSHOT…]",
    operandCount: 0...10_000,
    options: [
      OptionSpec("quick", "Existence, size and ETag of every pack, from listings alone (the default)."),
      OptionSpec("deep", "Download everything and hash every byte."),
      OptionSpec("budget", "SIZE", "Deep, on the packs that were read longest ago, up to SIZE."),
      OptionSpec("sample", "PERCENT", "Deep, on so many percent of all bytes, read longest ago first."),
      OptionSpec("local", "DIR", "Compare DIR with the one SNAPSHOT that is named, without a download."),
    ] + CommandSpec.thawing,
    details: """
      It never stops at the first fault: everything that is wrong is listed, with the snapshots and files that it hurts, and the
      exit code is 3. With --budget a nightly run covers everything in turn; the ledger in the repository remembers what was read.
      """,
    examples: [
      "ckbackup verify", "ckbackup verify --budget 50GiB", "ckbackup verify --deep llama-sft@best",
      "ckbackup verify --sample 5% --json", "ckbackup verify llama-sft@2000 --local out/checkpoint-2000",
    ],
    whenInterrupted: "nothing was noted: run the same command again, which begins anew")

  private struct Document: Encodable {
    let snapshots: Int
    let packs: Int
    let bytes: Int
    let readPacks: Int
    let readBytes: Int
    let faultyPacks: Int
    let coveredSince: String?
    let unusedBytes: Int
    let frozenPacks: Int
    let damages: [DamageDocument]
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    if let directory = environment.arguments.string("local") {
      return try await LocalVerification.run(directory, environment)
    }
    let depth = try depth(environment.arguments)
    let thaw = try environment.thawWish()
    let repository = try await environment.repository()
    let choice = try await environment.choice(
      of: environment.arguments.operands, in: repository, very: true)
    let verify = Verify(
      repository, resources: try environment.resources(for: repository), progress: environment.progress,
      thaw: thaw)
    let report = try await verify.run(depth, choose: choice)

    for damage in report.damages { for sentence in damage.sentences { environment.console.result(sentence) } }
    for stray in report.strays { environment.console.warn(Damage.words(ofStray: stray)) }
    if let failure = report.ledgerFailure {
      let reason = ErrorText(failure).sentences.first ?? ""
      environment.console.warn(
        "the ledger was not written, so the next verify reads the same again: \(reason)")
    }
    for line in summary(report, depth) { environment.console.show(line) }
    if !report.damages.isEmpty {
      for line in Damage.cure(of: report.damages) { environment.console.result(line) }
    }
    try environment.console.json(
      Document(
        snapshots: report.snapshots, packs: report.packs, bytes: report.bytes, readPacks: report.readPacks,
        readBytes: report.readBytes, faultyPacks: report.faultyPacks,
        coveredSince: report.coveredSince?.rfc3339,
        unusedBytes: report.unusedBytes, frozenPacks: report.frozen?.packs ?? 0,
        damages: report.damages.map(DamageDocument.init)))
    if report.damages.isEmpty {
      guard let frozen = report.frozen else { return .done }
      Console.write("error: \(frozen.sentence)\n", to: 2)
      return .failed
    }
    if let frozen = report.frozen { environment.console.warn(frozen.sentence) }
    Console.write(
      "error: damaged or missing: \(Quantity.count(report.damages.count, "object")) of the repository\n",
      to: 2)
    return .damage
  }

  private static func depth(_ arguments: Arguments) throws(UsageError) -> Verify.Depth {
    let given = ["quick", "deep", "budget", "sample"].filter(arguments.has)
    if given.count > 1 {
      throw UsageError("--\(given[0]) and --\(given[1]) exclude each other", command: spec.name)
    }
    if arguments.has("deep") { return .deep }
    if let bytes = try arguments.bytes("budget") {
      guard bytes > 0 else { throw UsageError("--budget takes a size above 0", command: spec.name) }
      return .budget(bytes)
    }
    guard let text = arguments.string("sample") else { return .quick }
    guard let percent = Double(text.hasSuffix("%") ? String(text.dropLast()) : text),
      percent > 0, percent <= 100
    else {
      throw UsageError("--sample takes a percentage such as 5%, not \(text)", command: spec.name)
    }
    return .sample(percent / 100)
  }

  private static func summary(_ report: Verify.Report, _ depth: Verify.Depth) -> [String] {
    var lines = [
      "\(Quantity.count(report.snapshots, "snapshot")) in \(Quantity.count(report.packs, "pack")), \(Quantity.format(bytes: report.bytes))"
    ]
    if depth == .quick {
      lines.append("every pack was looked up by existence, size and ETag; none was read")
    } else {
      lines.append(
        "\(Quantity.count(report.readPacks, "pack")), \(Quantity.format(bytes: report.readBytes)), read and held to their digests"
      )
    }
    if let since = report.coveredSince {
      lines.append("every byte was read since \(since.localMinute)")
    } else if report.faultyPacks > 0 {
      lines.append(
        "\(report.faultyPacks) of \(Quantity.count(report.packs, "pack")) \(report.faultyPacks == 1 ? "is" : "are") missing or damaged"
      )
    } else if report.packs > 0, report.damages.isEmpty {
      lines.append("some packs were never read: verify --deep or --budget reads them")
    }
    if report.unusedBytes > 0 {
      lines.append(
        "\(Quantity.format(bytes: report.unusedBytes)) are needed by no snapshot; prune removes them in time")
    }
    return lines + (report.damages.isEmpty ? ["no damage found"] : [])
  }
}
