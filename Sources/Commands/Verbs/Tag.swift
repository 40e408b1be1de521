import Engine
import Repository

/// `ckbackup tag`
enum TagCommand: Command {
  static let spec = CommandSpec(
    name: "tag", summary: "Change a snapshot's labels, or make it a milestone.",
    operands: "SNAPSHOT [+LABEL…] [-LABEL…]",
    operandCount: 1...100,
    options: [
      OptionSpec("milestone", "Make it a milestone: no prune removes it."),
      OptionSpec("no-milestone", "Make it an ordinary snapshot again."),
    ],
    details: "A snapshot with the label `best` is what RUN@best means, whatever the metrics say.",
    examples: ["ckbackup tag llama-sft@1000 +paper -old", "ckbackup tag llama-sft@best --milestone"],
    takesDashedOperands: true)

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    var tagging = Tagging()
    for change in arguments.operands.dropFirst() {
      let label = String(change.dropFirst())
      guard let sign = change.first, sign == "+" || sign == "-" else {
        throw UsageError("write +\(change) to add a label, or -\(change) to remove it", command: spec.name)
      }
      try check(label: label, for: spec)
      if sign == "+" { tagging.add.append(label) } else { tagging.remove.append(label) }
    }
    if arguments.has("milestone"), arguments.has("no-milestone") {
      throw UsageError("--milestone and --no-milestone exclude each other", command: spec.name)
    }
    if arguments.has("milestone") { tagging.milestone = true }
    if arguments.has("no-milestone") { tagging.milestone = false }
    guard tagging != Tagging() else {
      throw UsageError("nothing to change: give +LABEL, -LABEL or --milestone", command: spec.name)
    }

    let repository = try await environment.repository()
    let snapshot = try await environment.snapshot(arguments.operands[0], in: repository, very: true)
    for label in tagging.remove where !snapshot.tags.contains(label) {
      environment.console.warn("\(snapshot.label) has no label \(label)")
    }
    let changed = try await tagging.apply(to: snapshot, in: repository)
    environment.console.show("\(changed.label): \(changed.marks.isEmpty ? "no labels" : changed.marks)")
    try environment.console.json(SnapshotDocument(changed))
    return .done
  }

  /// Throws where a text cannot be a label.
  static func check(label: String, for command: CommandSpec) throws(UsageError) {
    guard !Tagging.isValid(label) else { return }
    let rule = "letters, digits, dots, dashes and underscores, at most 64, not digits alone and not latest"
    throw UsageError("\(label.debugDescription) cannot be a label: \(rule)", command: command.name)
  }
}
