import Platform

/// Finds the tensors of a checkpoint's weights where they lie in whole files: safetensors and what torch.save wrote.
struct WeightFiles {
  let checkpoint: CheckpointReader

  private var files: [RelativePath] { checkpoint.tree.files.map(\.path).filter { $0.parent == nil } }

  /// The tensors of files that are named as weights, in the order of these; none where the root has none.
  func named() throws -> [TensorPlan] {
    // A shard or a tensor that an index names and nobody has must not be left out in silence.
    if let defect = ShardChecks(reader: checkpoint).defects().first {
      throw ExportError.broken(file: defect.file?.display ?? "the checkpoint", reason: defect.sentence)
    }
    let safetensors = files.filter { isModelWeights($0.name) && $0.name.hasSuffix(".safetensors") }
    if !safetensors.isEmpty { return try safetensors.flatMap(self.safetensors) }
    let torch = files.filter { isModelWeights($0.name) && $0.name.hasSuffix(".bin") }
    return try torch.flatMap { try torchFile($0) }
  }

  /// The tensors of the one file that may hold a model by its kind; none where the root has none or several.
  func only() throws -> [TensorPlan] {
    let others = files.filter { path in
      Self.extensions.contains(where: path.name.hasSuffix) && !Self.isTrainingState(path.name)
    }
    // Of several files it cannot be told which one is the model.
    guard others.count == 1 else { return [] }
    return others[0].name.hasSuffix(".safetensors")
      ? try self.safetensors(others[0]) : try torchFile(others[0])
  }

  private static let extensions = [".safetensors", ".pt", ".pth", ".ckpt", ".bin"]

  private static func isTrainingState(_ name: String) -> Bool {
    ["optimizer", "scheduler", "scaler", "rng_state", "random_states", "training_args", "sampler"].contains {
      name.hasPrefix($0)
    }
  }

  private func safetensors(_ path: RelativePath) throws -> [TensorPlan] {
    let header = try checkpoint.safetensors(path).get()
    if let defect = header.defect { throw ExportError.broken(file: path.display, reason: defect.words) }
    return try header.tensors.map { tensor in
      let piece = TensorPlan.Piece(
        file: path, offset: tensor.range.lowerBound, shape: tensor.shape,
        strides: contiguousStrides(tensor.shape), origin: tensor.shape.map { _ in 0 })
      return try TensorPlan(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, pieces: [piece])
    }
  }

  private func torchFile(_ path: RelativePath) throws -> [TensorPlan] {
    let file = try checkpoint.tree.root.open(path)
    let object = try TorchObject(reading: file)
    guard !object.isBigEndian else {
      throw ExportError.broken(file: path.display, reason: "its numbers have their highest byte first")
    }
    if object.root["_parameters"] != nil || object.root["_modules"] != nil {
      var budget = TorchWalk.maximumValues
      return try module(object.root, named: "", depth: 0, &budget).map { name, tensor in
        try Self.plan(name, tensor, object, file, path)
      }
    }
    let state = Self.stateDictionary(object.root)
    guard !state.isEmpty else {
      throw ExportError.broken(file: path.display, reason: "no dictionary of tensors was found in it")
    }
    return try state.compactMap { name, value in
      // What is no tensor in a state dictionary (a counter, a list of names) has no place in a file of weights.
      guard let callee = value.callee else { return nil }
      guard let tensor = TorchTensor(value) else {
        guard callee.hasPrefix("torch.") else { return nil }
        throw ExportError.unsupported(tensor: name, reason: "it is a \(callee) and no plain tensor")
      }
      return try Self.plan(name, tensor, object, file, path)
    }
  }

  /// The tensors of a module that was pickled as a whole, under the names that its `state_dict()` would give them
  /// (torch/nn/modules/module.py: `_parameters`, `_buffers`, `_non_persistent_buffers_set`, `_modules`).
  private func module(_ value: Pickle.Value, named prefix: String, depth: Int, _ budget: inout Int) throws
    -> [(
      String, TorchTensor
    )]
  {
    budget -= 1
    guard depth < 64, budget > 0 else {
      throw ExportError.unsupported(tensor: prefix, reason: "its modules are nested too deep or too many")
    }
    let transient = Set(
      (value["_non_persistent_buffers_set"]?.elements(limit: budget) ?? []).compactMap(\.text))
    var found: [(String, TorchTensor)] = []
    for (key, value) in (value["_parameters"]?.entries(limit: budget) ?? [])
      + (value["_buffers"]?.entries(limit: budget) ?? [])
    {
      guard let name = key.text, !value.isNone, !transient.contains(name) else { continue }
      guard let tensor = TorchTensor(value) else {
        throw ExportError.unsupported(tensor: prefix + name, reason: "it is no plain tensor")
      }
      budget -= 1 + (prefix.utf8.count + name.utf8.count) / 64
      found.append((prefix + name, tensor))
    }
    for (key, value) in value["_modules"]?.entries(limit: max(0, budget)) ?? [] where !value.isNone {
      guard let name = key.text else { continue }
      budget -= (prefix.utf8.count + name.utf8.count) / 64
      found += try module(value, named: "\(prefix)\(name).", depth: depth + 1, &budget)
    }
    return found
  }

  static func plan(
    _ name: String, _ tensor: TorchTensor, _ object: TorchObject, _ file: OpenFile, _ path: RelativePath,
    at start: Int = 0
  ) throws -> TensorPlan {
    guard let range = try object.range(of: tensor.storage, in: file), range.count >= tensor.storageSize else {
      throw ExportError.broken(
        file: path.display, reason: "the storage of tensor \(escaped(name.utf8)) is missing or cut")
    }
    let piece = TensorPlan.Piece(
      file: path, offset: start + range.lowerBound + tensor.offset * tensor.itemSize, shape: tensor.shape,
      strides: tensor.strides, origin: tensor.shape.map { _ in 0 })
    return try TensorPlan(name: name, dtype: tensor.dtype, shape: tensor.shape, pieces: [piece])
  }

  /// A model's tensors in what a file holds: under one of the usual names; or the whole; or, where modules were saved one by
  /// one, under the names of these.
  private static func stateDictionary(_ root: Pickle.Value) -> [(name: String, value: Pickle.Value)] {
    for name in ["model_state_dict", "state_dict", "model", "module", "net", "weights"] {
      if let inner = root[name].map({ tensors(of: $0) }), !inner.isEmpty { return inner }
    }
    let own = tensors(of: root)
    if !own.isEmpty { return own }
    var all: [(name: String, value: Pickle.Value)] = []
    for (key, value) in root.entries(limit: 1024) ?? [] {
      guard let module = key.text, !module.hasPrefix("optim"), all.count < TorchWalk.maximumValues else {
        continue
      }
      all += tensors(of: value).map { ("\(module).\($0.name)", $0.value) }
    }
    return all
  }

  /// The entries of a dictionary that holds tensors; nothing of any other.
  private static func tensors(of value: Pickle.Value) -> [(name: String, value: Pickle.Value)] {
    let entries = value.entries(limit: TorchWalk.maximumValues) ?? []
    guard entries.contains(where: { TorchTensor($0.value) != nil }) else { return [] }
    // Many names may be one text.
    var room = 256 << 20
    return entries.compactMap { key, value in
      room -= key.utf8?.count ?? 0
      guard room > 0 else { return nil }
      return key.text.map { (name: $0, value: value) }
    }
  }
}
