import Platform

/// `checkpoint-N` of transformers' Trainer and of what builds on it, and a model saved by `save_pretrained`.
///
/// Whole and sharded weights, PEFT adapters, and the optimizer parts of DeepSpeed and FSDP where they lie in it.
/// Facts from transformers/trainer.py (4.36 to 5.23): `trainer_state.json` is written last, and always.
///
/// `training_args.bin` is a pickled object of the class that was trained with, by which TRL and LLaMA-Factory are known, and tells the
/// number of processes (training_args.py, `distributed_state`).
struct HuggingFaceTrainer: Layout {
  /// The number of processes where something else tells it.
  var world: Int?

  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    if checkpoint.tree.isSingleFile { return false }
    if checkpoint.has("trainer_state.json") || checkpoint.has("training_args.bin") { return true }
    if hasFSDPWeights(checkpoint) { return true }
    let isModel = checkpoint.has("config.json") || checkpoint.has("adapter_config.json")
    return isModel && (hasGatheredWeights(checkpoint) || hasOptimizer(checkpoint))
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    var findings = Findings(layout: "hf_trainer")
    let state = checkpoint.value("trainer_state.json")
    let ranks = Self.ranks(checkpoint.topFiles)
    let arguments = (try? RelativePath(Self.arguments)).flatMap { checkpoint.contents($0) }
    let world = world ?? arguments.flatMap(Self.processes)
    addParts(checkpoint, to: &findings)
    let parts = Set(findings.parts.keys)
    findings.layout = name(checkpoint, parts) + (arguments.flatMap(Self.trainer) ?? "")
    if let arguments { findings.hyperparameters[Self.arguments] = arguments.json.masked }
    addBase(checkpoint, to: &findings)
    findings.step = state.flatMap(Self.step) ?? checkpoint.place.step
    // A saved model alone is the same whoever trained it.
    let isTraining = !parts.isSubset(of: [.weights, .configuration])
    let seen = ranks.max().map { $0 + 1 } ?? (checkpoint.has("rng_state.pth") ? 1 : nil)
    findings.parallelism.world = isTraining ? [seen, world].compactMap(\.self).max() : seen
    if let state {
      let log = TrainerLog(state: state, arguments: checkpoint.value("args.json"))
      findings.metrics = log.metrics
      findings.best = log.best
    }
    findings.defects =
      progressDefects(checkpoint, state, parts) + weightDefects(checkpoint, parts)
      + ShardChecks(reader: checkpoint).defects() + randomStateDefects(ranks, world)
    TrainerParts(reader: checkpoint).add(to: &findings)
    return findings
  }

  private func name(_ checkpoint: CheckpointReader, _ parts: Set<Findings.Part>) -> String {
    let isTraining =
      !parts.isSubset(of: [.weights, .configuration]) || isNumbered(checkpoint.place.name, "checkpoint-")
    var name = isTraining ? "hf_trainer" : "hf_model"
    if checkpoint.has("adapter_config.json") { name += "+peft" }
    if !stepDirectories(checkpoint).isEmpty { name += "+deepspeed" }
    if hasFSDPWeights(checkpoint) { name += "+fsdp" }
    return name
  }

  /// The files of each part, by their names.
  private func addParts(_ checkpoint: CheckpointReader, to findings: inout Findings) {
    let inSteps = files(checkpoint, in: stepDirectories(checkpoint))
    let names = checkpoint.topFiles
    func add(_ part: Findings.Part, _ isPart: (String) -> Bool) {
      findings.add(part, names.filter(isPart).compactMap { try? RelativePath($0) })
    }
    // The value head stands beside the weights (trl/models/modeling_value_head.py; LLaMA-Factory, extras/constants.py).
    add(.weights) {
      isModelWeights($0) || $0 == "value_head.safetensors" || $0 == "value_head.bin"
        || ($0.hasPrefix("pytorch_model_fsdp") && $0.hasSuffix(".bin"))
    }
    findings.add(
      .weights,
      files(checkpoint, in: checkpoint.topDirectories.filter { isNumbered($0, "pytorch_model_fsdp_") }))
    if findings.parts[.weights] == nil { findings.add(.weights, inSteps) }
    add(.optimizer) { $0 == "optimizer.pt" || $0.hasPrefix("optimizer") && $0.hasSuffix(".bin") }
    findings.add(
      .optimizer, files(checkpoint, in: checkpoint.topDirectories.filter { isNumbered($0, "optimizer_") }))
    findings.add(.optimizer, inSteps)
    // The loss scale belongs to the optimizer's state (transformers/trainer.py, `SCALER_NAME`).
    if findings.parts[.optimizer] != nil { add(.optimizer) { $0 == "scaler.pt" } }
    add(.schedule) { $0 == "scheduler.pt" }
    // DeepSpeed keeps the schedule in its own files (runtime/engine.py, `save_checkpoint`).
    findings.add(.schedule, inSteps)
    add(.progress) { $0 == trainerStateName }
    add(.random) { $0 == "rng_state.pth" || $0.hasPrefix("rng_state_") && $0.hasSuffix(".pth") }
    add(.configuration) {
      ["config.json", "adapter_config.json", "generation_config.json", "training_args.bin", "args.json"]
        .contains($0)
    }
  }

  /// The regular files below some directories of the root.
  private func files(_ checkpoint: CheckpointReader, in directories: [String]) -> [RelativePath] {
    let directories = Set(directories)
    return checkpoint.tree.files.map(\.path).filter {
      $0.parent != nil && directories.contains(String(decoding: $0.components[0], as: UTF8.self))
    }
  }

  private func hasGatheredWeights(_ checkpoint: CheckpointReader) -> Bool {
    checkpoint.topFiles.contains(where: isModelWeights)
  }

  /// One directory a model, or one file, or one a process: `pytorch_model_fsdp_0/`, `pytorch_model_fsdp.bin`,
  /// `pytorch_model_fsdp_rank0.bin` (accelerate/utils/fsdp_utils.py).
  private func hasFSDPWeights(_ checkpoint: CheckpointReader) -> Bool {
    checkpoint.topDirectories.contains { isNumbered($0, "pytorch_model_fsdp_") }
      || checkpoint.topFiles.contains { $0.hasPrefix("pytorch_model_fsdp") && $0.hasSuffix(".bin") }
  }

  private func hasOptimizer(_ checkpoint: CheckpointReader) -> Bool {
    checkpoint.has("optimizer.pt") || checkpoint.has("optimizer.bin") || !stepDirectories(checkpoint).isEmpty
      || checkpoint.topDirectories.contains { isNumbered($0, "optimizer_") }
  }

  private func stepDirectories(_ checkpoint: CheckpointReader) -> [String] {
    checkpoint.topDirectories.filter { isNumbered($0, "global_step") }
  }

  private func progressDefects(
    _ checkpoint: CheckpointReader, _ state: JSONValue?, _ parts: Set<Findings.Part>
  ) -> [Defect] {
    let file = try? RelativePath("trainer_state.json")
    if !parts.contains(.progress) { return parts.contains(.optimizer) ? [Defect(file, .unfinished)] : [] }
    guard let recorded = state.flatMap(Self.step), isNumbered(checkpoint.place.name, "checkpoint-"),
      let named = checkpoint.place.step, named != recorded
    else { return [] }
    return [Defect(file, .stepMismatch(named: named, recorded: recorded))]
  }

  private func weightDefects(_ checkpoint: CheckpointReader, _ parts: Set<Findings.Part>) -> [Defect] {
    let isAdapter = checkpoint.has("adapter_config.json")
    let isThere =
      isAdapter ? checkpoint.topFiles.contains { $0.hasPrefix("adapter_model") } : parts.contains(.weights)
    return isThere ? [] : [Defect(nil, .noWeights(adapter: isAdapter))]
  }

  /// The step that `trainer_state.json` records, where it can be one.
  private static func step(_ state: JSONValue) -> Int? {
    state["global_step"]?.integer.flatMap { Place.steps.contains($0) ? $0 : nil }
  }

  /// Larger numbers in a file's name count no processes.
  private static let maximumProcesses = 1 << 20

  /// The processes whose `rng_state_K.pth` is there.
  private static func ranks(_ names: [String]) -> Set<Int> {
    Set(
      names.filter { $0.hasSuffix(".pth") && isNumbered(String($0.dropLast(4)), "rng_state_") }.compactMap {
        Int($0.dropFirst(10).dropLast(4))
      }.filter { $0 < maximumProcesses })
  }

  /// One defect a process that has no random state although others have, at most 16: a hostile name may claim any number.
  private func randomStateDefects(_ ranks: Set<Int>, _ world: Int?) -> [Defect] {
    guard let highest = ranks.max() else { return [] }
    let processes = max(highest + 1, world ?? 0)
    return (0..<processes).lazy.filter { !ranks.contains($0) }.prefix(16).map { rank in
      Defect(try? RelativePath("rng_state_\(rank).pth"), .randomStateMissing(processes: processes))
    }
  }

  private static let arguments = "training_args.bin"

  private static func processes(_ arguments: Pickle.Value) -> Int? {
    arguments["distributed_state"]?["num_processes"]?.integer.flatMap {
      (1...maximumProcesses).contains($0) ? $0 : nil
    }
  }

  /// The variant by the class of the arguments, for example `trl.trainer.sft_config.SFTConfig`.
  private static func trainer(_ arguments: Pickle.Value) -> String? {
    switch arguments.callee?.split(separator: ".").first {
    case "trl": "+trl"
    case "llamafactory", "llmtuner": "+llamafactory"
    default: nil
    }
  }

  private func addBase(_ checkpoint: CheckpointReader, to findings: inout Findings) {
    guard let configuration = checkpoint.value("adapter_config.json") else { return }
    let base = BaseModel(configuration)
    findings.base = base
    findings.notices += [base.notice(try? RelativePath("adapter_config.json"))].compactMap(\.self)
    findings.versions["peft"] = configuration["peft_version"]?.text
  }
}
