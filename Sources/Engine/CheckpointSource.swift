import Checkpoints
import Digests
import Glibc
import Platform
import Repository

/// A checkpoint on its way into a repository: what was found in it and what the user said of it, made one.
struct CheckpointSource: Sendable {
  /// The regular files, ordered by path.
  private(set) var files: [SourceFile]
  /// What the user should know.
  let warnings: [String]
  let run: String
  let step: Int
  /// What the layout says of it.
  let inspection: Inspection
  let request: Push.Request

  /// What keeps it from being complete, each as one sentence.
  private let faults: [String]
  private let facts: ArchiveFacts
  private let attachments: [ArchiveRecord.Attachment]
  /// The names in the record of the files that the user gave for it.
  let givenNames: [String]
  /// What the user's own files add to the record, by name.
  private let parameters: [String: JSONValue]
  private let results: [String: JSONValue]
  private let holes: [RelativePath: [Range<Int>]]
  /// All metrics, and those of them that the marker tells.
  private let metrics: [String: Double]
  /// Names of those that the marker tells however many there are.
  let askedMetrics: Set<String>
  private let summaryMetrics: [String: Double]

  /// A hole from this size on begins and ends a chunk, so that few zeros are stored with the data; in bytes.
  private static let leastCutHole = 1 << 20

  /// Looks at the checkpoint, once its save has ended, and at the files that go with it: headers and small files only.
  ///
  /// - Throws: `EngineError.incomplete`, `.stillBeingWritten`, `.vanished`, `.skipped`, `.nothingToPush`, `.badRun`, `.tooLargeForRecord`;
  ///   `FormatError.tooLarge`;
  ///   `SystemError`, `CancellationError`.
  static func look(
    _ request: Push.Request, _ repository: Repository, _ resources: Resources, _ progress: Progress
  ) async throws -> CheckpointSource {
    // What one process of many does not see may be another one's: whoever joins their shares decides.
    let isAlone = request.rank == nil
    let look = try await SaveWatch(repository.surroundings, disk: resources.disk, progress: progress)
      .look(request.path, patience: request.patience) { isAlone || !$0.isAbsence }
    progress.begin(.check)
    return try await resources.disk.run { [chunkSize = repository.info.chunkSize] in
      try CheckpointSource(request, look, chunkSize: chunkSize)
    }
  }

