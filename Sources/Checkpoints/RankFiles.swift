import Platform

/// Tells which files of a checkpoint just one process of the training reads again.
public struct RankFiles: Sendable {
  /// Whether the model was cut too (tensor parallelism), so that DeepSpeed's partitions are numbered by another count than the
  /// processes.
  private let isModelCut: Bool

  /// Looks at the names of a checkpoint's files.
  public init(_ paths: some Sequence<RelativePath>) {
    isModelCut = paths.contains { path in
      let name = path.name
      return name.hasSuffix("_states.pt") && name.contains("mp_rank_") && !name.contains("mp_rank_00_")
    }
  }

  /// The process that a file belongs to, or nil where it is for all or that cannot be told.
  public func rank(of path: RelativePath) -> Int? {
    if isModelCut, path.name.contains("pp_rank_") { return nil }
    return RankFile.rank(of: path.name)
  }
}

/// What a file's name alone tells of its process.
enum RankFile {
  /// What stands before the process's number in a file's name: DeepSpeed's partitions (runtime/engine.py, `_get_zero_ckpt_name`), FSDP's
  /// local state and accelerate's random states (accelerate/utils/fsdp_utils.py, constants.py), the Trainer's random states.
  ///
  /// Not among them: `.distcp` files, since a tensor that all processes hold is written by one of them; Megatron's `mp_rank_…`, whose
  /// number is a place in the model and no process.
  private static let prefixes = [
    "bf16_zero_pp_rank_", "zero_pp_rank_", "pytorch_model_fsdp_rank", "random_states_", "rng_state_",
  ]

  /// The number of the process in a file's name; of DeepSpeed's files that among those that share a piece of the model.
  static func rank(of name: String) -> Int? {
    guard let prefix = prefixes.first(where: { name.hasPrefix($0) }) else { return nil }
    let digits = name.dropFirst(prefix.count).prefix { $0.isASCII && $0.isNumber }
    let rest = name.dropFirst(prefix.count + digits.count)
    guard rest.hasPrefix("_mp_rank_") || rest.hasPrefix(".") else { return nil }
    return Int(digits)
  }
}
