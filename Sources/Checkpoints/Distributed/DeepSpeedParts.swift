import Platform

/// The files that DeepSpeed wrote into one tag's directory, for example `global_step4`, and whether each process's are there.
///
/// Facts from deepspeed/runtime/engine.py (0.19.8): `save_checkpoint` writes `latest` without waiting for the other processes, so that
/// it proves nothing; `dp_world_size` × `mp_world_size` processes write one `…optim_states.pt` each, and in stage 3 one
/// `…model_states.pt` each, which is otherwise one a model place (`mp_rank_MM`).
struct DeepSpeedParts {
  let directory: RelativePath?
  /// The file with the training's settings, and what it holds; nil where there is none that can be read.
  private(set) var settings: (path: RelativePath, value: Pickle.Value)?
  private let reader: CheckpointReader
  private let files: [RelativePath]
  private let optimizer: [RankedName]
  private let model: [RankedName]

  init(_ reader: CheckpointReader, in directory: RelativePath?) {
    self.reader = reader
    self.directory = directory
    files = reader.children(of: directory).filter { $0.file != nil }.map(\.path)
    optimizer = files.compactMap { RankedName($0.name, ending: "optim_states.pt") }
    model = files.compactMap { RankedName($0.name, ending: "model_states.pt") }
    for name in model.prefix(4).map(\.text) where settings == nil {
      let path = reader.path(name, in: directory)
      if let value = reader.savedObject(path), value.entries != nil { settings = (path, value) }
    }
  }

  /// Whether a directory holds DeepSpeed's files.
  static func isThere(_ reader: CheckpointReader, in directory: RelativePath?) -> Bool {
    reader.children(of: directory).contains {
      RankedName($0.path.name, ending: "model_states.pt") != nil
        || RankedName($0.path.name, ending: "optim_states.pt") != nil
    }
  }

  /// Whether it was converted for any number of processes (deepspeed/checkpoint/ds_to_universal.py).
  var isUniversal: Bool { !reader.children(of: reader.path("zero", in: directory)).isEmpty }

  /// The training step.
  var step: Int? { count("global_steps", in: Place.steps) }
  /// ZeRO's stage by the settings, else 3 where each process has a model file.
  var stage: Int? {
    settings?.value["ds_config"]?["zero_optimization"]?["stage"]?.integer.flatMap {
      (0...3).contains($0) ? $0 : nil
    }
      ?? (model.contains { $0.data != nil } ? 3 : nil)
  }
  private var data: Int? { count("dp_world_size", in: Self.processes) }
  private var places: Int? { count("mp_world_size", in: Self.processes) }
  /// Larger counts are no training's.
  private static let processes = 1...1 << 20

  private func count(_ name: String, in range: ClosedRange<Int>) -> Int? {
    settings?.value[name]?.integer.flatMap { range.contains($0) ? $0 : nil }
  }

  var parallelism: Findings.Parallelism {
    var result = Findings.Parallelism()
    let degrees = settings?.value["checkpoint_parallel_dimensions"]
    result.data = data
    result.tensor = degrees?["tp_degree"]?.integer ?? (places == 1 ? 1 : nil)
    result.pipeline = degrees?["pp_degree"]?.integer ?? (places == 1 ? 1 : nil)
    if let data, let places { result.world = data * places }
    result.world = result.world ?? optimizer.compactMap(\.data).max().map { ($0 + 1) * placesByName }
    result.zeroStage = stage
    return result
  }

  private var placesByName: Int { ((optimizer + model).map(\.place).max() ?? 0) + 1 }

  /// Adds what this directory tells.
  func add(to findings: inout Findings) {
    let optimizerFiles = files.filter { $0.name.hasSuffix("optim_states.pt") }
    let modelFiles = files.filter { $0.name.hasSuffix("model_states.pt") }
    findings.add(.weights, modelFiles)
    if stage == 3 { findings.add(.weights, optimizerFiles) }
    findings.add(.optimizer, optimizerFiles)
    if isUniversal { addUniversal(to: &findings) }
    guard let (path, value) = settings else { return }
    if value["optimizer"].map({ !$0.isNone }) ?? false { findings.add(.optimizer, modelFiles) }
    if value["lr_scheduler"].map({ !$0.isNone }) ?? false { findings.add(.schedule, [path]) }
    if step != nil { findings.add(.progress, [path]) }
    if value.entries?.contains(where: { $0.key.text?.contains("rng") ?? false }) ?? false {
      findings.add(.random, [path])
    }
    if let settings = value["ds_config"] {
      findings.add(.configuration, [path])
      findings.hyperparameters[path.display] = settings.json
    }
    findings.versions["deepspeed"] = value["ds_version"]?.text
    for (key, value) in value.entries ?? [] {
      if let name = key.text, Self.isMetric(name), let number = value.number {
        findings.metrics[name] = number
      }
    }
  }

  /// Whether the user's own value of this name is a measure of the training.
  private static func isMetric(_ name: String) -> Bool {
    ["epoch", "loss", "learning_rate"].contains(name) || name.hasSuffix("_loss")
      || ["best_", "eval_", "val_"].contains(where: name.hasPrefix)
  }

  private func addUniversal(to findings: inout Findings) {
    let zero = reader.path("zero", in: directory)
    let states = reader.children(of: zero).flatMap { reader.children(of: $0.path) }.map(\.path)
    findings.add(.weights, states.filter { $0.name == "fp32.pt" })
    findings.add(.optimizer, states.filter { $0.name.hasPrefix("exp_avg") })
  }

