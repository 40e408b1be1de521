import Platform

/// Puts together the weights of a model that DeepSpeed's ZeRO has dealt out to processes, in full precision, as DeepSpeed's own
/// `zero_to_fp32.py` does (deepspeed/utils/zero_to_fp32.py, 0.19.8).
///
/// Stages 1 and 2: the parameters of a group are one row of numbers, of which each process has a stretch. Stage 3: of each parameter
/// each process has a stretch, all of the same length, the last one padded; a process's stretches stand one after the other.
struct ZeroShards {
  let checkpoint: CheckpointReader
  /// How many pieces the tensors may have together.
  var mostPieces = Int.max
  /// The directory of the partitions; nil is the root.
  private let directory: RelativePath?
  private let names: [String]

  /// The partitions in a checkpoint, or nil where there are none.
  init?(_ checkpoint: CheckpointReader) {
    self.checkpoint = checkpoint
    var holders: [RelativePath?: [String]] = [:]
    for entry in checkpoint.tree.files where entry.path.name.hasSuffix("_states.pt") {
      holders[entry.path.parent, default: []].append(entry.path.name)
    }
    holders = holders.filter { $0.value.contains { $0.hasSuffix("_optim_states.pt") } }
    // Of several saves that were pushed together, `latest` names the one that counts.
    if holders.count > 1, let latest = Self.latest(checkpoint) {
      holders = holders.filter { $0.key == latest }
    }
    guard holders.count == 1, let (directory, names) = holders.first else { return nil }
    self.directory = directory
    self.names = names
  }

  private static func latest(_ checkpoint: CheckpointReader) -> RelativePath? {
    (try? RelativePath("latest")).flatMap(checkpoint.line).flatMap { try? RelativePath($0) }
  }

