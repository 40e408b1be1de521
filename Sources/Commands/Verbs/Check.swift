import Checkpoints
import Engine
import Platform

/// `ckbackup check`
enum CheckCommand: Command {
  static let spec = CommandSpec(
    name: "check", summary: "Look whether a checkpoint is whole, without a repository.", operands: "PATH",
    operandCount: 1...1,
    options: [
      OptionSpec("deep", "Read every byte: the CRC-32 of torch files, NaN, tails of zeros."), SaveWait.option,
    ],
    details: """
      Headers, pickles (as plain data: nothing in them is run), small files and a few hundred KiB of the tensors are read. push does the
      same first. The exit code is 3 where a file is torn or missing, or the checkpoint is still being written, and 1 where it was rotated
      away meanwhile.
      """,
    examples: [
      "ckbackup check out/checkpoint-1000", "ckbackup check model.safetensors --json",
      "ckbackup check out/checkpoint-1000 --deep --wait=10m",
    ])

  private struct Result: Encodable {
    struct Problem: Encodable {
      let file: String?
      let message: String
    }
    let path: String
    let layout: String
    let run: String
    let step: Int?
    let complete: Bool
    let resumable: Bool
    let files: Int
    let bytes: Int
    let worldSize: Int?
    let metrics: [String: Double]
    let parts: [String: [String]]
    let modules: [ModelModule]
    let base: BaseModel?
    let notices: [Problem]
    let defects: [Problem]
    /// By which sign it is still being written.
    let saving: String?
    /// How much of it was read with `--deep`.
    let bytesRead: Int?
    let sumsChecked: Int?
    let skipped: [String]
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let path = environment.arguments.operands[0]
    let disk = BlockingPool(threads: 1)
    let look = try await SaveWatch(.system, disk: disk, progress: environment.progress)
      .look(path, patience: try SaveWait.patience(environment.arguments))
    let (inspection, isDeep) = (look.inspection, environment.arguments.has("deep"))
    let (tree, findings) = (inspection.tree, inspection.findings)
    if let gone = inspection.defects.first(where: { $0.kind == .vanished }), look.saving == nil {
      throw EngineError.vanished(path: gone.file.map(tree.root.display) ?? path)
    }
    let deep =
      isDeep ? try await DeepReading.run(inspection, disk: disk, progress: environment.progress) : nil
    // What everything tells is not told again of a sample.
    let content = try await disk.run { inspection.contentNotices().filter { !isDeep || $0.file != nil } }
    let notices = findings.notices + content + (deep?.notices ?? [])
    let defects = inspection.defects + (deep?.defects ?? []).filter { !inspection.defects.contains($0) }
    let isComplete = defects.isEmpty && look.saving == nil
    for entry in tree.skipped { environment.console.warn(entry.sentence) }
    for notice in notices { environment.console.warn(notice.sentence) }
    for defect in defects { environment.console.result(defect.sentence) }
    if let sign = look.saving {
      environment.console.result(
        "\(path) is still being written (\(sign.words)); wait for the save to end or pass --wait.")
    }
    if let base = findings.base { environment.console.result("base model: \(base.words)") }
    if !findings.modules.isEmpty {
      environment.console.result("modules: " + findings.modules.map(\.words).joined(separator: ", "))
    }
    if !findings.parts.isEmpty {
      let parts = Findings.Part.allCases.filter { findings.parts[$0] != nil }
      environment.console.result("parts: " + parts.map(\.rawValue).joined(separator: ", "))
    }
    let step = inspection.step.map { "step \($0)" } ?? "no step"
    let verdict =
      isComplete
      ? inspection.layout == "plain"
        ? "no known layout, so only the files' own headers were looked at"
        : "complete, \(findings.use.words)" : look.saving == nil ? "NOT complete" : "NOT complete yet"
    environment.console.result(
      "\(path): \(inspection.layout), \(step), \(Quantity.format(bytes: tree.totalBytes)) in \(Quantity.count(tree.files.count, "file")), \(verdict)"
    )
    try environment.console.json(
      Result(
        path: path, layout: inspection.layout, run: inspection.suggestedRun, step: inspection.step,
        complete: isComplete, resumable: findings.use.isResumable, files: tree.files.count,
        bytes: tree.totalBytes, worldSize: findings.parallelism.world, metrics: findings.metrics,
        parts: Dictionary(
          findings.parts.map { ($0.key.rawValue, $0.value.map(\.display)) },
          uniquingKeysWith: { first, _ in first }),
        modules: findings.modules, base: findings.base,
        notices: notices.map { .init(file: $0.file?.display, message: $0.sentence) },
        defects: defects.map { .init(file: $0.file?.display, message: $0.sentence) },
        saving: look.saving?.words, bytesRead: deep?.bytes, sumsChecked: deep?.sums,
        skipped: tree.skipped.map(\.sentence)))
    return isComplete ? .done : .damage
  }
}
