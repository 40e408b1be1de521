import Platform

/// A checkpoint of Orbax, as Flax, MaxText and other users of JAX save: `S/` with an item a directory, each committed for itself.
///
/// Facts from orbax-checkpoint 0.12 (checkpoint/_src/metadata, path/atomicity.py): everything is written below
/// `S.orbax-checkpoint-tmp` and renamed at the end; `_CHECKPOINT_METADATA` gets the time of the commit then.
struct Orbax: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    if checkpoint.tree.isSingleFile { return false }
    return checkpoint.has(Self.metadata) || checkpoint.place.name.contains(Self.staging)
      || (checkpoint.has("_METADATA") && checkpoint.has("manifest.ocdbt"))
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    var findings = Findings(layout: "orbax", step: Self.step(checkpoint.place))
    let metadata = checkpoint.value(Self.metadata)
    addParts(checkpoint, to: &findings)
    for (name, value) in numbers(checkpoint, metadata) { findings.metrics[name] = value }
    let processes = Set(checkpoint.tree.entries.map(\.path.name).compactMap(Self.process))
    findings.parallelism.world = processes.max().map { $0 + 1 }
    findings.defects = commitDefects(checkpoint, metadata) + itemDefects(checkpoint, metadata)
    return findings
  }

  private static let metadata = "_CHECKPOINT_METADATA"
  private static let staging = ".orbax-checkpoint-tmp"
  private static let committed = "commit_success.txt"

  /// The step by the directory's name; that of a save under way stands before its suffix.
  private static func step(_ place: Place) -> Int? {
    guard let range = place.name.firstRange(of: staging) else { return place.step }
    return Place("/" + place.name[..<range.lowerBound], isFile: false).step
  }

  private static func process(_ name: String) -> Int? {
    guard isNumbered(name, "ocdbt.process_") else { return nil }
    return Int(name.dropFirst("ocdbt.process_".utf8.count)).flatMap { $0 < 1 << 20 ? $0 : nil }
  }

  /// The items that are JSON: the user's own facts, and metrics.
  private func jsonItems(_ checkpoint: CheckpointReader) -> [RelativePath] {
    checkpoint.tree.files.map(\.path).filter {
      $0.components.count == 2 && ["metadata", "metrics"].contains($0.name)
    }
  }

  private func numbers(_ checkpoint: CheckpointReader, _ metadata: JSONValue?) -> [(String, Double)] {
    let values = jsonItems(checkpoint).prefix(8).map { path -> JSONValue? in
      if case .value(let value) = checkpoint.json(path) { value } else { nil }
    }
    return ([metadata?["metrics"]] + values).flatMap { value in
      (value?.members ?? [:]).compactMap { name, value in value.number.map { (name, $0) } }
        .sorted { $0.0 < $1.0 }.prefix(64)
    }
  }

  /// The arrays are the weights; the names of the tree tell whether the optimizer's are among them. A schedule in JAX is a function of
  /// the count that the optimizer keeps.
  private func addParts(_ checkpoint: CheckpointReader, to findings: inout Findings) {
    let facts = jsonItems(checkpoint)
    findings.add(.progress, facts)
    let trees = checkpoint.tree.files.map(\.path).filter { $0.name == "_METADATA" }.prefix(64)
    for tree in trees {
      let files = checkpoint.tree.files.map(\.path).filter { path in
        tree.parent.map { path.bytes.starts(with: $0.bytes + [UInt8(ascii: "/")]) } ?? true
      }
      findings.add(.weights, files)
      let names = Self.topNames(checkpoint, tree)
      if names.contains(where: { $0.contains("opt") }) {
        findings.add(.optimizer, files)
        findings.add(.schedule, files)
      }
      if names.contains(where: { $0.contains("rng") }) { findings.add(.random, files) }
      if names.contains("step") { findings.add(.progress, files) }
    }
  }

  /// The first key of each array's path, by `tree_metadata`.
  private static func topNames(_ checkpoint: CheckpointReader, _ path: RelativePath) -> Set<String> {
    guard case .value(let value) = checkpoint.json(path), let members = value["tree_metadata"]?.members else {
      return []
    }
    return Set(members.values.compactMap { $0["key_metadata"]?.elements?.first?["key"]?.text })
  }

  private func commitDefects(_ checkpoint: CheckpointReader, _ metadata: JSONValue?) -> [Defect] {
    var defects: [Defect] = []
    let file = try? RelativePath(Self.metadata)
    if let file, case .defect(let kind) = checkpoint.json(file) { defects.append(Defect(file, kind)) }
    if let metadata, metadata["item_handlers"] != nil, metadata["commit_timestamp_nsecs"]?.integer == nil {
      defects.append(Defect(file, .notCommitted))
    }
    // Not every version and store writes it; where the items have it, the whole gets it last.
    let marks = checkpoint.tree.files.map(\.path).filter { $0.name == Self.committed }
    if !marks.isEmpty, !checkpoint.has(Self.committed) {
      defects.append(Defect(try? RelativePath(Self.committed), .unfinished))
    }
    return defects
  }

  /// Each item that the metadata names must be there, a tree of arrays with its own metadata and manifest.
  private func itemDefects(_ checkpoint: CheckpointReader, _ metadata: JSONValue?) -> [Defect] {
    var defects: [Defect] = []
    for (item, handler) in (metadata?["item_handlers"]?.members ?? [:]).sorted(by: { $0.key < $1.key })
      .prefix(64)
    {
      guard let path = try? RelativePath(item) else { continue }
      guard checkpoint.topDirectories.contains(item) else {
        defects.append(Defect(path, .shardMissing(index: Self.metadata)))
        continue
      }
      let isArrays = handler.text.map { $0.contains("Standard") || $0.contains("PyTree") } ?? false
      guard isArrays, let own = try? path.appending("_METADATA".utf8) else { continue }
      if !checkpoint.has(own) { defects.append(Defect(own, .unfinished)) }
    }
    for entry in checkpoint.tree.entries {
      guard Self.process(entry.path.name) != nil, case .directory = entry.kind else { continue }
      for directory in [entry.path, entry.path.parent] {
        let name = "manifest.ocdbt"
        guard let manifest = try? directory?.appending(name.utf8) ?? RelativePath(name),
          !checkpoint.has(manifest)
        else { continue }
        defects.append(Defect(manifest, .unfinished))
      }
    }
    return defects
  }
}
