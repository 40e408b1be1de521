import FoundationEssentials
import Glibc
import Platform

/// Makes a directory for inference of a checkpoint: whole safetensors, configuration and tokenizer, nothing of the training.
///
/// Tensors are copied from where they lie, piece by piece; nothing is loaded as a whole, and no pickle is executed.
public struct ModelExport: Sendable {
  /// How the weights are to be written.
  public struct Options: Equatable, Sendable {
    /// What to take off the start of the tensors' names, where they have it, each at most once, in this order.
    public var stripPrefixes: [String]
    /// The type for floating-point numbers; nil leaves them as they are.
    public var elementType: ElementType?
    /// The largest file of weights, in bytes of tensors.
    public var maximumShard: Int

    /// As the checkpoint has them, in files of at most 5 GiB.
    public init(stripPrefixes: [String] = [], elementType: ElementType? = nil, maximumShard: Int = 5 << 30) {
      self.stripPrefixes = stripPrefixes
      self.elementType = elementType
      self.maximumShard = maximumShard
    }
  }

  /// What an export wrote.
  public struct Report: Equatable, Sendable {
    /// The number of tensors.
    public var tensors: Int
    /// The number of files with weights.
    public var weightFiles: Int
    /// The bytes of the tensors as they were written.
    public var bytes: Int
    /// Other files that were copied, by path, in order.
    public var copied: [String]
    /// A prefix that a wrapper of torch gave all tensors and that was left on them, or nil.
    public var wrapperPrefix: String?
    /// Whether numbers were rounded to another type.
    public var isLossy: Bool
  }

  private let inspection: Inspection
  private let options: Options
  /// The tensors under the names that they will have.
  private let tensors: [TensorPlan]

  /// An export of the checkpoint at `path`, whose headers are read.
  ///
  /// Throws `ExportError`, `SystemError` and what readers of headers throw.
  public init(_ path: String, options: Options) throws {
    inspection = try Inspection(path)
    self.options = options
    let found = try Self.plans(inspection)
    guard !found.isEmpty else { throw ExportError.noWeights(layout: inspection.layout) }
    tensors = try Self.renamed(found, by: options)
  }

  /// Whether an export needs files beside those of the weights: with ZeRO the weights in full precision are the optimizer's.
  ///
  /// - Parameter paths: the files of the checkpoint.
  public static func needsTrainingState(_ paths: some Sequence<RelativePath>) -> Bool {
    let names = paths.map { (name: $0.name, isTop: $0.parent == nil) }
    return names.contains { $0.name.hasSuffix("_optim_states.pt") }
      && !names.contains { $0.isTop && isModelWeights($0.name) }
  }

  /// The bytes that will be written into weights.
  public var size: Int {
    tensors.reduce(0) { sum, tensor in
      let type = options.elementType?.target(of: tensor.dtype) ?? tensor.dtype
      // Views of one element may claim more than any disk has.
      let (total, overflow) = sum.addingReportingOverflow(tensor.count * (itemSizes[type] ?? 1))
      return overflow ? .max : total
    }
  }

  /// Writes everything into `target`, which is empty.
  ///
  /// - Parameter step: is told of bytes as they are written; what it throws ends the export.
  /// - Throws: `ExportError`, `SystemError`, `JSONError` where `config.json` is none, and what `step` throws.
  public func write(to target: OpenDirectory, step: (Int) throws -> Void) throws -> Report {
    let isLossy = tensors.contains { tensor in
      options.elementType.map { $0.target(of: tensor.dtype) != tensor.dtype } ?? false
    }
    var metadata = ["format": "pt"]
    if isLossy, let type = options.elementType { metadata["lossy"] = "rounded to \(type.dtype)" }
    let isAdapter = inspection.tree.files.contains { $0.path.display == "adapter_config.json" }
    let written = try withoutActuallyEscaping(step) { step in
      try SafetensorsWriter(
        source: inspection.tree.root, target: target, elementType: options.elementType,
        maximumShard: options.maximumShard, metadata: metadata, stem: isAdapter ? "adapter_model" : "model",
        permissions: permissions,
        step: step
      ).write(tensors)
    }
    let copied = try copyOthers(to: target)
    if let root = inspection.tree.rootAttributes {
      try target.setAttributes(permissions: root.permissions & 0o777, modified: root.modified)
    }
    try target.sync()
    return Report(
      tensors: tensors.count, weightFiles: written.files, bytes: written.bytes, copied: copied,
      wrapperPrefix: wrapperPrefix, isLossy: isLossy)
  }

  /// Nobody may read the weights here who could not read them there.
  private var permissions: UInt32 {
    inspection.tree.files.reduce(0o666) { $0 & $1.attributes.permissions } | 0o600
  }

