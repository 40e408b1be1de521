import Platform

/// A file that torch.save wrote, or a directory of such files with at most some text beside them. Known by their first bytes.
///
/// There is no rule for what people save: the names of the top level tell what is what, as most training scripts write them. A
/// dictionary of nothing but tensors, or a module, is weights alone.
struct TorchFile: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool { !Self.files(checkpoint).isEmpty }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    var findings = Findings(layout: "torch_file")
    let files = Self.files(checkpoint)
    var steps: Set<Int> = []
    var worlds: Set<Int> = []
    for path in files {
      guard let root = checkpoint.contents(path) else { continue }
      let file = SavedObject(root)
      if let step = file.step { steps.insert(step) }
      if let world = file.world { worlds.insert(world) }
      for part in Findings.Part.allCases where file.has(part) { findings.add(part, [path]) }
      if let settings = file.settings { findings.hyperparameters[path.display] = settings.masked }
      // Of several files nobody knows which is the last.
      if files.count == 1 { file.addMetrics(to: &findings) }
    }
    findings.step = (steps.count == 1 ? steps.first : nil) ?? checkpoint.place.step
    findings.parallelism.world = worlds.count == 1 ? worlds.first : nil
    return findings
  }

  /// The torch files of a checkpoint that holds nothing else but text.
  static func files(_ checkpoint: CheckpointReader) -> [RelativePath] {
    let files = checkpoint.tree.files.map(\.path).filter { !text.contains(where: $0.name.hasSuffix) }
    return files.allSatisfy { isTorch($0, checkpoint) } ? files : []
  }

  private static func isTorch(_ path: RelativePath, _ checkpoint: CheckpointReader) -> Bool {
    guard extensions.contains(where: path.name.hasSuffix),
      let file = try? checkpoint.tree.root.open(path), let format = try? TorchFormat(of: file)
    else { return false }
    return format == .zip || format == .legacy
  }

  private static let extensions = [".pt", ".pth", ".bin", ".ckpt"]
  private static let text = [
    ".json", ".jsonl", ".yaml", ".yml", ".toml", ".txt", ".md", ".csv", ".log", ".py",
  ]
}

/// A pickled object's top level, judged by its names.
private struct SavedObject {
  private let entries: [(name: String, value: Pickle.Value)]
  private let isWeights: Bool
  /// Whether it is an optimizer's own dictionary (torch/optim/optimizer.py, `state_dict`).
  private let isOptimizer: Bool

  /// More names at the top are those of tensors.
  private static let maximumNames = 10_000

  init(_ root: Pickle.Value) {
    let all = (root.entries(limit: Self.maximumNames) ?? []).compactMap { entry in
      entry.key.text.map { ($0, entry.value) }
    }
    // The names of a state dictionary are those of tensors, and mean nothing more.
    var budget = TorchWalk.maximumValues
    isWeights =
      all.isEmpty
      ? TorchTensor(root) != nil || TorchWalk.hasTensor(root, budget: &budget)
        || root.callee?.hasPrefix("torch.nn.") == true || root["_modules"] != nil
      : all.allSatisfy { TorchTensor($0.1) != nil }
    entries = isWeights ? [] : all
    isOptimizer = all.count == 2 && Set(all.map(\.0)) == ["state", "param_groups"]
  }

  private func value(_ names: [String]) -> Pickle.Value? {
    for name in names { if let found = entries.last(where: { $0.name == name }) { return found.value } }
    return nil
  }

  var step: Int? {
    let names = [
      "global_step", "step", "iteration", "iter_num", "iter", "global_steps", "num_updates", "train_step",
    ]
    return value(names)?.integer.flatMap { Place.steps.contains($0) ? $0 : nil }
  }

  private var epoch: Int? { value(["epoch", "epochs", "current_epoch"])?.integer }

  private static let settingNames = [
    "config", "args", "hyper_parameters", "hparams", "cfg", "model_args", "model_config", "training_args",
  ]

  /// What the training was set to, by the names of the top level.
  var settings: JSONValue? {
    var members: [String: JSONValue] = [:]
    for (name, value) in entries where Self.settingNames.contains(name) { members[name] = value.json }
    return members.isEmpty ? nil : .object(members)
  }

  /// The number of processes, where the object or its settings name one.
  var world: Int? {
    let places = [value(["world_size"])] + Self.settingNames.map { value([$0])?["world_size"] }
    return places.lazy.compactMap { $0?.integer }.first { (1...1 << 20).contains($0) }
  }

  func has(_ part: Findings.Part) -> Bool {
    if isOptimizer { return part == .optimizer }
    switch part {
    case .weights: return isWeights || hasWeights
    case .progress: return step != nil || epoch != nil
    default: return entries.contains { Self.kind(of: $0.name) == part && !Self.isEmpty($0.value) }
    }
  }

  private var hasWeights: Bool {
    var budget = TorchWalk.maximumValues
    for (name, value) in entries where Self.kind(of: name) == nil && budget > 0 {
      if TorchWalk.hasTensor(value, budget: &budget) { return true }
    }
    return false
  }

  private static func isEmpty(_ value: Pickle.Value) -> Bool {
    value.isNone || value.entries(limit: 1)?.isEmpty == true || value.elements(limit: 1)?.isEmpty == true
  }

  /// The part that an entry is by its name, or nil where it may be weights.
  static func kind(of name: String) -> Findings.Part? {
    let name = name.lowercased()
    if name.contains("optim") { return .optimizer }
    if name.contains("sched") { return .schedule }
    if name.hasPrefix("rng") || name.hasSuffix("rng_state") || name.contains("random_state") {
      return .random
    }
    if settingNames.contains(name) { return .configuration }
    if name.contains("scaler") { return .optimizer }
    return name == "loss" || name.hasSuffix("_loss") ? .progress : nil
  }

  func addMetrics(to findings: inout Findings) {
    for (name, value) in entries.prefix(1000) {
      guard Self.isMetric(name), let number = value.number else { continue }
      findings.metrics[name] = number
      if findings.best == nil, name.hasPrefix("best_"), !name.hasSuffix("_step"), !name.hasSuffix("epoch") {
        let metric = String(name.dropFirst("best_".utf8.count))
        findings.best = BestMetric(
          name: metric, value: number, step: nil, greaterIsBetter: metric.contains("loss") ? false : nil)
      }
    }
    findings.metrics["epoch"] = epoch.map(Double.init)
  }

  private static func isMetric(_ name: String) -> Bool {
    ["best_", "val_", "eval_"].contains(where: name.hasPrefix)
      || ["loss", "accuracy", "perplexity"].contains { name == $0 || name.hasSuffix("_" + $0) }
  }
}

extension TorchFile {
  /// The tensors of a torch file that are the model's, by name; those of its optimizer and the like are left out.
  static func weights(_ root: Pickle.Value) -> [(name: String, tensor: TorchTensor)] {
    var walk = TorchWalk()
    guard let entries = root.entries else {
      walk.collect(root)
      return walk.tensors
    }
    for (key, value) in entries {
      guard let name = key.text else { continue }
      if TorchTensor(value) == nil, notWeights.contains(name) || SavedObject.kind(of: name) != nil {
        continue
      }
      walk.collect(value, name: wrappers.contains(name) ? "" : name)
    }
    return walk.tensors
  }

  private static let wrappers: Set<String> = [
    "model", "module", "state_dict", "model_state_dict", "model_state", "net", "weights",
  ]
  private static let notWeights: Set<String> = ["optimizer_states", "lr_schedulers", "callbacks", "loops"]
}
