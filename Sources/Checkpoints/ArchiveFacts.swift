import Platform

/// What the archive record of a checkpoint should hold, found in the checkpoint and its run's directory. Secrets are masked.
public struct ArchiveFacts: Sendable {
  /// Hyper-parameters as the frameworks wrote them, by file: `config.json`, `adapter_config.json`, `generation_config.json`,
  /// `args.json`.
  public private(set) var hyperparameters: [String: JSONValue] = [:]
  /// The rows of the training log in order, those of evaluations among them; of a very long log a `ThinnedLog`.
  public private(set) var trainingLog: [JSONValue] = []
  /// The rows of the log that hold `eval_…` values.
  public private(set) var evaluations: [JSONValue] = []
  /// Evaluation results that lie in files of their own, by file: `all_results.json`, `eval_results.json` and others that
  /// `isResult` knows.
  public private(set) var results: [String: JSONValue] = [:]
  /// Versions by framework: `transformers`, `peft`, `swift`; and `safetensors.format`, for example `pt`.
  public private(set) var versions: [String: String] = [:]
  /// Points of the training's curves by name, each the step and the value, in order.
  public private(set) var curves: [String: [[Double]]] = [:]
  /// The files that belong into the record as they are.
  public private(set) var files: [RecordFile] = []

  /// A file for the record.
  public struct RecordFile: Sendable {
    /// Its name in the record.
    public let name: String
    private let root: OpenDirectory
    private let path: RelativePath

    init(name: String, root: OpenDirectory, path: RelativePath) {
      self.name = name
      self.root = root
      self.path = path
    }

    /// Its bytes for the record, secrets masked; none where it was JSON and is no more. Throws `SystemError`.
    public func bytes() throws(SystemError) -> [UInt8] {
      let file = try root.open(path)
      let bytes = try file.bytes(at: 0, count: min(file.size, ArchiveFacts.maximumFile))
      return name.hasSuffix(".json") ? (try? maskingSecrets(in: bytes)) ?? [] : recordBytes(bytes, name: name)
    }
  }

  /// Files larger than this stay out of the record, in bytes.
  public static let maximumFile = CheckpointReader.maximumJSON

  private static let own =
    [
      "README.md", "adapter_config.json", "args.json", "config.json", "generation_config.json",
      "logging.jsonl",
    ] + resultNames
  /// What a run keeps beside its checkpoints.
  private static let shared = ["args.json", "logging.jsonl"] + resultNames
  /// What the example scripts of transformers and LLaMA-Factory name their results (transformers/trainer_pt_utils.py, `save_metrics`).
  private static let resultNames = ["all", "eval", "predict", "test", "train"].map { "\($0)_results.json" }

  /// Whether a file of this name holds evaluation results.
  public static func isResult(_ name: String) -> Bool { resultNames.contains(name) }

  /// Nothing.
  public init() {}

  /// Gathers what a checkpoint tells. What cannot be read or parsed is left out; the inspection tells it as a defect.
  public init(of inspection: Inspection) {
    let tree = inspection.tree
    hyperparameters = inspection.findings.hyperparameters.mapValues(\.masked)
    versions = inspection.findings.versions
    defer { addCurves(inspection) }
    guard !tree.isSingleFile else { return }
    for name in Self.own { add(name, tree.root) }
    addLog(inspection)
    // Only beside a checkpoint that is one of many does the parent belong to the run.
    if inspection.place.step != nil, let parent = try? OpenDirectory(tree.root.path + "/..") {
      for name in Self.shared where !files.contains(where: { $0.name == name }) { add(name, parent) }
    }
    addVersions(inspection)
  }

  private mutating func add(_ name: String, _ root: OpenDirectory) {
    guard let path = try? RelativePath(name), let file = try? root.open(path), file.size <= Self.maximumFile
    else { return }
    if name.hasSuffix(".json") {
      // A file that is no JSON cannot be searched for secrets, so it stays out.
      guard let bytes = try? file.bytes(at: 0, count: file.size), let clean = try? maskingSecrets(in: bytes)
      else { return }
      switch name {
      case _ where Self.isResult(name): results[name] = try? JSONValue(parsing: clean)
      default: hyperparameters[name] = try? JSONValue(parsing: clean)
      }
    }
    files.append(RecordFile(name: name, root: root, path: path))
  }

  /// The log as the inspection read it, since a second reading of a long one costs time and memory.
  private mutating func addLog(_ inspection: Inspection) {
    guard let state = inspection.trainerState, let path = try? RelativePath(trainerStateName) else { return }
    trainingLog = state["log_history"]?.elements ?? []
    evaluations = trainingLog.filter(ThinnedLog.isEvaluation)
    files.append(RecordFile(name: trainerStateName, root: inspection.tree.root, path: path))
  }

  /// The curves by the rows of the log, and what TensorBoard and Lightning have written beside it.
  private mutating func addCurves(_ inspection: Inspection) {
    let logs = RunLogs(inspection)
    if trainingLog.isEmpty {
      let found = logs.rows()
      trainingLog = found.rows
      evaluations = trainingLog.filter(ThinnedLog.isEvaluation)
      if let file = found.file { files.append(file) }
    }
    var curves = Curves(lastStep: inspection.step)
    for row in trainingLog { curves.add(row) }
    let known = curves.names
    logs.scalars { name, step, value in
      if !known.contains(name) { curves.add(name, step, value) }
    }
    self.curves = curves.points
  }

  private mutating func addVersions(_ inspection: Inspection) {
    let places = [
      ("transformers", "config.json", "transformers_version"),
      ("peft", "adapter_config.json", "peft_version"),
      ("swift", "args.json", "swift_version"),
    ]
    for (framework, file, key) in places {
      if let version = hyperparameters[file]?[key]?.text { versions[framework] = version }
    }
    let weights = inspection.tree.files.first { $0.path.name.hasSuffix(".safetensors") }
    if let weights, let file = try? inspection.tree.root.open(weights.path),
      let header = try? Safetensors(reading: file)
    {
      versions["safetensors.format"] = header.metadata["format"]
    }
  }
}

/// What a record keeps of a file: JSON and JSON lines with their secrets masked, of a `.json` that is none nothing, anything else as it
/// is.
///
/// Lines of a `.jsonl` that are no JSON, such as the one that is just being written, cannot be searched for secrets and
/// are left out.
public func recordBytes(_ bytes: [UInt8], name: String) -> [UInt8] {
  if name.lowercased().hasSuffix(".json") { return (try? maskingSecrets(in: bytes)) ?? [] }
  guard name.hasSuffix(".jsonl") else { return bytes }
  var result: [UInt8] = []
  var rest = bytes[...]
  while !rest.isEmpty {
    let end = rest.firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? rest.endIndex
    if let line = try? maskingSecrets(in: Array(rest[..<end])) { result += line }
    rest = rest[end...]
  }
  return result
}
