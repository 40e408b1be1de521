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
    let arguments = try open(tensor: 0, stage: 0, isAlone: nil).object.root["args"]
    let sizes = try sizes(arguments)
    let isAlone = sizes.pipeline == 1
    // One place a stage tells how many layers the stages before have.
    let names = try (0..<sizes.pipeline).map { stage in
      try pieces(open(tensor: 0, stage: stage, isAlone: isAlone)).map { Array($0.keys) }
    }
    let layers = LayerNumbers(names)
    guard layers.fit(arguments) else {
      throw broken("the layers that its places hold are not those that its arguments count")
    }
    let isTied = arguments?["untie_embeddings_and_output_weights"]?.bool == false
    var plans: [TensorPlan] = []
    var known: Set<String> = []
    for stage in 0..<sizes.pipeline {
      let files = try (0..<sizes.tensor).map { try open(tensor: $0, stage: stage, isAlone: isAlone) }
      let models = try files.map(pieces)
      for (turn, tensors) in models[0].enumerated() {
        let model = try MegatronPiece(
          files: files, tensors: models.map { $0.count > turn ? $0[turn] : [:] }, sizes: sizes,
          version: files[0].object.root["checkpoint_version"]?.number)
        for name in tensors.keys.sorted() {
          // Later stages have copies of the embeddings, to make words of the last layer's numbers or to predict several tokens.
          if name.hasPrefix("word_embeddings_for_head.") { continue }
          if isTied, stage > 0, name == "output_layer.weight" { continue }
          let whole = layers.name(name, turn: turn, stage: stage)
          if !known.insert(whole).inserted, name.contains("embeddings") { continue }
          plans.append(try model.plan(name, named: whole))
        }
      }
    }
    return plans
  }

  private func broken(_ reason: String) -> ExportError {
    .broken(file: directory?.display ?? "the checkpoint", reason: reason)
  }

  /// The file of a place. Where there is one stage its name has no number of one; nil tries both.
  private func open(tensor: Int, stage: Int, isAlone: Bool?) throws -> MegatronPiece.File {
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
    return .init(path: path, file: file, object: object)
  }

  private func sizes(_ arguments: Pickle.Value?) throws -> MegatronCut.Sizes {
    func size(_ name: String, _ other: Int? = nil) throws -> Int {
      guard let size = arguments?[name]?.integer ?? other, (1...1024).contains(size) else {
        throw broken("its arguments do not tell \(name)")
      }
      return size
    }
    let sizes = MegatronCut.Sizes(
      tensor: try size("tensor_model_parallel_size"), pipeline: try size("pipeline_model_parallel_size"))
    let expertTensor = arguments?["expert_tensor_parallel_size"]?.integer ?? sizes.tensor
    guard try size("expert_model_parallel_size", 1) == 1, expertTensor == sizes.tensor else {
      throw broken(
        "models that are cut by expert parallelism are not put together; convert it with Megatron's tools/checkpoint/convert.py"
      )
    }
    return sizes
  }

  /// The tensors of each piece of the model that a file holds, by name.
  private func pieces(_ file: MegatronPiece.File) throws -> [[String: TorchTensor]] {
    let root = file.object.root
    var values = [root["model"]].compactMap { $0 }
    while values.count < 1024, root["model"] == nil, let next = root["model\(values.count)"] {
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
      // What Transformer Engine keeps beside the weights, a tensor or not (module/base.py, `get_extra_state`).
      guard let word = key.text, !word.split(separator: ".").contains(where: { $0.hasPrefix("_extra_state") })
      else { continue }
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
      } else if let callee = member.callee, callee.hasPrefix("torch.") || callee.contains("ensor") {
        throw ExportError.unsupported(tensor: name, reason: "it is a \(callee) and no plain tensor")
      }
    }
  }
}

/// Which number a layer of a stage has in the whole model.
private struct LayerNumbers {
  private struct Spot: Hashable {
    let stack: Substring
    let turn: Int
    let stage: Int
  }
  /// How many layers stand before those of a stack at a place.
  private var before: [Spot: Int] = [:]
  /// How many layers each stack has.
  private var counts: [Substring: Int] = [:]
  /// Whether each place's layers are numbered without a gap.
  private var isGapless = true

  /// The layers by the names of tensors: for each stage, for each of its pieces of the model.
  init(_ names: [[[String]]]) {
    for turn in 0..<(names.map(\.count).max() ?? 0) {
      for (stage, pieces) in names.enumerated() where pieces.count > turn {
        var found: [Substring: Set<Int>] = [:]
        for name in pieces[turn] {
          if let (stack, layer, _) = Self.split(name) { found[stack, default: []].insert(layer) }
        }
        for (stack, layers) in found {
          before[Spot(stack: stack, turn: turn, stage: stage)] = counts[stack] ?? 0
          isGapless = isGapless && layers.count == (layers.max() ?? 0) + 1
          counts[stack, default: 0] += layers.count
        }
      }
    }
  }

  /// Whether each stack has as many layers as the training's arguments count.
  func fit(_ arguments: Pickle.Value?) -> Bool {
    let expected = ["num_layers", "encoder_num_layers", "decoder_num_layers"].compactMap {
      arguments?[$0]?.integer
    }
    return isGapless && counts.allSatisfy { $0.key.contains("mtp") || expected.contains($0.value) }
  }

  /// A tensor's name with its layer's number in the whole model.
  func name(_ name: String, turn: Int, stage: Int) -> String {
    guard let (stack, layer, rest) = Self.split(name) else { return name }
    return "\(stack)\((before[Spot(stack: stack, turn: turn, stage: stage)] ?? 0) + layer)\(rest)"
  }

  private static func split(_ name: String) -> (stack: Substring, layer: Int, rest: Substring)? {
    guard let range = name.firstRange(of: "layers."),
      let end = name[range.upperBound...].firstIndex(of: "."),
      let layer = Int(name[range.upperBound..<end]), (0..<1 << 16).contains(layer)
    else { return nil }
    return (name[..<range.upperBound], layer, name[end...])
  }
}
