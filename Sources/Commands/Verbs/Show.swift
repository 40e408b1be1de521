import Engine
import Platform
import Repository

/// `ckbackup show`
enum ShowCommand: Command {
  static let spec = CommandSpec(
    name: "show", summary: "Show a snapshot: its record, its files, what it shares.", operands: "SNAPSHOT",
    operandCount: 1...1,
    options: [OptionSpec("files", "List every file.")],
    examples: [
      "ckbackup show llama-sft@best", "ckbackup show llama-sft@1000 --files", "ckbackup show 3fa9c1 --json",
    ])

  private struct Document: Encodable {
    struct File: Encodable {
      let path: String
      let size: Int
      let sha256: String
      let md5: String
      let `class`: FileClass
    }
    let snapshot: SnapshotDocument
    let predecessor: String?
    let sharedBytes: Int
    let packs: Int
    let record: RecordDocument?
    let files: [File]
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let repository = try await environment.repository()
    let snapshot = try await environment.snapshot(environment.arguments.operands[0], in: repository)
    let manifest = try await repository.manifest(of: snapshot)
    let record = try await ArchiveRecord.read(of: snapshot, from: repository)
    let siblings = try await repository.snapshots(of: snapshot.run).snapshots
    let before = siblings.last { ($0.step, $0.time, $0.id) < (snapshot.step, snapshot.time, snapshot.id) }
    let shared = try await sharedBytes(manifest, with: before, in: repository)

    for line in lines(snapshot, manifest, record, before, shared) { environment.console.result(line) }
    if environment.arguments.has("files") {
      environment.console.result("")
      for line in fileTable(manifest).lines(width: environment.console.width) {
        environment.console.result(line)
      }
    }
    try environment.console.json(
      Document(
        snapshot: SnapshotDocument(snapshot), predecessor: before?.id, sharedBytes: shared,
        packs: manifest.packs.count,
        record: record,
        files: manifest.files.map {
          .init(
            path: $0.path.display, size: $0.size, sha256: hex($0.sha256), md5: hex($0.md5),
            class: $0.fileClass)
        }))
    return .done
  }

  /// Bytes of the snapshot whose chunks the one before it has too.
  private static func sharedBytes(
    _ manifest: Manifest, with before: Snapshot?, in repository: Repository
  ) async throws -> Int {
    guard let before else { return 0 }
    let known = Set(try await repository.manifest(of: before).files.flatMap { $0.chunks.map(\.id) })
    return manifest.files.flatMap(\.chunks).reduce(0) { $0 + (known.contains($1.id) ? $1.length : 0) }
  }

  private static func lines(
    _ snapshot: Snapshot, _ manifest: Manifest, _ record: RecordDocument?, _ before: Snapshot?, _ shared: Int
  ) -> [String] {
    var rows: [(String, String)] = [
      ("snapshot", "\(snapshot.address)  \(snapshot.id)"),
      ("pushed", "\(snapshot.time.localMinute)\(record?.provenance.host.map { " from \($0)" } ?? "")"),
      ("layout", snapshot.layout + (snapshot.complete ? "" : " (incomplete)")),
      ("size", "\(Quantity.format(bytes: snapshot.bytes)) in \(Quantity.count(snapshot.files, "file"))"),
      ("stored", "\(Quantity.format(bytes: snapshot.addedBytes)) new"),
    ]
    if let before, snapshot.bytes > 0 {
      let percent = Quantity.fixed(Double(shared) / Double(snapshot.bytes) * 100, digits: 1)
      rows.append(("shared", "\(Quantity.format(bytes: shared)) (\(percent) %) with step \(before.step)"))
    }
    for fileClass in FileClass.allCases {
      let files = manifest.files.filter { $0.fileClass == fileClass }
      if files.isEmpty { continue }
      let bytes = files.reduce(0) { $0 + $1.size }
      rows.append(
        (fileClass.rawValue, "\(Quantity.format(bytes: bytes)) in \(Quantity.count(files.count, "file"))"))
    }
    if !snapshot.marks.isEmpty { rows.append(("labels", snapshot.marks)) }
    if let note = snapshot.note { rows.append(("note", note)) }
    for (name, value) in snapshot.metrics.sorted(by: { $0.key < $1.key }) {
      rows.append((name, Quantity.format(metric: value)))
    }
    rows += record?.rows ?? [("record", "missing from the repository")]
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { name, value in name + String(repeating: " ", count: width - name.count + 2) + value }
  }

  private static func fileTable(_ manifest: Manifest) -> Table {
    var table = Table([("SIZE", .right), ("CLASS", .left), ("SHA-256", .left), ("PATH", .left)])
    for file in manifest.files {
      table.add([
        Quantity.format(bytes: file.size), file.fileClass.rawValue, hex(file.sha256.prefix(8)),
        file.path.display,
      ])
    }
    for link in manifest.links {
      table.add(["", "link", "", "\(link.path.display) -> \(String(decoding: link.target, as: UTF8.self))"])
    }
    return table
  }
}
