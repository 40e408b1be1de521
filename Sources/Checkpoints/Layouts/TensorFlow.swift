import Platform

/// A SavedModel of TensorFlow: `saved_model.pb` and, where it has variables, `variables/variables.index` with its data files
/// (tensorflow/python/saved_model/constants.py).
struct SavedModel: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    !checkpoint.tree.isSingleFile
      && ["saved_model.pb", "saved_model.pbtxt"].contains { checkpoint.has($0) }
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    var findings = Findings(layout: "tf_savedmodel", step: checkpoint.place.step)
    findings.add(.weights, checkpoint.tree.files.map(\.path))
    findings.defects = checkpoint.tensorBundles.flatMap { $0.defects(checkpoint) }
    if let path = try? RelativePath("saved_model.pb"), checkpoint.tree.entry(path)?.file?.size == 0 {
      findings.defects.append(Defect(path, .empty))
    }
    return findings
  }
}

/// Checkpoints of `tf.train`: `ckpt-N.index`, its data files, and the text `checkpoint` that names the last.
struct TensorFlowCheckpoint: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    !checkpoint.tree.isSingleFile && !checkpoint.tensorBundles.isEmpty
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    var findings = Findings(layout: "tf_checkpoint", step: checkpoint.place.step)
    let bundles = checkpoint.tensorBundles
    findings.defects = bundles.flatMap { $0.defects(checkpoint) }
    for bundle in bundles { findings.add(.weights, bundle.files) }
    // What the optimizer keeps are variables like any other.
    guard let last = Self.last(checkpoint) ?? (bundles.count == 1 ? bundles.first?.prefix : nil) else {
      return findings
    }
    if !bundles.contains(where: { $0.prefix == last }) {
      findings.defects.append(
        Defect(try? RelativePath(last.bytes + Array(".index".utf8)), .shardMissing(index: "checkpoint")))
    }
    findings.step = Place("/" + last.name, isFile: false).step ?? findings.step
    return findings
  }

  /// What the file `checkpoint` names as the last, where it is a name in this directory: a text of the form
  /// `model_checkpoint_path: "ckpt-3"` (tensorflow/python/training/checkpoint_state.proto).
  private static func last(_ checkpoint: CheckpointReader) -> RelativePath? {
    guard let path = try? RelativePath("checkpoint"), let file = try? checkpoint.tree.root.open(path),
      file.size < 1 << 20, let bytes = try? file.bytes(at: 0, count: file.size)
    else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    for line in text.split(separator: "\n") where line.hasPrefix("model_checkpoint_path:") {
      let parts = line.split(separator: "\"", omittingEmptySubsequences: false)
      guard parts.count == 3, let name = parts[1].split(separator: "/").last else { return nil }
      return try? RelativePath(String(name))
    }
    return nil
  }
}

/// Variables as TensorFlow stores them: `P.index` and `P.data-NNNNN-of-NNNNN` (tensorflow/core/util/tensor_bundle/naming.cc).
struct TensorBundle {
  let prefix: RelativePath
  private var hasIndex = false
  private var shards: Set<Int> = []
  private var count: Int?
  private(set) var files: [RelativePath] = []

  private init(_ prefix: RelativePath) { self.prefix = prefix }

  /// Those that data files or an index with data files speak for.
  static func all(_ checkpoint: CheckpointReader) -> [TensorBundle] {
    var found: [RelativePath: TensorBundle] = [:]
    for path in checkpoint.tree.files.map(\.path) {
      let name = path.name
      guard
        let dot = name.firstRange(of: ".data-")
          ?? (name.hasSuffix(".index") ? name.ranges(of: ".index").last : nil),
        dot.lowerBound > name.startIndex,
        let prefix = try? RelativePath(Array(path.bytes.dropLast(name[dot.lowerBound...].utf8.count)))
      else { continue }
      var bundle = found[prefix] ?? TensorBundle(prefix)
      if name.hasSuffix(".index") {
        bundle.hasIndex = true
      } else {
        let parts = name[dot.upperBound...].split(separator: "-", omittingEmptySubsequences: false).map(
          String.init)
        guard parts.count == 3, parts[1] == "of", isNumbered(parts[0], ""), isNumbered(parts[2], ""),
          let number = Int(parts[0]), let count = Int(parts[2]), (1...100_000).contains(count), number < count
        else { continue }
        bundle.shards.insert(number)
        bundle.count = max(count, bundle.count ?? 0)
      }
      bundle.files.append(path)
      found[prefix] = bundle
    }
    return found.values.filter { $0.count != nil }.sorted { $0.prefix < $1.prefix }
  }

  /// The index and the data files that are not there, at most 16 of these.
  func defects(_ checkpoint: CheckpointReader) -> [Defect] {
    guard let count else { return [] }
    var defects: [Defect] = []
    if !hasIndex { defects.append(Defect(path(".index"), .indexMissing(shards: count))) }
    for number in (0..<count).lazy.filter({ !shards.contains($0) }).prefix(16) {
      defects.append(
        Defect(path(".data-\(Self.pad(number))-of-\(Self.pad(count))"), .shardMissing(index: nil)))
    }
    return defects
  }

  private func path(_ end: String) -> RelativePath? { try? RelativePath(prefix.bytes + Array(end.utf8)) }

  private static func pad(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }
}
