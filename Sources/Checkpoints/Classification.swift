import Platform

/// Tells the class of each file of a checkpoint by its name and its neighbours.
///
/// | training | why |
/// | --- | --- |
/// | `optimizer`, `scheduler`, `scaler`, `rng_state`, `random_states`, `custom_checkpoint`, `dl_state_dict`, `sampler` with the
/// frameworks' own extensions, with or without a number | Trainer and Accelerate |
/// | anything below a directory `optimizer` or `optimizer_N` | FSDP by Accelerate |
/// | `trainer_state.json`, `training_args.bin` | Trainer |
/// | `*optim_states.pt` where whole weights lie elsewhere | DeepSpeed |
/// | anything below `global_stepN/` beside gathered weights | Trainer with DeepSpeed |
/// | `distrib_optim.pt` | Megatron-LM |
/// | `exp_avg*.pt` and `step.pt` in `zero/PARAMETER/` | DeepSpeed's universal form |
/// | `events.out.tfevents.*` | TensorBoard |
///
/// Everything else is `weights`: `*.safetensors`, `pytorch_model*.bin`, `adapter_*`, `config.json`, tokenizers and their
/// kin, `README.md`, and whatever is unknown. With DeepSpeed's stage 3 the weights themselves lie in `*optim_states.pt`
/// (the model files hold empty placeholders, one file a rank), so these are `weights` unless gathered ones lie beside.
public struct Classifier: Sendable {
  /// The directories (nil is the root) that hold model weights as Trainer gathers them.
  private let gathered: Set<RelativePath?>
  /// The directories whose DeepSpeed files are those of stage 3.
  private let stage3: Set<RelativePath?>

  /// Looks at the names in a tree.
  public init(_ tree: Tree) {
    var gathered: Set<RelativePath?> = []
    var stage3: Set<RelativePath?> = []
    for entry in tree.files {
      let name = entry.path.name
      if isModelWeights(name), Self.holdsWeights(entry, tree) { gathered.insert(entry.path.parent) }
      if name.contains("zero_pp_rank_"), name.hasSuffix("_model_states.pt") {
        stage3.insert(entry.path.parent)
      }
    }
    self.gathered = gathered
    self.stage3 = stage3
  }

  /// Whether a file has weights and not only their name: where a gathering failed, the Trainer leaves files without a tensor, or with
  /// tensors without elements, and the weights are in DeepSpeed's partitions alone. What cannot be told has none, so that nothing that may
  /// be needed counts as training state.
  private static func holdsWeights(_ entry: Tree.Entry, _ tree: Tree) -> Bool {
    guard entry.path.name.hasSuffix(".safetensors") else { return (entry.file?.size ?? 0) > 4096 }
    guard let file = try? tree.root.open(entry.path), let header = try? Safetensors(reading: file) else {
      return false
    }
    return header.tensors.contains { !$0.range.isEmpty }
  }

  /// The class of the file at `path`.
  public func fileClass(of path: RelativePath) -> FileClass {
    isTraining(path) ? .training : .weights
  }

  private func isTraining(_ path: RelativePath) -> Bool {
    let name = path.name
    if ["trainer_state.json", "training_args.bin", "distrib_optim.pt"].contains(name) { return true }
    if name.hasPrefix("events.out.tfevents.") { return true }
    if Self.isState(name) { return true }
    if path.parent?.parent?.name == "zero", name == "step.pt" || name.hasPrefix("exp_avg") { return true }
    var parent = path.parent
    while let directory = parent {
      let name = directory.name
      if isNumbered(name, "optimizer_") || name == "optimizer" { return true }
      if isNumbered(name, "global_step"), gathered.contains(directory.parent) { return true }
      parent = directory.parent
    }
    return name.hasSuffix("optim_states.pt") && !stage3.contains(path.parent)
  }

  /// Whether a file has the very name that the Trainer or accelerate give to a state, with or without a number (transformers/trainer.py,
  /// accelerate/utils/constants.py). Names that only begin like these may be anything: a `scaler.pkl` is mostly scikit-learn's, which
  /// inference needs.
  private static func isState(_ name: String) -> Bool {
    guard let dot = name.lastIndex(of: "."), let stems = states[String(name[dot...])] else { return false }
    let stem = String(name[..<dot])
    return stems.contains { stem == $0 || isNumbered(stem, $0 + "_") }
  }

  private static let states: [String: Set<String>] = [
    ".pt": ["optimizer", "scheduler", "scaler"], ".pth": ["optimizer", "scheduler", "rng_state"],
    ".bin": ["optimizer", "scheduler", "sampler", "dl_state_dict"], ".safetensors": ["optimizer"],
    ".pkl": ["random_states", "custom_checkpoint"], ".ckpt": ["optimizer"], ".npz": ["optimizer"],
  ]
}

/// Whether a file name is one that transformers or PEFT give to model weights.
func isModelWeights(_ name: String) -> Bool {
  let prefixes = ["model", "pytorch_model", "adapter_model", "diffusion_pytorch_model"]
  return (name.hasSuffix(".safetensors") || name.hasSuffix(".bin"))
    && prefixes.contains { name == $0 + ".safetensors" || name == $0 + ".bin" || name.hasPrefix($0 + "-") }
}

/// Whether `name` is `prefix` and a number.
func isNumbered(_ name: String, _ prefix: String) -> Bool {
  let digits = name.utf8.dropFirst(prefix.utf8.count)
  return name.hasPrefix(prefix) && !digits.isEmpty
    && digits.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
}
