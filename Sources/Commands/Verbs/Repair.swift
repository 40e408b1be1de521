import Engine
import Platform
import Repository

/// `ckbackup repair`
enum RepairCommand: Command {
  static let spec = CommandSpec(
    name: "repair", summary: "Bring lost and damaged packs back from a second place.",
    operands: "[SNAPSHOT…]", operandCount: 0...10_000,
    options: [
      OptionSpec("from", "REPO|DIR", "Another repository, or a directory with a checkpoint's files."),
      OptionSpec("from-config", "FILE", "How REPO is reached, where endpoint or credentials are others."),
      OptionSpec("deep", "Read everything first, instead of looking at listings alone."),
    ],
    details: """
      What a quick verify, or with --deep a deep one, finds wrong is written again: the same bytes under the same name, from what is
      left of it and from chunks of REPO, or from files of DIR at the places where the checkpoint had them. Each chunk is held to its
      digest. A pack that is whole is never written to, and one that cannot be had whole stays as it is. What remains damaged is
      named, and the exit code is 3.
      """,
    examples: [
      "ckbackup repair --from /mnt/nas/checkpoints", "ckbackup repair --deep --from s3://offsite/llama",
      "ckbackup repair llama-sft@1000 --from out/llama-sft/checkpoint-1000",
    ],
    whenInterrupted: "packs that were repaired stay so: run the same command again for the others")

  private struct Document: Encodable {
    struct Pack: Encodable {
      let object: String
      let broughtBytes: Int
      let snapshots: [String]
      let files: [String]
    }
    let snapshots: Int
    let repaired: [Pack]
    let unharmed: [String]
    let remaining: [DamageDocument]
    let wantedFiles: [String]
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    guard let place = arguments.string("from") else {
      throw UsageError("say where from: --from REPO or --from DIR", command: spec.name)
    }
    let second = try environment.second("from")
    try environment.refuse(second: second)
    let repository = try await environment.repository()
    let choice = try await environment.choice(of: arguments.operands, in: repository, very: true)
    let report = try await Repair(
      repository, from: source(second, place), resources: environment.resources(for: repository),
      progress: environment.progress
    ).run(deep: arguments.has("deep"), choose: choice)

    for pack in report.repaired {
      environment.console.show(
        "repaired \(pack.pack): \(Quantity.format(bytes: pack.broughtBytes)) brought back, for \(pack.snapshots.joined(separator: ", "))"
      )
    }
    for pack in report.unharmed { environment.console.show("\(pack) was read and is whole") }
    for damage in report.remaining { for line in damage.sentences { environment.console.result(line) } }
    if report.remaining.isEmpty {
      environment.console.show(
        report.repaired.isEmpty ? "nothing to repair" : "no damage is left")
    } else {
      if !report.wantedFiles.isEmpty {
        environment.console.result(
          "\(place) does not have all bytes of \(Damage.list(report.wantedFiles))")
      }
      for line in Damage.cure(of: report.remaining, repaired: true) { environment.console.result(line) }
    }
    try environment.console.json(
      Document(
        snapshots: report.snapshots,
        repaired: report.repaired.map {
          .init(object: $0.pack, broughtBytes: $0.broughtBytes, snapshots: $0.snapshots, files: $0.files)
        },
        unharmed: report.unharmed, remaining: report.remaining.map(DamageDocument.init),
        wantedFiles: report.wantedFiles))
    if report.remaining.isEmpty { return .done }
    Console.write(
      "error: still damaged or missing: \(Quantity.count(report.remaining.count, "object")) of the repository\n",
      to: 2)
    return .damage
  }

  /// A repository where there is one, else the files of a directory.
  private static func source(_ second: Environment, _ place: String) async throws -> RepairSource {
    guard let directory = second.repositoryDirectory else {
      return .repository(try await second.repository())
    }
    let root: OpenDirectory
    do { root = try OpenDirectory(directory) } catch {
      throw SecondPlaceError(error: error, option: "--from", place: place)
    }
    if (try? root.open(RelativePath(ObjectKey.repository))) == nil { return .directory(directory) }
    return .repository(try await second.repository())
  }
}
