import Platform

/// The files that DeepSpeed writes for each expert of a mixture, and for each layer of a pipeline, and whether all are there.
///
/// Facts from deepspeed/runtime/engine.py (0.19.8), `_get_expert_ckpt_name` and `_save_moe_checkpoint`:
/// `layer_L_expert_E_mp_rank_MM_model_states.pt`, with the experts of each layer in `num_experts` of the model file; and from
/// runtime/pipe/module.py, `ckpt_layer_path`: `layer_LL-model_MM-model_states.pt`, none for layers without a state.
struct DeepSpeedModules {
  let reader: CheckpointReader
  let directory: RelativePath?
  /// The names of the directory's files.
  let names: [String]
  /// The places in the model, `mp_world_size`.
  let places: Int

  /// More experts than these are no training's.
  private static let maximumExperts = 1 << 16

  /// The files that are missing, at most 16 of each kind.
  ///
  /// - Parameter model: what the model file holds.
  func defects(_ model: Pickle.Value) -> [Defect] { experts(model) + layers() }

  private func experts(_ model: Pickle.Value) -> [Defect] {
    let known = Set(names.filter { $0.hasPrefix("layer_") && $0.contains("_expert_") })
    let counts = (model["num_experts"]?.elements(limit: 4096) ?? []).compactMap(\.integer)
    // Of experts that ZeRO's stage 3 has dealt out there are no files at all.
    guard !known.isEmpty, counts.allSatisfy({ (1...Self.maximumExperts).contains($0) }),
      let total = product([counts.reduce(0, +), places]), total <= Self.maximumExperts
    else { return [] }
    var missing: [String] = []
    for (layer, count) in counts.enumerated() {
      for expert in 0..<count {
        for place in 0..<places {
          let name = "layer_\(layer)_expert_\(expert)_mp_rank_\(padded(place, 2))_model_states.pt"
          if !known.contains(name) { missing.append(name) }
        }
      }
    }
    return defects(missing, of: total)
  }

  /// Each layer of a pipeline is cut into the same pieces.
  private func layers() -> [Defect] {
    var pieces: [Substring: Set<Substring>] = [:]
    for name in names where name.hasPrefix("layer_") && name.hasSuffix("-model_states.pt") {
      let words = name.dropLast("-model_states.pt".count).split(separator: "-", maxSplits: 1)
      guard words.count == 2 else { continue }
      pieces[words[0], default: []].insert(words[1])
    }
    let all = pieces.values.reduce(into: Set<Substring>()) { $0.formUnion($1) }
    let missing = pieces.sorted { $0.key < $1.key }.flatMap { layer, own in
      all.subtracting(own).sorted().map { "\(layer)-\($0)-model_states.pt" }
    }
    return defects(missing, of: pieces.count * all.count)
  }

  private func defects(_ missing: [String], of count: Int) -> [Defect] {
    missing.prefix(16).map { Defect(reader.path($0, in: directory), .rankFileMissing(count: count)) }
  }
}