  private init(_ request: Push.Request, _ look: SaveWatch.Look, chunkSize: Int) throws {
    let inspection = look.inspection
    let tree = inspection.tree
    let skipped = tree.skipped.map(\.sentence)
    var defects = look.defects.map(\.sentence)
    if !request.allowsIncomplete {
      if let sign = look.saving {
        throw EngineError.stillBeingWritten(path: request.path, defects: defects, sign: sign)
      }
      if let gone = look.defects.first(where: { $0.kind == .vanished }) {
        throw EngineError.vanished(path: gone.file.map(tree.root.display) ?? request.path)
      }
      if !defects.isEmpty { throw EngineError.incomplete(path: request.path, defects: defects) }
    }
    if let sign = look.saving {
      defects.append("it was still being written when it was pushed (\(sign.words)).")
    }
    if !skipped.isEmpty, request.isStrict { throw EngineError.skipped(path: request.path, entries: skipped) }
    guard !tree.files.isEmpty || request.rank != nil, request.rank == nil || !tree.isSingleFile else {
      throw EngineError.nothingToPush(path: request.path)
    }

    run = request.run ?? inspection.suggestedRun
    guard ObjectKey.isValid(run: run) else { throw EngineError.badRun(run) }
    step = request.step ?? inspection.step ?? 0
    var warnings = skipped + defects + inspection.contentNotices().map(\.sentence)
    if !defects.isEmpty { warnings.append("the checkpoint is incomplete and is marked so.") }
    if inspection.layout == "plain" {
      warnings.append("\(request.path) is no checkpoint of a known layout; its files are kept as they are.")
      let inner = inspection.innerCheckpoints
      if !inner.isEmpty {
        warnings.append("it holds \(inner.joined(separator: ", ")): push each of these for runs and steps.")
      }
    }
    if request.step == nil, inspection.step == nil {
      warnings.append("no training step was found, so this is step 0; --step sets it.")
    }
    if let given = request.step, let found = inspection.step, given != found {
      warnings.append("the checkpoint itself records step \(found), not \(given).")
    }

    var files: [SourceFile] = []
    var holes: [RelativePath: [Range<Int>]] = [:]
    for case (let path, let status?) in tree.entries.map({ ($0.path, $0.file) }) {
      var cuts = status.size > 0 ? [status.size] : []
      // Only a long file has borders inside, and only a sparse one has holes.
      if status.size > chunkSize || status.isSparse {
        let file = try Self.open(path, in: tree.root)
        var borders = try CutPlan.borders(of: file)
        if status.isSparse {
          let found = file.holes()
          holes[path] = found
          borders.fixed += found.filter { $0.count >= Self.leastCutHole }.flatMap {
            [$0.lowerBound, $0.upperBound]
          }
        }
        cuts = CutPlan.cut(size: status.size, borders: borders, chunkSize: chunkSize)
      }
      files.append(
        SourceFile(
          path: path, status: status, fileClass: inspection.classifier.fileClass(of: path), cuts: cuts))
    }
    metrics = inspection.findings.metrics.merging(request.metrics) { _, given in given }
    askedMetrics = request.comparedMetrics.union(request.metrics.keys)
      .union([inspection.findings.best?.name].compactMap(\.self)).intersection(metrics.keys)
    let summary = SummaryMetrics(of: metrics, asked: askedMetrics)
    summaryMetrics = summary.chosen
    if summary.leftOut > 0 {
      warnings.append(
        "it has \(metrics.count) metrics: list, prune and \(run)@best know \(summary.chosen.count) of them, show and diff all."
      )
    }
    let facts = ArchiveFacts(of: inspection)
    let given = try Self.attachments(request)
    self.request = request
    self.inspection = inspection
    faults = defects
    self.files = files
    self.holes = holes
    self.facts = facts
    givenNames = given.map(\.name)
    let names = Set(givenNames)
    self.attachments =
      given.map { .init(name: $0.name, role: $0.role, read: $0.read) }
      + facts.files.filter { !names.contains($0.name) }.map { file in
        .init(name: file.name, role: Self.role(of: file.name), read: file.bytes)
      } + Self.requirements(request, besides: names)
    self.parameters = try Self.values(given, .hyperparameters)
    self.results = try Self.values(given, .evaluation)
    self.warnings = warnings
    try checkMarker()
  }

  /// Throws `FormatError.tooLarge` where no marker can hold what the user says of the checkpoint: before all is sent.
  private func checkMarker() throws {
    let empty = Manifest(
      id: "", run: run, step: step, time: Timestamp(seconds: 0), kind: .directory, root: nil, packs: [],
      files: [], links: [], directories: [])
    let marker = snapshot(
      of: empty, addedBytes: 0, at: .init(key: "", sha256: "", size: 0), replacing: nil)
    // The digests, and what may be added to it later.
    _ = try marker.encode(room: 4 << 10)
  }

  /// The same checkpoint with only some of its files.
  func only(_ wanted: Set<RelativePath>) -> CheckpointSource {
    var source = self
    source.files.removeAll { !wanted.contains($0.path) }
    return source
  }

  /// The directory that the files' paths begin at.
  var root: OpenDirectory { inspection.tree.root }
  /// Whether all of it is there and whole, and nobody wrote to it.
  var isComplete: Bool { faults.isEmpty }
  /// Sum of the files' sizes in bytes.
  var bytes: Int { files.reduce(0) { $0 + $1.status.size } }

  // MARK: - What is stored

