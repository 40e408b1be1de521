import Platform

/// Where training is to go on, as far as that is known.
public struct TrainingPlace: Sendable {
  /// How many processes will train.
  public var worldSize: Int?
  /// Who says so: an option or a variable, to stand before "says".
  public var worldSizeSource = ""
  /// Versions by Python package.
  public var versions: [String: String] = [:]
  /// The git commit that is checked out here.
  public var commit: String?
  /// What this machine has.
  public var device: TrainingFacts.Device?
  /// Whether there is something at a path.
  public var exists: @Sendable (String) -> Bool = { _ in true }

  /// Nothing known.
  public init() {}
}

/// Something that will keep a training from going on as it was, with what to do.
public enum FitWarning: Equatable, Sendable {
  /// The snapshot has no record, so that nothing is known.
  case noRecord
  /// A prune let go what only training needs.
  case thinned
  /// DeepSpeed's ZeRO loads only with as many data-parallel processes as saved it.
  case zero(saved: Int, here: Int, source: String)
  /// Megatron's older format is cut by tensor and pipeline, and the processes cannot be dealt so.
  case megatron(tensor: Int, pipeline: Int, here: Int, source: String)
  /// Sharded FSDP loads with any number of processes, but not everywhere.
  case sharded(saved: Int, here: Int, source: String)
  /// The number of processes changes, which the format does not mind.
  case worldSize(saved: Int, here: Int, source: String)
  /// A package has another major version here, or is older than the one that wrote an early (0.x) format.
  case version(package: String, saved: String, here: String)
  /// Other code is checked out here.
  case commit(saved: String, here: String)
  /// Processors of another kind.
  case device(saved: TrainingFacts.Device, here: TrainingFacts.Device)
  /// The model that an adapter belongs to was at a path that is not here.
  case baseModel(path: String)

  /// What will not fit, of the facts and the part of a snapshot that is wanted; nothing of what is unknown on either side.
  public static func all(
    of facts: TrainingFacts, in place: TrainingPlace, part: Selection.Part
  ) -> [FitWarning] {
    guard part != .record else { return [] }
    var warnings: [FitWarning] = []
    if part != .weights, let warning = processes(facts, place) { warnings.append(warning) }
    for package in packages {
      if let saved = facts.versions[package], let here = place.versions[package], differs(saved, here) {
        warnings.append(.version(package: package, saved: saved, here: here))
      }
    }
    if part != .weights, let saved = facts.commit, let here = place.commit, isOther(saved, here) {
      warnings.append(.commit(saved: saved, here: here))
    }
    if let saved = facts.device, let here = place.device, saved != here {
      warnings.append(.device(saved: saved, here: here))
    }
    // A name such as org/model is looked up by the loader; only what is written as a path must be here.
    if let base = facts.baseModel, ["/", "./", "../", "~"].contains(where: base.hasPrefix),
      !place.exists(base)
    {
      warnings.append(.baseModel(path: base))
    }
    return warnings
  }

  /// The packages whose formats a checkpoint depends on.
  public static let packages = ["torch", "transformers", "deepspeed", "peft"]

  private static func processes(_ facts: TrainingFacts, _ place: TrainingPlace) -> FitWarning? {
    guard let here = place.worldSize, !facts.layout.hasPrefix("hf_model") else { return nil }
    let (spread, source) = (facts.parallelism, place.worldSizeSource)
    let (tensor, pipeline) = (max(1, spread.tensor ?? 1), max(1, spread.pipeline ?? 1))
    let (cut, overflow) = tensor.multipliedReportingOverflow(by: pipeline)
    guard !overflow else { return nil }
    let layout = facts.layout.lowercased()
    if layout.contains("megatron"), !layout.contains("dist"), here % cut != 0 {
      return .megatron(tensor: tensor, pipeline: pipeline, here: here, source: source)
    }
    if layout.contains("deepspeed") || layout.contains("zero") || (spread.zeroStage ?? 0) > 0 {
      guard let saved = spread.data ?? spread.world.map({ $0 / cut }), saved > 0 else { return nil }
      // Without pipelines and tensor parallelism every process has other data.
      let (needed, isBeyond) = saved.multipliedReportingOverflow(by: cut)
      return !isBeyond && needed == here ? nil : .zero(saved: saved, here: here / cut, source: source)
    }
    guard let saved = spread.world, saved != here else { return nil }
    return layout.contains("fsdp") || layout.contains("dcp")
      ? .sharded(saved: saved, here: here, source: source)
      : .worldSize(saved: saved, here: here, source: source)
  }

  /// Whether majors differ. Below 1.0 formats change with the minor version, and an older program fails on a newer one's fields.
  private static func differs(_ saved: String, _ here: String) -> Bool {
    guard let (savedMajor, savedMinor) = numbers(saved), let (major, minor) = numbers(here) else {
      return false
    }
    return savedMajor != major || (major == 0 && minor < savedMinor)
  }

  private static func numbers(_ version: String) -> (Int, Int)? {
    let parts = version.split(separator: ".").prefix(2).map { Int($0.prefix { $0.isASCII && $0.isNumber }) }
    guard let major = parts.first ?? nil else { return nil }
    return (major, (parts.count > 1 ? parts[1] : nil) ?? 0)
  }

  /// Whether two commits differ, one of which may be shortened.
  private static func isOther(_ a: String, _ b: String) -> Bool {
    let (a, b) = (a.lowercased(), b.lowercased())
    return !a.isEmpty && !b.isEmpty && !a.hasPrefix(b) && !b.hasPrefix(a)
  }
}
