import Platform

/// Puts together the weights of a model from the files of Megatron-LM's older form, one for each place in the model
/// (`mp_rank_TT[_PPP]/model_optim_rng.pt`), under the names that a training on one device would give them.
///
/// Each pipeline stage numbers its layers from 0 (megatron/core/transformer/transformer_block.py, 0.16.1); with an interleaved
/// schedule it has several pieces of the model, `model0`, `model1`…, dealt out in turn. How tensor parallelism cuts is told by `MegatronCut`.
struct MegatronShards {
  private let checkpoint: CheckpointReader
  /// The directory that holds the places; nil is the root.
  private let directory: RelativePath?

  private static let fileName = "model_optim_rng.pt"

  /// The places in a checkpoint, or nil where there are none.
  init?(_ checkpoint: CheckpointReader) {
    self.checkpoint = checkpoint
    var holders: Set<RelativePath?> = []
    for file in checkpoint.tree.files where file.path.name == Self.fileName {
      if let place = file.path.parent, place.name.hasPrefix("mp_rank_") { holders.insert(place.parent) }
    }
    // Of several saves that were pushed together, the tracker names the one that counts.
    if holders.count > 1, let latest = Self.latest(checkpoint) { holders = holders.filter { $0 == latest } }
    guard holders.count == 1, let directory = holders.first else { return nil }
    self.directory = directory
  }

  private static func latest(_ checkpoint: CheckpointReader) -> RelativePath? {
    guard let path = try? RelativePath("latest_checkpointed_iteration.txt"),
      let line = checkpoint.line(path)
    else { return nil }
    return try? RelativePath(Int(line).map { "iter_" + padded($0, 7) } ?? line)
  }

  /// The tensors of the model. Throws `ExportError`, `SystemError`, and what reading torch files throws.
  func plans() throws -> [TensorPlan] {
    let first = try open(tensor: 0, stage: 0, isAlone: nil)
    let sizes = try sizes(first.object.root["args"])
    var layers = LayerCount()
    var plans: [TensorPlan] = []
    var names: Set<String> = []
    let stages = try (0..<sizes.pipeline).map { stage in
      try (0..<sizes.tensor).map { try open(tensor: $0, stage: stage, isAlone: sizes.pipeline == 1) }
    }
    let pieces = try stages.map { try $0.map(self.pieces) }
    let most = pieces.lazy.joined().map(\.count).max() ?? 0
    for turn in 0..<most {
      for (stage, files) in zip(stages, pieces) {
        guard files.allSatisfy({ $0.count > turn }) else { throw unlike(stage[0].path) }
        var offsets = layers
        for (name, tensor) in files[0][turn] {
          let peers = try zip(stage, files).map { file, models in
            guard let peer = models[turn][name], peer.dtype == tensor.dtype, peer.shape == tensor.shape else {
              throw unlike(file.path)
            }
            return try WeightFiles.plan(name, peer, file.object, file.file, file.path)
          }
          let whole = layers.numbered(name, counting: &offsets)
          // The last stage has a copy of the embeddings, to predict several tokens.
          if !names.insert(whole).inserted, name.contains("embeddings") { continue }
          plans.append(try MegatronCut(name, sizes).join(peers, named: whole))
        }
        layers = offsets
      }
    }
    return plans
  }

  private func unlike(_ path: RelativePath) -> ExportError {
    .broken(file: path.display, reason: "it does not hold the tensors that its like hold")
  }

  private struct File {
    let path: RelativePath
    let file: OpenFile
    let object: TorchObject
  }

  /// The file of a place. Where there is one stage its name has no number of one; nil tries both.
  private func open(tensor: Int, stage: Int, isAlone: Bool?) throws -> File {
    let short = "mp_rank_" + padded(tensor, 2)
    let names = [(true, short), (false, short + "_" + padded(stage, 3))].filter { isAlone ?? $0.0 == $0.0 }
    let paths = names.map { checkpoint.path(Self.fileName, in: checkpoint.path($0.1, in: directory)) }
    guard let path = paths.first(where: checkpoint.has) else {
      throw ExportError.broken(file: paths[0].display, reason: "it is missing")
    }
    let file = try checkpoint.tree.root.open(path)
    let object = try TorchObject(reading: file)
    guard !object.isBigEndian else {
      throw ExportError.broken(file: path.display, reason: "its numbers have their highest byte first")
    }
    return File(path: path, file: file, object: object)
  }