  /// The manifest of the files as they were stored; `packs` are what the places in `stored` count in.
  func manifest(_ stored: [ChunkUpload.Stored], packs: [Manifest.PackReference], time: Timestamp) -> Manifest
  {
    var used: [Int: Int] = [:]
    var references: [Manifest.PackReference] = []
    let entries = zip(files, stored).map { file, stored in
      let chunks = stored.chunks.map { chunk in
        let pack = used[chunk.pack] ?? references.count
        if pack == references.count {
          used[chunk.pack] = pack
          references.append(packs[chunk.pack])
        }
        return Manifest.ChunkReference(id: chunk.id, pack: pack, offset: chunk.offset, length: chunk.length)
      }
      return Manifest.FileEntry(
        path: file.path, size: file.status.size, attributes: Self.attributes(file.status),
        sha256: stored.sha256,
        md5: stored.md5, fileClass: file.fileClass, holes: holes[file.path] ?? [], chunks: chunks)
    }
    var manifest = Manifest(
      id: "", run: run, step: step, time: Timestamp(seconds: time.seconds),
      kind: inspection.tree.isSingleFile ? .file : .directory,
      root: inspection.tree.rootAttributes.map(Self.attributes), packs: references, files: entries, links: [],
      directories: [])
    for entry in inspection.tree.entries {
      switch entry.kind {
      case .file: break
      case .link(let target):
        manifest.links.append(.init(path: entry.path, target: target, modified: entry.attributes.modified))
      case .directory:
        manifest.directories.append(.init(path: entry.path, attributes: Self.attributes(entry.attributes)))
      }
    }
    manifest.id = hex(SHA256.hash(manifest.sha256Sums).prefix(8))
    return manifest
  }

  /// The marker of a manifest. `former` is the marker that it replaces: what people said of that one stays.
  func snapshot(
    of manifest: Manifest, addedBytes: Int, at reference: Snapshot.ManifestReference,
    replacing former: Snapshot?
  ) -> Snapshot {
    Snapshot(
      id: manifest.id, run: run, step: step, time: manifest.time, kind: manifest.kind,
      layout: inspection.layout,
      complete: isComplete, files: manifest.files.count,
      bytes: manifest.bytes,
      addedBytes: addedBytes,
      metrics: summaryMetrics, tags: Set((former?.tags ?? []) + request.tags).sorted(),
      milestone: request.isMilestone || former?.milestone == true, note: request.note ?? former?.note,
      manifest: reference)
  }

  /// The archive record of a snapshot; with `onlyGiven` one that tells of the user's files for it and not of those of the checkpoint.
  func record(_ snapshot: Snapshot, _ manifest: Manifest, onlyGiven: Bool = false) -> ArchiveRecord {
    let findings = inspection.findings
    let found = onlyGiven ? ArchiveFacts() : facts
    var document = RecordDocument(
      id: snapshot.id, run: run, step: step, time: snapshot.time, layout: snapshot.layout,
      complete: snapshot.complete,
      remarks: faults + inspection.tree.skipped.map(\.sentence),
      note: request.note,
      metrics: metrics,
      best: findings.best.map {
        .init(metric: $0.name, value: $0.value, step: $0.step, greaterIsBetter: $0.greaterIsBetter)
      },
      worldSize: findings.parallelism.world, resumable: findings.use.isResumable,
      hyperparameters: found.hyperparameters.merging(parameters) { _, given in given },
      results: found.results.merging(results) { _, given in given }, trainingLog: found.trainingLog,
      versions: found.versions,
      provenance: .init(
        host: request.host, path: "/" + inspection.place.components.joined(separator: "/"),
        command: request.commandLine, program: request.program),
      files: [])
    document.adopt(findings)
    document.environment = request.environment
    if !found.curves.isEmpty { document.curves = found.curves }
    document.findBest()
    return ArchiveRecord(
      snapshot: snapshot, manifest: manifest, document: document,
      attachments: onlyGiven ? Array(attachments.prefix(givenNames.count)) : attachments)
  }

  /// Gives a snapshot that is there already the labels of this push.
  func retag(_ snapshot: Snapshot, in repository: Repository) async throws -> Snapshot {
    try await Tagging(add: request.tags, milestone: request.isMilestone ? true : nil, note: request.note)
      .apply(
        to: snapshot, in: repository)
  }

