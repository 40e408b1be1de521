import Platform

/// The files that Megatron-LM wrote for one iteration, and whether they are whole.
///
/// Facts from megatron/training/checkpointing.py and megatron/core/dist_checkpointing (0.16.1). Distributed form: `common.pt`, the
/// files of DCP, then `metadata.json`. Older form: `mp_rank_TT[_PPP][_EEE]/model_optim_rng.pt`, with `distrib_optim.pt` beside it where
/// the optimizer is distributed; `_PPP` and `_EEE` stand only where there are several pipeline stages or groups of experts.
struct MegatronParts {
  private let reader: CheckpointReader
  private let directory: RelativePath?
  /// What the common file, or the first place's, holds.
  private let settings: (path: RelativePath, value: Pickle.Value)?
  /// The directories of the older form.
  private let places: [RelativePath]

  init(_ reader: CheckpointReader, in directory: RelativePath?) {
    self.reader = reader
    self.directory = directory
    places = Self.places(reader, directory)
    let files =
      [reader.path("common.pt", in: directory)] + places.prefix(4).map { reader.path(Self.model, in: $0) }
    settings = files.lazy.compactMap { path in reader.savedObject(path).map { (path, $0) } }.first
  }

  static func isThere(_ reader: CheckpointReader, in directory: RelativePath?) -> Bool {
    if !places(reader, directory).isEmpty { return true }
    let json = reader.path("metadata.json", in: directory)
    if case .value(let value) = reader.json(json), value["sharded_backend"] != nil { return true }
    return reader.has(reader.path("common.pt", in: directory))
      && DistributedParts.isThere(reader, in: directory)
  }

  private static func places(_ reader: CheckpointReader, _ directory: RelativePath?) -> [RelativePath] {
    reader.children(of: directory).map(\.path).filter { path in
      path.name.hasPrefix("mp_rank_") && reader.has(reader.path(model, in: path))
    }
  }

  private static let model = "model_optim_rng.pt"
  private static let optimizer = "distrib_optim.pt"

  var isDistributed: Bool { places.isEmpty }
  var step: Int? {
    let value = settings?.value["iteration"] ?? settings?.value["args"]?["iteration"]
    return value?.integer.flatMap { Place.steps.contains($0) ? $0 : nil }
  }

  private func size(_ name: String) -> Int? {
    settings?.value["args"]?[name]?.integer.flatMap { (1...1 << 20).contains($0) ? $0 : nil }
  }

  func add(to findings: inout Findings) {
    findings.parallelism.tensor = size("tensor_model_parallel_size")
    findings.parallelism.pipeline = size("pipeline_model_parallel_size")
    findings.parallelism.expert = size("expert_model_parallel_size")
    findings.parallelism.data = size("data_parallel_size")
    findings.parallelism.world = size("world_size")
    if let (path, value) = settings {
      if let arguments = value["args"] {
        findings.add(.configuration, [path])
        findings.hyperparameters[path.display] = arguments.json
      }
      if step != nil { findings.add(.progress, [path]) }
      if value["opt_param_scheduler"].map({ !$0.isNone }) ?? false { findings.add(.schedule, [path]) }
    }
    if isDistributed { addDistributed(to: &findings) } else { addPlaces(to: &findings) }
  }

  private func addDistributed(to findings: inout Findings) {
    let marker = reader.path("metadata.json", in: directory)
    var backend = "torch_dist"
    switch reader.json(marker) {
    case .missing: findings.defects.append(Defect(marker, .unfinished))
    case .defect(let kind): findings.defects.append(Defect(marker, kind))
    case .tooLong: break
    case .value(let value):
      backend = value["sharded_backend"]?.text ?? backend
      let common = reader.path("common.pt", in: directory)
      if value["common_backend"]?.text == "torch", !reader.has(common) {
        findings.defects.append(Defect(common, .shardMissing(index: "metadata.json")))
      }
    }
    guard backend != "zarr" else { return }
    let parts = DistributedParts(reader, in: directory)
    for (part, files) in parts.parts() { findings.add(part, files) }
    findings.parallelism.world = findings.parallelism.world ?? parts.processes
    findings.defects += parts.defects
    findings.notices += parts.notices
  }

  private func addPlaces(to findings: inout Findings) {
    let models = places.map { reader.path(Self.model, in: $0) }
    let optimizers = places.map { reader.path(Self.optimizer, in: $0) }
    findings.add(.weights, models)
    findings.add(.optimizer, optimizers.filter(reader.has))
    if let value = settings?.value {
      if value["optimizer"].map({ !$0.isNone }) ?? false { findings.add(.optimizer, models) }
      if value["rng_state"].map({ !$0.isNone }) ?? false { findings.add(.random, models) }
    }
    let hasOptimizers = optimizers.contains(where: reader.has)
    let expected = expectedPlaces()
    for name in expected {
      let place = reader.path(name, in: directory)
      for file in hasOptimizers ? [Self.model, Self.optimizer] : [Self.model] {
        let path = reader.path(file, in: place)
        guard !reader.has(path), findings.defects.count < 32 else { continue }
        findings.defects.append(Defect(path, .rankFileMissing(count: expected.count)))
      }
    }
  }

  /// The names of the places' directories, at most 65,536; those that are there where the settings cannot be read.
  private func expectedPlaces() -> [String] {
    guard let tensor = size("tensor_model_parallel_size"),
      let pipeline = size("pipeline_model_parallel_size"),
      case let expert = size("expert_model_parallel_size") ?? 1, tensor <= 1 << 16, pipeline <= 1 << 16,
      expert <= 1 << 16, tensor * pipeline * expert <= 1 << 16
    else { return places.map(\.name) }
    var names: [String] = []
    for t in 0..<tensor {
      for p in 0..<pipeline {
        for e in 0..<expert {
          names.append(
            "mp_rank_" + padded(t, 2) + (pipeline > 1 ? "_" + padded(p, 3) : "")
              + (expert > 1 ? "_" + padded(e, 3) : ""))
        }
      }
    }
    return names
  }
}
