import Platform

/// What `Accelerator.save_state` of accelerate writes: weights, `optimizer.bin`, `scheduler.bin`, one `random_states_K.pkl` a process,
/// and whatever the user registered as `custom_checkpoint_N.pkl`.
///
/// Facts from accelerate/checkpointing.py and utils/constants.py (1.15). There is no marker of the end. The step is the user's affair:
/// `checkpoint_N`, as accelerate itself names them, counts saves; other names with a step are the user's.
struct Accelerate: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    if checkpoint.tree.isSingleFile || checkpoint.has(trainerStateName) || checkpoint.has("training_args.bin")
    {
      return false
    }
    return checkpoint.topFiles.contains {
      Self.number($0, Self.random) != nil || Self.number($0, Self.custom) != nil
    }
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    var findings = Findings(layout: "accelerate")
    let place = checkpoint.place
    findings.step = isNumbered(place.name, "checkpoint_") ? nil : place.step
    let names = checkpoint.topFiles
    let ranks = Set(names.compactMap { Self.number($0, Self.random) })
    findings.parallelism.world = ranks.max().map { $0 + 1 }
    addParts(checkpoint, to: &findings)
    if checkpoint.tree.files.contains(where: { $0.path.name.hasSuffix("_optim_states.pt") }) {
      findings.layout += "+deepspeed"
    } else if checkpoint.tree.entries.contains(where: { $0.path.name.hasPrefix("pytorch_model_fsdp") }) {
      findings.layout += "+fsdp"
    }
    if findings.parts[.weights] == nil { findings.defects.append(Defect(nil, .noWeights(adapter: false))) }
    for rank in Self.missing(ranks) {
      findings.defects.append(
        Defect(
          try? RelativePath(Self.random + "\(rank).pkl"),
          .randomStateMissing(processes: (ranks.max() ?? 0) + 1)))
    }
    for number in Self.missing(Set(names.compactMap { Self.number($0, Self.custom) })) {
      findings.defects.append(Defect(try? RelativePath(Self.custom + "\(number).pkl"), .gap))
    }
    return findings
  }

  private static let random = "random_states_"
  private static let custom = "custom_checkpoint_"

  private static func number(_ name: String, _ prefix: String) -> Int? {
    guard name.hasSuffix(".pkl"), isNumbered(String(name.dropLast(4)), prefix) else { return nil }
    return Int(name.dropFirst(prefix.utf8.count).dropLast(4)).flatMap { $0 < 1 << 20 ? $0 : nil }
  }

  /// The numbers below the highest that are not there, at most 16.
  private static func missing(_ numbers: Set<Int>) -> [Int] {
    Array((0..<(numbers.max() ?? 0)).lazy.filter { !numbers.contains($0) }.prefix(16))
  }

  private func addParts(_ checkpoint: CheckpointReader, to findings: inout Findings) {
    for path in checkpoint.tree.files.map(\.path) {
      // What stands in a directory belongs to what the directory is called.
      let top = path.components.first.map { String(decoding: $0, as: UTF8.self) } ?? path.name
      if let part = Self.part(top, path.name) { findings.add(part, [path]) }
    }
  }

  private static func part(_ top: String, _ name: String) -> Findings.Part? {
    if top.hasPrefix(random) { return .random }
    if top.hasPrefix("optimizer") || top.hasPrefix("scaler") || name.hasSuffix("_optim_states.pt") {
      return .optimizer
    }
    if top.hasPrefix("scheduler") { return .schedule }
    if top.hasPrefix(custom) || top.hasPrefix("sampler") || top.hasPrefix("dl_state_dict") {
      return .progress
    }
    let isWeights =
      isModelWeights(name) || name.hasSuffix(".safetensors") || top.hasPrefix("pytorch_model")
      || top.hasPrefix("model_")
    if isWeights { return .weights }
    return name.hasSuffix(".json") ? .configuration : nil
  }
}