  /// What to say where a snapshot was there already: its record and its metrics stay as they are.
  func leftOut(of present: Snapshot) -> [String] {
    let metrics = request.metrics.filter { present.metrics[$0.key] != $0.value }
    let left = givenNames + metrics.keys.sorted().map { "the metric \($0)" }
    if left.isEmpty { return [] }
    let names = left.joined(separator: ", ")
    return [
      "the snapshot and its record were in the repository already, and \(names) \(left.count == 1 ? "was" : "were") not added to them."
    ]
  }

  /// What to say where the step holds other content already.
  func collisions(_ manifest: Manifest, with snapshots: [Snapshot]) -> [String] {
    let others = snapshots.filter { $0.belongs(to: run) && $0.step == step && $0.id != manifest.id }
    guard !others.isEmpty else { return [] }
    let ids = others.map(\.id).joined(separator: ", ")
    return [
      "\(run)@\(step) exists with other content (\(ids)); both are kept, and each is addressed by its id."
    ]
  }

  private static func attributes(_ status: FileStatus) -> Manifest.Attributes {
    .init(permissions: status.permissions, modified: status.modified)
  }

  private static func attributes(_ attributes: Tree.Attributes) -> Manifest.Attributes {
    .init(permissions: attributes.permissions, modified: attributes.modified)
  }

  private static func open(_ path: RelativePath, in root: OpenDirectory) throws -> OpenFile {
    do throws(SystemError) {
      return try root.open(path)
    } catch {
      throw error.isMissing ? EngineError.vanished(path: root.display(path)) : error
    }
  }

  // MARK: - The user's own files for the record

  private struct GivenFile {
    let name: String
    let role: ArchiveRecord.Attachment.Role
    let read: @Sendable () throws -> [UInt8]
  }

  private static func attachments(_ request: Push.Request) throws -> [GivenFile] {
    var names: Set<String> = []
    return try request.attachments.map { path, role in
      let tree = try Tree.scan(path)
      guard tree.isSingleFile, let entry = tree.entries.first, let size = entry.file?.size else {
        throw SystemError(operation: "read", path: path, code: EISDIR)
      }
      guard size <= ArchiveFacts.maximumFile else {
        throw EngineError.tooLargeForRecord(path: path, size: size, limit: ArchiveFacts.maximumFile)
      }
      if entry.path.name.lowercased().hasSuffix(".json") {
        let open = try tree.root.open(entry.path)
        guard (try? JSONValue(parsing: try open.bytes(at: 0, count: size))) != nil else {
          throw EngineError.notJSON(path: path)
        }
      }
      var name = entry.path.display
      while !names.insert(name).inserted { name = "again-" + name }
      return GivenFile(name: name, role: role) { [name, root = tree.root, file = entry.path] in
        let open = try root.open(file)
        return recordBytes(try open.bytes(at: 0, count: open.size), name: name)
      }
    }
  }

  private static func values(
    _ attachments: [GivenFile], _ role: ArchiveRecord.Attachment.Role
  ) throws -> [String: JSONValue] {
    var values: [String: JSONValue] = [:]
    for attachment in attachments where attachment.role == role && attachment.name.hasSuffix(".json") {
      values[attachment.name] = try? JSONValue(parsing: try attachment.read())
    }
    return values
  }

  /// What was installed where it was pushed, as a file of the record; nothing where somebody gave such a file.
  private static func requirements(
    _ request: Push.Request, besides names: Set<String>
  ) -> [ArchiveRecord.Attachment] {
    let name = "requirements.txt"
    guard let lines = request.environment?.requirements, !lines.isEmpty, !names.contains(name) else {
      return []
    }
    let bytes = Array((lines.joined(separator: "\n") + "\n").utf8)
    return [.init(name: name, role: .environment) { bytes }]
  }

  private static func role(of name: String) -> ArchiveRecord.Attachment.Role {
    switch name {
    case "trainer_state.json", "logging.jsonl", "metrics.csv": .log
    case _ where ArchiveFacts.isResult(name): .evaluation
    case "README.md": .checkpoint
    default: .hyperparameters
    }
  }
}