  /// What is missing or too short.
  func defects() -> [Defect] {
    if isUniversal { return universalDefects() }
    let modules = DeepSpeedModules(
      reader: reader, directory: directory, names: files.map(\.name), places: places ?? placesByName)
    return optimizerDefects() + modelDefects() + shortDefects()
      + (settings.map { modules.defects($0.value) } ?? [])
  }

  private func universalDefects() -> [Defect] {
    let zero = reader.path("zero", in: directory)
    let directories = reader.children(of: zero).filter {
      if case .directory = $0.kind { true } else { false }
    }
    return directories.map { reader.path("fp32.pt", in: $0.path) }.filter { !reader.has($0) }.prefix(16).map {
      Defect($0, .rankFileMissing(count: directories.count))
    }
  }

  private func optimizerDefects() -> [Defect] {
    guard !optimizer.isEmpty || (stage ?? 0) > 0 else { return [] }
    // MiCS keeps the states of one group of processes (runtime/zero/mics.py).
    let group = settings?.value["ds_config"]?["zero_optimization"]?["mics_shard_size"]?.integer ?? 0
    let ranks = data ?? (optimizer.compactMap(\.data).max() ?? 0) + 1
    let isBF16 = settings?.value["ds_config"]?["bf16"]?["enabled"]?.bool ?? false
    let prefix = optimizer.first?.prefix ?? (isBF16 ? "bf16_" : "")
    return missing(optimizer, ranks: group > 0 ? min(group, ranks) : ranks) {
      "\(prefix)zero_pp_rank_\($0)_mp_rank_\(padded($1, 2))_optim_states.pt"
    }
  }

  private func modelDefects() -> [Defect] {
    guard stage == 3 else {
      return missing(model, ranks: 1) { "mp_rank_\(padded($1, 2))_model_states.pt" }
    }
    let group = settings?.value["ds_config"]?["zero_optimization"]?["mics_shard_size"]?.integer ?? 0
    let ranks = data ?? (model + optimizer).compactMap(\.data).max().map { $0 + 1 } ?? 1
    return missing(model, ranks: group > 0 ? min(group, ranks) : ranks) {
      "zero_pp_rank_\($0)_mp_rank_\(padded($1, 2))_model_states.pt"
    }
  }

  /// At most 16 of the files that should be there.
  private func missing(_ there: [RankedName], ranks: Int, name: (Int, Int) -> String) -> [Defect] {
    let known = Set(there.map { Spot(data: $0.data ?? 0, place: $0.place) })
    let places = places ?? placesByName
    var defects: [Defect] = []
    for place in 0..<places {
      for rank in 0..<ranks where !known.contains(Spot(data: rank, place: place)) {
        defects.append(
          Defect(reader.path(name(rank, place), in: directory), .rankFileMissing(count: ranks * places)))
        if defects.count == 16 { return defects }
      }
    }
    return defects
  }

  private struct Spot: Hashable {
    let data: Int
    let place: Int
  }

  /// The partitions of one place in the model have the same length, so one that is much shorter was cut.
  private func shortDefects() -> [Defect] {
    var defects: [Defect] = []
    let groups = Dictionary(grouping: optimizer.filter { $0.data != nil }, by: \.place)
    for (_, peers) in groups.sorted(by: { $0.key < $1.key }) {
      var sizes: [(path: RelativePath, size: Int)] = []
      for peer in peers {
        let path = reader.path(peer.text, in: directory)
        if let size = reader.tree.entry(path)?.file?.size { sizes.append((path, size)) }
      }
      guard !sizes.isEmpty else { continue }
      let usual = sizes.map(\.size).sorted()[sizes.count / 2]
      // A file that is torn by its own format is told already.
      for (path, size) in sizes where size > 0 && size < usual / 2 && reader.savedObject(path) != nil {
        defects.append(Defect(path, .shortRankFile(size: size, usual: usual)))
      }
    }
    return defects
  }
}

/// A name that tells its process's place: `[bf16_]zero_pp_rank_K_mp_rank_MM_…` or `mp_rank_MM_…`.
private struct RankedName {
  let text: String
  /// `bf16_` or nothing.
  let prefix: String
  /// The process among those that share the data; nil where all have the file in common.
  let data: Int?
  /// The place in the model.
  let place: Int

  init?(_ name: String, ending: String) {
    guard name.hasSuffix(ending), name.count < 200 else { return nil }
    text = name
    prefix = name.hasPrefix("bf16_") ? "bf16_" : ""
    var rest = name.dropFirst(prefix.count)
    if rest.hasPrefix("zero_pp_rank_") {
      rest = rest.dropFirst("zero_pp_rank_".count)
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      guard let rank = Int(digits), rank < 1 << 20, rest.dropFirst(digits.count).hasPrefix("_mp_rank_") else {
        return nil
      }
      data = rank
      rest = rest.dropFirst(digits.count + 1)
    } else {
      data = nil
    }
    guard rest.hasPrefix("mp_rank_") else { return nil }
    let digits = rest.dropFirst("mp_rank_".count).prefix { $0.isASCII && $0.isNumber }
    guard let place = Int(digits), place < 1 << 16 else { return nil }
    // Early versions wrote no underscore before the ending.
    guard ["", "_"].contains(rest.dropFirst("mp_rank_".count + digits.count).dropLast(ending.count)) else {
      return nil
    }
    self.place = place
  }
}
