import Checkpoints
import Engine
import Platform
import Repository

/// `ckbackup diff`
enum DiffCommand: Command {
  static let spec = CommandSpec(
    name: "diff", summary: "Tell how two snapshots differ: settings, versions, results, files.",
    operands: "SNAPSHOT SNAPSHOT", operandCount: 2...2,
    options: [
      OptionSpec("files", "List every file that differs, however many they are."),
      OptionSpec("tensors", "List every tensor that differs."),
    ],
    details: """
      The first snapshot is A, the second B. What is compared are the archive records (hyper-parameters by file, versions, code,
      machine, parts), the metrics, the tensors by the digests that pushes recorded, and the files; a file's NEW bytes are those whose
      chunks A has nowhere. Files are not downloaded.
      The exit code is 0 where both snapshots exist, whether they differ or not.
      """,
    examples: [
      "ckbackup diff llama-sft@1000 llama-sft@2000", "ckbackup diff baseline@best llama-sft@best --json",
    ])

  private struct Document: Encodable {
    let before: SnapshotDocument
    let after: SnapshotDocument
    let diff: SnapshotDiff
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let repository = try await environment.repository()
    let operands = environment.arguments.operands
    let before = try await environment.snapshot(operands[0], in: repository)
    let after = try await environment.snapshot(operands[1], in: repository)
    let diff = SnapshotDiff(
      try await .init(before, in: repository), try await .init(after, in: repository))
    let console = environment.console
    for (letter, snapshot) in [("A", before), ("B", after)] {
      console.result(
        "\(letter)  \(snapshot.address)  \(snapshot.id)  \(snapshot.time.localMinute)  \(Quantity.format(bytes: snapshot.bytes))"
      )
    }
    let most = environment.arguments.has("files") ? Int.max : 40
    let names = environment.arguments.has("tensors")
    for line in lines(diff, width: console.width, mostFiles: most, namesTensors: names) {
      console.result(line)
    }
    try console.json(
      Document(before: SnapshotDocument(before), after: SnapshotDocument(after), diff: diff))
    return .done
  }

  /// The differences as sections, each behind an empty line; what is the same in both has none.
  static func lines(_ diff: SnapshotDiff, width: Int, mostFiles: Int, namesTensors: Bool) -> [String] {
    var lines: [String] = []
    func section(
      _ title: String, _ changes: [SnapshotDiff.Change], _ words: (JSONValue?) -> String = DiffCommand.words
    ) {
      if changes.isEmpty { return }
      var table = Table([(title, .left), ("A", .left), ("B", .left)])
      for change in changes { table.add([change.name, words(change.before), words(change.after)]) }
      lines += [""] + table.lines(width: width)
    }
    for (file, changes) in diff.hyperparameters.sorted(by: { $0.key < $1.key }) {
      section("SETTINGS IN \(file)", changes)
    }
    section("VERSIONS", diff.versions)
    section("CODE AND MACHINE", diff.environment)
    section("METRICS", diff.metrics, metric)
    section("CONTENTS", diff.contents)
    if let tensors = diff.tensors { lines += self.lines(tensors, width: width, names: namesTensors) }
    if !diff.files.isEmpty {
      var table = Table([("FILES", .left), ("A", .right), ("B", .right), ("NEW", .right)])
      for file in diff.files.prefix(mostFiles) {
        table.add([
          file.path, file.before.map(Quantity.format(bytes:)) ?? "-",
          file.after.map(Quantity.format(bytes:)) ?? "-", Quantity.format(bytes: file.newBytes),
        ])
      }
      lines += [""] + table.lines(width: width)
      let more = diff.files.count - mostFiles
      if more > 0 { lines.append("and \(Quantity.count(more, "file")) more (--files lists them)") }
    }
    return lines + ["", summary(diff)]
  }

  /// What changed by module, and the names where they are wanted; nothing where all is the same.
  private static func lines(_ tensors: TensorChanges, width: Int, names: Bool) -> [String] {
    let kinds = [
      ("changed", tensors.changed), ("only in B", tensors.added), ("only in A", tensors.removed),
      ("cut in another way", tensors.untold),
    ].filter { !$0.1.isEmpty }
    if kinds.isEmpty { return [] }
    var table = Table([("MODULES", .left), ("TENSORS", .right), ("AS IN A", .right)])
    for module in tensors.modules {
      table.add([
        escaped(module.name.utf8), String(module.tensors),
        module.same == module.tensors ? "all" : String(module.same),
      ])
    }
    var lines = [""] + table.lines(width: width)
    lines.append(
      "tensors: "
        + (kinds.map { "\($0.1.count) \($0.0)" } + ["\(tensors.same) the same"]).joined(separator: ", ")
        + (names ? "" : " (--tensors lists them)"))
    if names { lines += kinds.flatMap { kind, names in names.map { "  \(escaped($0.utf8))  \(kind)" } } }
    return lines
  }

  private static func summary(_ diff: SnapshotDiff) -> String {
    let added = diff.files.count { $0.before == nil }
    let removed = diff.files.count { $0.after == nil }
    let counts =
      "\(diff.files.count - added - removed) changed, \(added) added, \(removed) removed, \(diff.sameFiles) the same"
    guard diff.bytesAfter > 0 else { return "files: \(counts)" }
    let percent = Quantity.fixed(Double(diff.sharedBytes) / Double(diff.bytesAfter) * 100, digits: 1)
    return
      "files: \(counts); \(Quantity.format(bytes: diff.sharedBytes)) of B (\(percent) %) are shared with A"
  }

  private static func metric(_ value: JSONValue?) -> String {
    value?.number.map(Quantity.format(metric:)) ?? words(value)
  }

  private static func words(_ value: JSONValue?) -> String { value?.words ?? "-" }
}