  /// The tensors of the model. Throws `ExportError`, `SystemError`, and what reading torch files throws.
  func plans() throws -> [TensorPlan] {
    let partitions = try partitions()
    let models = try files { $0.hasSuffix("_model_states.pt") }
    guard let model = models.first else {
      throw ExportError.broken(file: shown, reason: "its model_states file is missing")
    }
    let stage = partitions[0].stage
    var plans = try parameters(model.object.root, partitions, stage)
    plans += try buffers(model)
    plans += try frozen(stage == 3 ? models : [model])
    let known = Dictionary(plans.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    for (alias, source) in model.object.root["shared_params"]?.entries(limit: Self.maximumParameters) ?? [] {
      if let alias = alias.text, let source = source.text, var plan = known[source] {
        plan.name = alias
        plans.append(plan)
      }
    }
    return plans
  }

  // MARK: - Files

  private struct File {
    let path: RelativePath
    let file: OpenFile
    let object: TorchObject
  }

  /// What one process has of the parameters: groups of numbers.
  private struct Partition {
    let stage: Int
    let groups: [Stretches]
    let count: Int
  }

  private var shown: String { directory?.display ?? "the checkpoint" }

  /// The files whose names fit, in the order of their processes.
  private func files(_ fits: (String) -> Bool) throws -> [File] {
    let found = names.filter(fits)
    if let other = found.first(where: {
      !$0.contains("mp_rank_00_") || $0.contains("expp_rank") || $0.contains("expert_")
    }) {
      throw ExportError.broken(
        file: other, reason: "models that are cut by tensor or expert parallelism are not put together yet")
    }
    let sorted = found.map { (RankFile.rank(of: $0) ?? 0, $0) }.sorted { $0 < $1 }
    return try sorted.map { _, name in
      let path = try directory.map { try $0.appending(name.utf8) } ?? RelativePath(name)
      let file = try checkpoint.tree.root.open(path)
      let object = try TorchObject(reading: file)
      guard !object.isBigEndian else {
        throw ExportError.broken(file: path.display, reason: "its numbers have their highest byte first")
      }
      return File(path: path, file: file, object: object)
    }
  }

  private func partitions() throws -> [Partition] {
    let partitions = try files { $0.hasSuffix("_optim_states.pt") }.map(partition)
    // Each process tells how many there are.
    guard let first = partitions.first,
      partitions.allSatisfy({ $0.count == partitions.count && $0.stage == first.stage })
    else {
      let expected = partitions.first?.count ?? 0
      throw ExportError.broken(
        file: shown, reason: "it has the partitions of \(partitions.count) processes, not of \(expected)")
    }
    return partitions
  }

  private func partition(_ file: File) throws -> Partition {
    let state = file.object.root["optimizer_state_dict"]
    guard let stage = state?["zero_stage"].flatMap({ $0.integer ?? $0.arguments.first?.integer }),
      let counts = state?["partition_count"]?.wholeNumbers, let count = counts.max()
    else { throw ExportError.broken(file: file.path.display, reason: "it holds no partition of ZeRO") }
    let groups = state?[stage == 3 ? "fp32_flat_groups" : "single_partition_of_fp32_groups"]?.elements ?? []
    return Partition(stage: stage, groups: try groups.map { try stretches($0, file) }, count: count)
  }

  private func stretches(_ value: Pickle.Value, _ file: File) throws -> Stretches {
    guard let tensor = TorchTensor(value), tensor.dtype == "F32", tensor.isContiguous,
      let range = try file.object.range(of: tensor.storage, in: file.file), range.count >= tensor.storageSize
    else {
      throw ExportError.broken(file: file.path.display, reason: "its flat parameters are not as expected")
    }
    return Stretches([
      .init(file: file.path, offset: range.lowerBound + tensor.offset * tensor.itemSize, count: tensor.count)
    ])
  }

  // MARK: - Tensors

  private func parameters(_ model: Pickle.Value, _ partitions: [Partition], _ stage: Int) throws
    -> [TensorPlan]
  {
    let groups = try groups(of: model)
    guard let count = product([groups.reduce(0) { $0 + $1.count }, partitions.count]), count <= mostPieces
    else { throw ExportError.broken(file: shown, reason: "its parameters have too many pieces") }
    if stage == 3 {
      let rows = partitions.map { Stretches($0.groups.flatMap(\.all)) }
      var position = 0
      let plans = try groups.flatMap { $0 }.map { name, shape in
        try dealt(name, shape, rows, &position)
      }
      guard rows.allSatisfy({ $0.count == position }) else { throw unused }
      return plans
    }
    guard groups.count == partitions[0].groups.count else {
      throw ExportError.broken(
        file: shown, reason: "its groups of parameters are not those of its partitions")
    }
    return try groups.indices.flatMap { index in
      guard partitions.allSatisfy({ $0.groups.count == groups.count }) else {
        throw ExportError.broken(file: shown, reason: "its partitions have different groups")
      }
      let row = Stretches(partitions.flatMap { $0.groups[index].all })
      var position = 0
      let plans = try groups[index].map { name, shape in
        defer { position += shape.reduce(1, *) }
        return try TensorPlan(
          name: name, dtype: "F32", shape: shape, isFlat: true,
          pieces: row.pieces(position, count: shape.reduce(1, *), at: 0))
      }
      // A row is padded to a multiple of twice the processes.
      guard row.count >= position, row.count - position < 2 * partitions.count else { throw unused }
      return plans
    }
  }

  private var unused: ExportError {
    .broken(file: shown, reason: "its partitions do not hold the parameters that it names, and these alone")
  }

  private static let maximumParameters = 1_000_000

  /// The names and shapes of the parameters by groups; at least one, and all together of a size that a disk may have.
  private func groups(of model: Pickle.Value) throws -> [[(name: String, shape: [Int])]] {
    var room = 1 << 50
    var count = 0
    let groups = try (model["param_shapes"]?.elements(limit: 4096) ?? []).map { value in
      let group = try shapes(value)
      count += group.count
      for (_, shape) in group { room -= shape.reduce(1, *) }
      guard room > 0, count <= Self.maximumParameters else {
        throw ExportError.broken(file: shown, reason: "its parameters are larger than any disk")
      }
      return group
    }
    guard count > 0 else {
      throw ExportError.broken(file: shown, reason: "the shapes of its parameters are missing")
    }
    return groups
  }

  /// A parameter of which every process has a stretch, from `position` of its row on, which moves to its end.
  private func dealt(
    _ name: String, _ shape: [Int], _ rows: [Stretches], _ position: inout Int
  ) throws -> TensorPlan {
    let count = shape.reduce(1, *)
    let share = (count + rows.count - 1) / rows.count
    let pieces = rows.enumerated().flatMap { rank, row in
      let first = min(count, rank * share)
      return row.pieces(position, count: min(count, first + share) - first, at: first)
    }
    position += share
    return try TensorPlan(name: name, dtype: "F32", shape: shape, isFlat: true, pieces: pieces)
  }

  private func buffers(_ model: File) throws -> [TensorPlan] {
    let names = Set((model.object.root["buffer_names"]?.elements ?? []).compactMap(\.text))
    guard !names.isEmpty else { return [] }
    return try (model.object.root["module"]?.entries ?? []).compactMap { key, value in
      guard let name = key.text, names.contains(name) else { return nil }
      guard let tensor = TorchTensor(value) else {
        throw ExportError.unsupported(tensor: name, reason: "it is no plain tensor")
      }
      return try WeightFiles.plan(name, tensor, model.object, model.file, model.path)
    }
  }

  /// Parameters that were not trained: whole in stages 1 and 2, in stage 3 dealt out like the others.
  private func frozen(_ models: [File]) throws -> [TensorPlan] {
    guard
      let shapes = models.first?.object.root["frozen_param_shapes"]?.entries(limit: Self.maximumParameters)
    else { return [] }
    let named = models.map { file in
      let entries = file.object.root["frozen_param_fragments"]?.entries(limit: Self.maximumParameters) ?? []
      return Dictionary(
        entries.compactMap { key, value in key.text.map { ($0, value) } }, uniquingKeysWith: { $1 })
    }
    return try shapes.compactMap { key, value in
      guard let name = key.text, let shape = value.size else { return nil }
      let fragments = try zip(models, named).map { file, named in
        guard let tensor = named[name].flatMap(TorchTensor.init), tensor.isContiguous,
          let range = try file.object.range(of: tensor.storage, in: file.file),
          range.count >= tensor.storageSize
        else { throw ExportError.notCovered(tensor: name) }
        return (file.path, range.lowerBound + tensor.offset * tensor.itemSize, tensor)
      }
      guard fragments.allSatisfy({ $0.2.dtype == fragments[0].2.dtype }) else {
        throw ExportError.unsupported(tensor: name, reason: "its parts are of different types")
      }
      let count = shape.reduce(1, *)
      let share = (count + fragments.count - 1) / fragments.count
      let pieces = fragments.enumerated().map { rank, fragment in
        let first = min(count, rank * share)
        return TensorPlan.Piece(
          file: fragment.0, offset: fragment.1,
          shape: [min(min(count, first + share) - first, fragment.2.count)],
          strides: [1], origin: [first])
      }
      return try TensorPlan(
        name: name, dtype: fragments[0].2.dtype, shape: shape, isFlat: true, pieces: pieces)
    }
  }

  private func shapes(_ group: Pickle.Value) throws -> [(name: String, shape: [Int])] {
    try (group.entries(limit: Self.maximumParameters) ?? []).map { key, value in
      guard let name = key.text, let shape = value.size else {
        throw ExportError.broken(file: shown, reason: "the shapes of its parameters cannot be read")
      }
      return (name, shape)
    }
  }
}

/// Numbers that stand in several files and count as one row.
private struct Stretches {
  struct Stretch {
    let file: RelativePath
    /// In bytes from the start of the file.
    let offset: Int
    /// In elements of four bytes.
    let count: Int
  }
  let all: [Stretch]
  /// Where each stretch begins in the row, in elements.
  private let starts: [Int]
  /// The elements of the row.
  let count: Int

