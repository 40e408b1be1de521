import Checkpoints
import Engine
import Platform
import Repository

/// `ckbackup export`
enum ExportCommand: Command {
  static let spec = CommandSpec(
    name: "export", summary: "Make a directory for inference: whole safetensors, no training state.",
    operands: "SNAPSHOT TARGET", operandCount: 2...2,
    options: [
      OptionSpec(
        "strip-prefix", "PREFIX", repeats: true,
        "Take PREFIX off the tensors' names, for example module. or _orig_mod.; may be given several times."),
      OptionSpec("dtype", "TYPE", "Round floating-point weights to bf16 or fp16."),
      OptionSpec("max-shard-size", "SIZE", "The largest file of weights; default 5GiB."),
    ] + CommandSpec.thawing,
    details: """
      TARGET gets model.safetensors, or shards with an index, the configuration and the tokenizer: what transformers, vLLM and LMDeploy
      load. Weights that torch.save wrote become safetensors; their pickle is read, never executed. Shards are put together.
      Every byte is checked against its digest when it is fetched; memory stays bounded whatever the size.
      """,
    examples: [
      "ckbackup export llama-sft@best ./model", "ckbackup export llama-sft@best ./model --dtype bf16",
      "ckbackup export ddp-run@9000 ./model --strip-prefix module.",
    ])

  private struct Document: Encodable {
    let snapshot: SnapshotDocument
    let target: String
    let tensors: Int
    let weightFiles: Int
    let bytes: Int
    let otherFiles: [String]
    let lossy: Bool
    let fetchedBytes: Int
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    var options = ModelExport.Options(stripPrefixes: arguments.strings("strip-prefix"))
    if let name = arguments.string("dtype") {
      guard let type = ElementType(rawValue: name) else {
        throw UsageError("--dtype takes bf16 or fp16, not \(name)", command: spec.name)
      }
      options.elementType = type
    }
    if let size = try arguments.bytes("max-shard-size") { options.maximumShard = max(1, size) }
    let thaw = try environment.thawWish()
    let target = arguments.operands[1]
    try environment.refuseOverlap(target)
    let repository = try await environment.repository()
    let snapshot = try await environment.snapshot(arguments.operands[0], in: repository)
    let export = Export(
      repository, resources: try environment.resources(for: repository), progress: environment.progress)
    let report = try await export.run(snapshot, to: target, options: options, thaw: thaw)
    let model = report.model
    if let prefix = model.wrapperPrefix {
      environment.console.warn(
        "all tensors' names begin with \(prefix), which no loader expects: --strip-prefix \(prefix) takes it off"
      )
    }
    environment.console.show(
      "exported \(snapshot.label) to \(report.target): \(Quantity.count(model.tensors, "tensor")), \(Quantity.format(bytes: model.bytes)) in \(Quantity.count(model.weightFiles, "file")) of weights, \(Quantity.count(model.copied.count, "other file"))\(model.isLossy ? ", rounded" : "")"
    )
    try environment.console.json(
      Document(
        snapshot: SnapshotDocument(snapshot), target: report.target, tensors: model.tensors,
        weightFiles: model.weightFiles, bytes: model.bytes, otherFiles: model.copied, lossy: model.isLossy,
        fetchedBytes: report.fetchedBytes))
    return .done
  }
}
