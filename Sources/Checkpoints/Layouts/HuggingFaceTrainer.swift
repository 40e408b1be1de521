import Platform

/// `checkpoint-N` of transformers' Trainer and of what builds on it, and a model saved by `save_pretrained`.
///
/// Whole and sharded weights, PEFT adapters, and the optimizer parts of DeepSpeed and FSDP where they lie in it.
/// Facts from transformers/trainer.py (4.36 to 5.23): `trainer_state.json` is written last, and always.
struct HuggingFaceTrainer: Layout {
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
    findings.parts = parts(checkpoint, hasRandomState: !ranks.isEmpty || checkpoint.has("rng_state.pth"))
    findings.layout = name(checkpoint, findings.parts)
    findings.step = state.flatMap(Self.step) ?? checkpoint.place.step
    findings.worldSize = ranks.max().map { $0 + 1 } ?? (checkpoint.has("rng_state.pth") ? 1 : nil)
    if let state {
      let log = TrainerLog(state: state, arguments: checkpoint.value("args.json"))
      findings.metrics = log.metrics
      findings.best = log.best
    }
    findings.defects =
      progressDefects(checkpoint, state, findings.parts) + weightDefects(checkpoint, findings.parts)
      + ShardChecks(reader: checkpoint).defects() + randomStateDefects(ranks)
    return findings
  }

  private func name(_ checkpoint: CheckpointReader, _ parts: Set<Findings.Part>) -> String {
    let isTraining = parts != [.weights] || isNumbered(checkpoint.place.name, "checkpoint-")
    var name = isTraining ? "hf_trainer" : "hf_model"
    if checkpoint.has("adapter_config.json") { name += "+peft" }
    if !stepDirectories(checkpoint).isEmpty { name += "+deepspeed" }
    if hasFSDPWeights(checkpoint) { name += "+fsdp" }
    return name
  }

  private func parts(_ checkpoint: CheckpointReader, hasRandomState: Bool) -> Set<Findings.Part> {
    var parts: Set<Findings.Part> = []
    if hasWeights(checkpoint) { parts.insert(.weights) }
    if hasOptimizer(checkpoint) { parts.insert(.optimizer) }
    if checkpoint.has("trainer_state.json") { parts.insert(.progress) }
    if hasRandomState { parts.insert(.rng) }
    return parts
  }

  private func hasGatheredWeights(_ checkpoint: CheckpointReader) -> Bool {
    checkpoint.topFiles.contains(where: isModelWeights)
  }

  /// Weights that are gathered, or lie in the parts that DeepSpeed or FSDP wrote.
  private func hasWeights(_ checkpoint: CheckpointReader) -> Bool {
    hasGatheredWeights(checkpoint) || !stepDirectories(checkpoint).isEmpty
      || hasFSDPWeights(checkpoint)
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

  /// One defect a process that is missing below the highest, at most 16: a hostile name may claim any number.
  private func randomStateDefects(_ ranks: Set<Int>) -> [Defect] {
    guard let highest = ranks.max() else { return [] }
    return (0..<highest).lazy.filter { !ranks.contains($0) }.prefix(16).map { rank in
      Defect(try? RelativePath("rng_state_\(rank).pth"), .randomStateMissing(processes: highest + 1))
    }
  }
}