  init(_ all: [Stretch]) {
    self.all = all
    var sum = 0
    starts = all.map { stretch in
      defer { sum += stretch.count }
      return sum
    }
    count = sum
  }

  /// The pieces of `count` elements from `start` of the row on, which go to `origin` of a tensor and on; fewer where the row ends.
  func pieces(_ start: Int, count: Int, at origin: Int) -> [TensorPlan.Piece] {
    zip(all, starts).compactMap { stretch, first in
      let from = max(start, first)
      let to = min(start + count, first + stretch.count)
      guard from < to else { return nil }
      return TensorPlan.Piece(
        file: stretch.file, offset: stretch.offset + (from - first) * 4, shape: [to - from], strides: [1],
        origin: [origin + from - start])
    }
  }
}

extension Pickle.Value {
  /// A `torch.Size`, or a plain tuple of sizes, whose product is a number; nil where it is none.
  fileprivate var size: [Int]? {
    guard let numbers = (callee == "torch.Size" ? arguments.first : self)?.wholeNumbers,
      let count = product(numbers),
      count <= 1 << 48
    else { return nil }
    return numbers
  }

  /// Whole numbers of a list, or the one that it is.
  fileprivate var wholeNumbers: [Int]? {
    if let integer { return [integer] }
    guard let elements else { return nil }
    let numbers = elements.compactMap(\.integer)
    return numbers.count == elements.count ? numbers : nil
  }
}
