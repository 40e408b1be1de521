import Checkpoints
import Engine

/// `ckbackup check`
enum CheckCommand: Command {
  static let spec = CommandSpec(
    name: "check", summary: "Look whether a checkpoint is whole, without a repository.", operands: "PATH",
    operandCount: 1...1,
    details: """
      Headers, pickles (as plain data: nothing in them is run) and small files are read, not the tensors' bytes. push does the same first. The exit code is 3 where a file is torn
      or missing.
      """,
    examples: ["ckbackup check out/checkpoint-1000", "ckbackup check model.safetensors --json"])

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
    let skipped: [String]
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let path = environment.arguments.operands[0]
    let inspection = try Inspection(path)
    let (tree, findings) = (inspection.tree, inspection.findings)
    for entry in tree.skipped { environment.console.warn(entry.sentence) }
    for notice in findings.notices { environment.console.warn(notice.sentence) }
    for defect in inspection.defects { environment.console.result(defect.sentence) }
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
      inspection.isComplete
      ? inspection.layout == "plain"
        ? "no known layout, so only the files' own headers were looked at"
        : "complete, \(findings.use.words)" : "NOT complete"
    environment.console.result(
      "\(path): \(inspection.layout), \(step), \(Quantity.format(bytes: tree.totalBytes)) in \(Quantity.count(tree.files.count, "file")), \(verdict)"
    )
    try environment.console.json(
      Result(
        path: path, layout: inspection.layout, run: inspection.suggestedRun, step: inspection.step,
        complete: inspection.isComplete, resumable: findings.use.isResumable, files: tree.files.count,
        bytes: tree.totalBytes, worldSize: findings.parallelism.world, metrics: findings.metrics,
        parts: Dictionary(
          findings.parts.map { ($0.key.rawValue, $0.value.map(\.display)) },
          uniquingKeysWith: { first, _ in first }),
        modules: findings.modules, base: findings.base,
        notices: findings.notices.map { .init(file: $0.file?.display, message: $0.sentence) },
        defects: inspection.defects.map { .init(file: $0.file?.display, message: $0.sentence) },
        skipped: tree.skipped.map(\.sentence)))
    return inspection.isComplete ? .done : .damage
  }
}
