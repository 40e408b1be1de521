import Platform

/// A part of a model that has a name of its own: the language model, a vision tower, a projector, a head, an adapter.
public struct ModelModule: Equatable, Codable, Sendable {
  /// The first word of its tensors' names that tells it from others, for example `vision_tower`; `lora` for low-rank adapters.
  public var name: String
  /// How many numbers its tensors have.
  public var parameters: Int
  /// How many bytes its tensors take.
  public var bytes: Int
  /// The element types of its tensors in safetensors' words, for example `BF16`, in order.
  public var dtypes: [String]

  /// One short phrase for people, for example `vision_tower 304 M bf16`.
  public var words: String {
    "\(escaped(name.utf8)) \(Self.count(parameters)) \(dtypes.prefix(3).map { $0.lowercased() }.joined(separator: "/"))"
  }

  private static func count(_ value: Int) -> String {
    for (unit, word) in [(1_000_000_000_000, "T"), (1_000_000_000, "B"), (1_000_000, "M"), (1000, "K")]
    where value >= unit {
      let tenths = value / (unit / 10)
      return tenths < 100 ? "\(tenths / 10).\(tenths % 10) \(word)" : "\(tenths / 10) \(word)"
    }
    return String(value)
  }
}

/// Counts what the weights consist of, by the names of their tensors. Only headers and pickles are read.
struct ModuleCensus {
  let reader: CheckpointReader

  /// More modules than these are told as one, `other`.
  static let maximumModules = 16

  private struct Sum {
    var parameters = 0
    var bytes = 0
    var dtypes: Set<String> = []

    mutating func add(_ parameters: Int, _ bytes: Int, _ dtypes: Set<String>) {
      self.parameters = self.parameters.addingReportingOverflow(parameters).partialValue
      self.bytes = self.bytes.addingReportingOverflow(bytes).partialValue
      self.dtypes.formUnion(dtypes)
    }
  }

  /// The modules, the largest first; none where no file of the weights tells.
  func modules(of findings: Findings) -> [ModelModule] {
    var sums: [String: Sum] = [:]
    let isTorch = ["torch_file", "lightning"].contains(findings.layout)
    let files = findings.parts[.weights] ?? reader.tree.files.map(\.path)
    for path in files {
      if path.name.hasSuffix(".safetensors") {
        guard case .success(let header) = reader.safetensors(path), header.defect == nil else { continue }
        for tensor in header.tensors {
          let count = tensor.shape.reduce(1) { $0.multipliedReportingOverflow(by: $1).partialValue }
          sums[Self.module(of: tensor.name), default: Sum()].add(count, tensor.range.count, [tensor.dtype])
        }
      } else if isTorch || (isModelWeights(path.name) && path.name.hasSuffix(".bin")) {
        guard case .success(let object) = reader.torch(path) else { continue }
        for (name, tensor) in TorchFile.weights(object.root) {
          let bytes = tensor.count.multipliedReportingOverflow(by: tensor.itemSize).partialValue
          sums[Self.module(of: name), default: Sum()].add(tensor.count, bytes, [tensor.dtype])
        }
      }
    }
    return Self.list(sums)
  }

  private static func list(_ sums: [String: Sum]) -> [ModelModule] {
    var modules = sums.map { name, sum in
      ModelModule(name: name, parameters: sum.parameters, bytes: sum.bytes, dtypes: sum.dtypes.sorted())
    }.sorted { ($1.bytes, $0.name) < ($0.bytes, $1.name) }
    guard modules.count > maximumModules else { return modules }
    var rest = Sum()
    for module in modules[(maximumModules - 1)...] {
      rest.add(module.parameters, module.bytes, Set(module.dtypes))
    }
    modules.removeLast(modules.count - maximumModules + 1)
    modules.append(
      ModelModule(name: "other", parameters: rest.parameters, bytes: rest.bytes, dtypes: rest.dtypes.sorted())
    )
    return modules
  }

  /// The module that a tensor belongs to by its name.
  static func module(of name: String) -> String {
    var words = name.split(separator: ".").map(String.init)
    // LoRA's tensors (peft/tuners/lora/layer.py), wherever they are put.
    if words.contains(where: { $0.hasPrefix("lora_") && !$0.hasSuffix("weights") }) { return "lora" }
    while words.count > 1, wrappers.contains(words[0]) { words.removeFirst() }
    guard let first = words.first, words.count > 1 || !isNumbered(name, "") else { return "model" }
    if words.count > 2, words.contains("lm_head"), first == "language_model" { return "lm_head" }
    if words.count > 2, first == "visual", words[1].hasSuffix("merger") { return "visual.merger" }
    if backbone.contains(first) { return "language_model" }
    return isNumbered(first, "") ? "model" : first
  }

  /// What PEFT, DDP, torch.compile, FSDP and transformers put before the names.
  private static let wrappers: Set<String> = [
    "base_model", "model", "module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
    "transformer",
  ]
  /// What decoders of transformers name their own parts.
  private static let backbone: Set<String> = [
    "layers", "embed_tokens", "norm", "h", "wte", "wpe", "ln_f", "blocks", "embeddings", "final_layernorm",
  ]
}
