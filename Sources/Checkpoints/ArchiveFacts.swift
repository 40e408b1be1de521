import FoundationEssentials
import Platform

/// What the archive record of a checkpoint should hold, found in the checkpoint and its run's directory. Secrets are masked.
public struct ArchiveFacts: Sendable {
  /// Hyper-parameters as the frameworks wrote them, by file: `config.json`, `adapter_config.json`, `generation_config.json`,
  /// `args.json`.
  public private(set) var hyperparameters: [String: JSONValue] = [:]
  /// The rows of the training log in order, those of evaluations among them; of a very long log an even choice.
  public private(set) var trainingLog: [JSONValue] = []
  /// The rows of the log that hold `eval_…` values.
  public private(set) var evaluations: [JSONValue] = []
  /// Evaluation results that lie in files of their own, by file: `all_results.json`, `eval_results.json`.
  public private(set) var results: [String: JSONValue] = [:]
  /// Versions by framework: `transformers`, `peft`, `swift`; and `safetensors.format`, for example `pt`.
  public private(set) var versions: [String: String] = [:]
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

    /// Its bytes for the record, secrets masked. Throws `SystemError`.
    public func bytes() throws(SystemError) -> [UInt8] {
      let file = try root.open(path)
      return recordBytes(try file.bytes(at: 0, count: min(file.size, ArchiveFacts.maximumFile)), name: name)
    }
  }

  /// A longer log is thinned evenly; the file that it was in is in the record whole.
  static let maximumRows = 20_000
  /// Files larger than this stay out of the record, in bytes.
  public static let maximumFile = 64 << 20

  private static let own = [
    "README.md", "adapter_config.json", "all_results.json", "args.json", "config.json", "eval_results.json",
    "generation_config.json", "logging.jsonl", "trainer_state.json",
  ]
  /// What a run keeps beside its checkpoints.
  private static let shared = ["all_results.json", "args.json", "eval_results.json", "logging.jsonl"]

  /// Gathers what a checkpoint tells. What cannot be read or parsed is left out; the inspection tells it as a defect.
  public init(of inspection: Inspection) {
    let tree = inspection.tree
    guard !tree.isSingleFile else { return }
    for name in Self.own { add(name, tree.root) }
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
      guard let bytes = try? file.bytes(at: 0, count: file.size), let value = try? JSONValue(parsing: bytes)
      else { return }
      keep(value.withoutSecrets(), name)
    }
    files.append(RecordFile(name: name, root: root, path: path))
  }

  private mutating func keep(_ value: JSONValue, _ name: String) {
    switch name {
    case "trainer_state.json":
      trainingLog = Self.thinned(value["log_history"]?.elements ?? [])
      evaluations = trainingLog.filter(Self.isEvaluation)
    case "all_results.json", "eval_results.json": results[name] = value
    default: hyperparameters[name] = value
    }
  }

  /// Every evaluation and an even choice of the other rows, at most `maximumRows` in all or as many as there are evaluations.
  private static func thinned(_ rows: [JSONValue]) -> [JSONValue] {
    guard rows.count > maximumRows else { return rows }
    let stride = (rows.count + maximumRows / 2 - 1) / (maximumRows / 2)
    return rows.enumerated().filter {
      $0.offset % stride == 0 || $0.offset == rows.count - 1 || isEvaluation($0.element)
    }
    .map(\.element)
  }

  private static func isEvaluation(_ row: JSONValue) -> Bool {
    row.members?.keys.contains { $0.hasPrefix("eval_") } == true
  }

  private mutating func addVersions(_ inspection: Inspection) {
    let places = [
      ("transformers", "config.json", "transformers_version"),
      ("peft", "adapter_config.json", "peft_version"),
      ("swift", "args.json", "swift_version"),
    ]
    for (framework, file, key) in places { versions[framework] = hyperparameters[file]?[key]?.text }
    let weights = inspection.tree.files.first { $0.path.name.hasSuffix(".safetensors") }
    if let weights, let file = try? inspection.tree.root.open(weights.path),
      let header = try? Safetensors(reading: file)
    {
      versions["safetensors.format"] = header.metadata["format"]
    }
  }
}

/// What a record keeps of a file: JSON and JSON lines with their secrets masked, anything else as it is.
///
/// Lines that are no JSON are left out of a log that had to be masked.
public func recordBytes(_ bytes: [UInt8], name: String) -> [UInt8] {
  if name.hasSuffix(".json"), let value = try? JSONValue(parsing: bytes) {
    return value.hasSecrets ? encoded(value.withoutSecrets()) : bytes
  }
  guard name.hasSuffix(".jsonl") else { return bytes }
  let lines = bytes.split(separator: UInt8(ascii: "\n")).map { try? JSONValue(parsing: Array($0)) }
  guard lines.contains(where: { $0?.hasSecrets == true }) else { return bytes }
  return lines.compactMap { $0?.withoutSecrets() }.flatMap { encoded($0) + [UInt8(ascii: "\n")] }
}

private func encoded(_ value: JSONValue) -> [UInt8] {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  return (try? encoder.encode(value)).map(Array.init) ?? []
}
