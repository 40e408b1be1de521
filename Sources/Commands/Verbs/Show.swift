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
    var before = siblings.last { ($0.step, $0.time, $0.id) < (snapshot.step, snapshot.time, snapshot.id) }
    var shared = 0
    do {
      shared = try await sharedBytes(manifest, with: before, in: repository)
    } catch is FormatError {
      // The one before it is damaged, which is not what was asked for.
      before = nil
    }

    let page = page(snapshot, manifest, record, before, shared, width: environment.console.width)
    for line in page { environment.console.result(line) }
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

  /// The page: what it is, where from, how it was trained, what came out, what it holds, code and machine.
  static func page(
    _ snapshot: Snapshot, _ manifest: Manifest, _ record: RecordDocument?, _ before: Snapshot?, _ shared: Int,
    width: Int
  ) -> [String] {
    let results = snapshot.metrics.sorted { $0.key < $1.key }.map {
      ($0.key, Quantity.format(metric: $0.value))
    }
    let sections: [(title: String, rows: [Row])] = [
      ("\(snapshot.address)  \(snapshot.id)", what(snapshot, manifest, before, shared)),
      ("where from", record?.originRows ?? [("record", "missing from the repository")]),
      ("how trained", record?.trainingRows ?? []), ("results", record?.resultRows ?? results),
      ("contents", record?.contentRows ?? []), ("code and machine", record?.environmentRows ?? []),
    ].filter { !$0.1.isEmpty }
    let names = sections.flatMap(\.rows).map(\.0.count).max() ?? 0
    return sections.enumerated().flatMap { index, section in
      (index > 0 ? [""] : []) + [section.title]
        + section.rows.flatMap { name, value in
          wrapped(value, width: width - names - 4).enumerated().map { line, text in
            let name = line == 0 ? name : ""
            return "  " + name + String(repeating: " ", count: names - name.count + 2) + text
          }
        }
    }
  }

  private static func what(
    _ snapshot: Snapshot, _ manifest: Manifest, _ before: Snapshot?, _ shared: Int
  ) -> [Row] {
    var rows: [Row] = [
      ("pushed", snapshot.time.localMinute),
      ("layout", snapshot.layout + (snapshot.complete ? "" : " (incomplete)")),
      ("size", "\(Quantity.format(bytes: snapshot.bytes)) in \(Quantity.count(snapshot.files, "file"))"),
      ("stored", "\(Quantity.format(bytes: snapshot.addedBytes)) new"),
    ]
    if let before, snapshot.bytes > 0 {
      let percent = Quantity.fixed(Double(shared) / Double(snapshot.bytes) * 100, digits: 1)
      rows.append(("shared", "\(Quantity.format(bytes: shared)) (\(percent) %) with step \(before.step)"))
    }
    let classes = FileClass.allCases.compactMap { fileClass -> String? in
      let files = manifest.files.filter { $0.fileClass == fileClass }
      if files.isEmpty { return nil }
      let bytes = files.reduce(0) { $0 + $1.size }
      return
        "\(fileClass.rawValue) \(Quantity.format(bytes: bytes)) in \(Quantity.count(files.count, "file"))"
    }
    if !classes.isEmpty { rows.append(("classes", classes.joined(separator: ", "))) }
    if !snapshot.marks.isEmpty { rows.append(("labels", snapshot.marks)) }
    if let note = snapshot.note { rows.append(("note", note)) }
    return rows
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
