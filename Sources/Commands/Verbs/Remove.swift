import Engine
import Platform
import Repository

/// `ckbackup remove`
enum RemoveCommand: Command {
  static let spec = CommandSpec(
    name: "remove", summary: "Remove snapshots that should not be there.", operands: "SNAPSHOT…",
    operandCount: 1...1000,
    options: [
      OptionSpec("dry-run", "Only say what would go."),
      OptionSpec("yes", "Remove milestones too."),
    ],
    details: """
      The snapshots are gone at once; their bytes are removed by a prune that runs after the grace period, as far as no other snapshot
      needs them. To thin out a run by rules, use prune. A snapshot whose marker is locked (push --lock-for) stays until the lock has
      ended: exit code 5.
      """,
    examples: ["ckbackup remove llama-stf@1000", "ckbackup remove 3fa9c1 --dry-run"])

  private struct Document: Encodable {
    let dryRun: Bool
    let removed: [SnapshotDocument]
    let locked: [Locked]

    struct Locked: Encodable {
      let snapshot: SnapshotDocument
      let until: Timestamp
    }
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    let repository = try await environment.repository()
    var chosen: [Snapshot] = []
    for operand in arguments.operands {
      let snapshot = try await environment.snapshot(operand, in: repository, very: true)
      if !chosen.contains(snapshot) { chosen.append(snapshot) }
    }
    if let milestone = chosen.first(where: \.milestone), !arguments.has("yes") {
      throw UsageError(
        "\(milestone.label) is a milestone: pass --yes to remove it all the same", command: spec.name)
    }
    let isDryRun = arguments.has("dry-run")
    let locked = isDryRun ? [] : try await repository.remove(chosen).locked
    chosen.removeAll { snapshot in locked.contains { $0.snapshot.key == snapshot.key } }
    for snapshot in chosen {
      environment.console.show("\(isDryRun ? "would remove" : "removed") \(snapshot.label)")
    }
    for kept in locked {
      environment.console.warn(
        "\(kept.snapshot.label) stays: it is locked until \(kept.until.localMinute). Remove it after that.")
    }
    try environment.console.json(
      Document(
        dryRun: isDryRun, removed: chosen.map(SnapshotDocument.init),
        locked: locked.map { .init(snapshot: SnapshotDocument($0.snapshot), until: $0.until) }))
    return locked.isEmpty ? .done : .refused
  }
}