  /// The tensors of a checkpoint's weights under the names that they have there. Throws `ExportError` and what readers of headers throw.
  static func plans(_ inspection: Inspection) throws -> [TensorPlan] {
    let checkpoint = CheckpointReader(tree: inspection.tree, place: inspection.place)
    let files = WeightFiles(checkpoint: checkpoint)
    var tensors = try files.named()
    if tensors.isEmpty, let shards = DistributedShards(checkpoint) { tensors = try shards.plans() }
    if tensors.isEmpty, let shards = ZeroShards(checkpoint) { tensors = try shards.plans() }
    if tensors.isEmpty, let shards = MegatronShards(checkpoint) { tensors = try shards.plans() }
    if tensors.isEmpty { tensors = try files.only() }
    return tensors
  }

  private static func renamed(_ tensors: [TensorPlan], by options: Options) throws(ExportError)
    -> [TensorPlan]
  {
    var tensors = tensors
    var names: Set<String> = []
    for index in tensors.indices {
      tensors[index].name = stripped(tensors[index].name, of: options.stripPrefixes)
      guard tensors[index].name != "__metadata__", names.insert(tensors[index].name).inserted else {
        throw .twice(name: tensors[index].name)
      }
    }
    return tensors
  }

  private static func stripped(_ name: String, of prefixes: [String]) -> String {
    var name = name[...]
    for prefix in prefixes where name.hasPrefix(prefix) && name.count > prefix.count {
      name = name.dropFirst(prefix.count)
    }
    return String(name)
  }

  /// DistributedDataParallel and torch.compile put their own name before every tensor's.
  private var wrapperPrefix: String? {
    ["module.", "_orig_mod."].first { prefix in tensors.allSatisfy { $0.name.hasPrefix(prefix) } }
  }

  /// Copies what transformers, vLLM and their kin read beside the weights; of `config.json` the type of the weights is set.
  private func copyOthers(to target: OpenDirectory) throws -> [String] {
    var copied: [String] = []
    for entry in inspection.tree.files where Self.isForInference(entry.path) {
      let source = try inspection.tree.root.open(entry.path)
      guard source.size <= 256 << 20 else { continue }
      var bytes = try source.bytes(at: 0, count: source.size)
      if entry.path.display == "config.json", let type = options.elementType {
        bytes = try Self.config(bytes, for: type)
      }
      let file = try target.openForWriting(entry.path, flags: O_CREAT | O_EXCL)
      try file.write(bytes, at: 0)
      try file.setPermissions(entry.attributes.permissions & 0o666)
      try file.sync()
      if let parent = entry.path.parent, let directory = inspection.tree.entry(parent) {
        try target.setPermissions(parent, directory.attributes.permissions & 0o777 | 0o700)
      }
      copied.append(entry.path.display)
    }
    return copied
  }

  /// A configuration that says which type the weights have now (transformers: `torch_dtype`, since version 5 `dtype`).
  private static func config(_ bytes: [UInt8], for type: ElementType) throws -> [UInt8] {
    guard case .object(var members) = try JSONValue(parsing: bytes) else { return bytes }
    let name: JSONValue = .string(type == .bf16 ? "bfloat16" : "float16")
    members[members["dtype"] == nil ? "torch_dtype" : "dtype"] = name
    return try encodeJSON(.object(members), pretty: true)
  }

  private static let names: Set<String> = [
    "README.md", "LICENSE", "adapter_config.json", "added_tokens.json", "chat_template.jinja",
    "chat_template.json",
    "config.json", "generation_config.json", "image_processor_config.json", "merges.txt",
    "preprocessor_config.json",
    "processor_config.json", "special_tokens_map.json", "spiece.model", "sentencepiece.bpe.model",
    "tokenizer.json",
    "tokenizer.model", "tokenizer_config.json", "video_preprocessor_config.json", "vocab.json", "vocab.txt",
  ]

  /// Whether a file is read by what runs a model: configuration, tokenizer, processors, and the model's own code.
  private static func isForInference(_ path: RelativePath) -> Bool {
    guard path.parent == nil else { return path.display.hasPrefix("additional_chat_templates/") }
    let name = path.name
    return names.contains(name)
      || name.hasSuffix(".py")
        && ["modeling_", "configuration_", "tokenization_", "processing_"].contains { name.hasPrefix($0) }
  }
}

/// A value as JSON bytes, members in order of their names.
func encodeJSON(_ value: JSONValue, pretty: Bool = false) throws -> [UInt8] {
  let encoder = JSONEncoder()
  encoder.outputFormatting =
    pretty ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted] : [.sortedKeys, .withoutEscapingSlashes]
  return Array(try encoder.encode(value))
}