  private func sizes(_ arguments: Pickle.Value?) throws -> MegatronCut.Sizes {
    func size(_ name: String, _ other: Int? = nil) throws -> Int {
      guard let size = arguments?[name]?.integer ?? other, (1...1024).contains(size) else {
        throw ExportError.broken(
          file: directory?.display ?? "the checkpoint", reason: "its arguments do not tell \(name)")
      }
      return size
    }
    let sizes = MegatronCut.Sizes(
      tensor: try size("tensor_model_parallel_size"), pipeline: try size("pipeline_model_parallel_size"),
      expert: try size("expert_model_parallel_size", 1), isGated: arguments?["swiglu"]?.bool)
    let expertTensor = arguments?["expert_tensor_parallel_size"]?.integer ?? sizes.tensor
    guard sizes.expert == 1, expertTensor == sizes.tensor else {
      throw ExportError.broken(
        file: directory?.display ?? "the checkpoint",
        reason:
          "models that are cut by expert parallelism are not put together; convert it with Megatron's tools/checkpoint/convert.py"
      )
    }
    return sizes
  }

  /// The tensors of each piece of the model that a file holds, by name.
  private func pieces(_ file: File) throws -> [[String: TorchTensor]] {
    let root = file.object.root
    var values = [root["model"]].compactMap { $0 }
    while values.count < 1024, let next = root["model\(values.count)"], root["model"] == nil {
      values.append(next)
    }
    guard !values.isEmpty else {
      throw ExportError.broken(file: file.path.display, reason: "it holds no model")
    }
    var budget = TorchWalk.maximumValues
    return try values.map { value in
      var found: [String: TorchTensor] = [:]
      try collect(value, "", 0, &budget, into: &found)
      return found
    }
  }

  /// Collects a state dictionary, older versions' with dictionaries inside. What is no tensor has no place in a file of weights.
  private func collect(
    _ value: Pickle.Value, _ prefix: String, _ depth: Int, _ budget: inout Int,
    into found: inout [String: TorchTensor]
  ) throws {
    for (key, member) in value.entries(limit: max(0, budget)) ?? [] {
      guard let word = key.text else { continue }
      let name = prefix + word
      budget -= 1 + name.utf8.count / 64
      guard budget > 0, depth < 16 else {
        throw ExportError.unsupported(
          tensor: name, reason: "its dictionaries are nested too deep or too large")
      }
      if let tensor = TorchTensor(member) {
        found[name] = tensor
      } else if member.entries != nil {
        try collect(member, name + ".", depth + 1, &budget, into: &found)
      } else if let callee = member.callee, callee.hasPrefix("torch.") || callee.contains("ensor"),
        !word.hasSuffix("_extra_state")
      {
        throw ExportError.unsupported(tensor: name, reason: "it is a \(callee) and no plain tensor")
      }
    }
  }
}

/// How many layers the earlier stages have, by the name of the stack.
private struct LayerCount {
  private var counts: [Substring: Int] = [:]

  /// The name with the layer's number in the whole model. `next` learns of the layer.
  func numbered(_ name: String, counting next: inout LayerCount) -> String {
    guard let range = name.firstRange(of: "layers."),
      let end = name[range.upperBound...].firstIndex(of: "."),
      let layer = Int(name[range.upperBound..<end]), (0..<1 << 20).contains(layer)
    else { return name }
    let stack = name[..<range.upperBound]
    let before = counts[stack] ?? 0
    next.counts[stack] = max(next.counts[stack] ?? 0, before + layer + 1)
    return "\(stack)\(before + layer)\(name[end...])"
  }
}
