import Engine
import Platform
import Repository

/// `ckbackup verify SNAPSHOT --local DIR`
enum LocalVerification {
  private struct Document: Encodable {
    struct Difference: Encodable {
      let path: String
      let kind: String
    }
    let snapshot: SnapshotDocument
    let local: String
    let differences: [Difference]
  }

  static func run(_ directory: String, _ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    if let stray = ["quick", "deep", "budget", "sample"].first(where: arguments.has) {
      throw UsageError("--local and --\(stray) exclude each other", command: VerifyCommand.spec.name)
    }
    guard arguments.operands.count == 1 else {
      throw UsageError(
        "--local compares with one snapshot, and \(arguments.operands.count) are named",
        command: VerifyCommand.spec.name)
    }
    let repository = try await environment.repository()
    let snapshot = try await environment.snapshot(arguments.operands[0], in: repository)
    let comparison = LocalComparison(
      repository, resources: try environment.resources(for: repository), progress: environment.progress)
    let differences = try await comparison.run(snapshot, at: directory)
    for difference in differences { environment.console.result(sentence(difference)) }
    if differences.isEmpty {
      environment.console.show(
        "\(directory) is \(snapshot.label): \(Quantity.format(bytes: snapshot.bytes)) in \(Quantity.count(snapshot.files, "file")), every byte the same"
      )
    } else {
      environment.console.result(
        "\(directory) is not \(snapshot.label): \(Quantity.count(differences.count, "difference"))")
    }
    try environment.console.json(
      Document(
        snapshot: SnapshotDocument(snapshot), local: directory,
        differences: differences.map { .init(path: $0.path.display, kind: words($0.kind)) }))
    return differences.isEmpty ? .done : .damage
  }

  private static func sentence(_ difference: LocalComparison.Difference) -> String {
    "\(difference.path.display) \(words(difference.kind))"
  }

  private static func words(_ kind: LocalComparison.Difference.Kind) -> String {
    switch kind {
    case .missing: "is missing"
    case .extra: "is not in the snapshot"
    case .otherKind: "is of another kind than in the snapshot"
    case .size(let expected, let found): "has \(found) bytes instead of \(expected)"
    case .content: "has other content"
    case .permissions(let expected, let found):
      "has permissions \(String(found & 0o777, radix: 8)) instead of \(String(expected & 0o777, radix: 8))"
    case .unreadable(let reason): "cannot be read: \(reason)"
    }
  }
}
