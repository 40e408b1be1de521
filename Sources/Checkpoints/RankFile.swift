import Platform

/// Files that just one process of a training reads again.
public enum RankFile {
  /// What stands before the process's number in a file's name: DeepSpeed's partitions (runtime/engine.py, `_get_zero_ckpt_name`), FSDP's
  /// local state and accelerate's random states (accelerate/utils/fsdp_utils.py, constants.py), the Trainer's random states.
  ///
  /// Not among them: `.distcp` files, since a tensor that all processes hold is written by one of them; Megatron's `mp_rank_…`, whose
  /// number is a place in the model and no process.
  private static let prefixes = [
    "bf16_zero_pp_rank_", "zero_pp_rank_", "pytorch_model_fsdp_rank", "random_states_", "rng_state_",
  ]

  /// The process that a file belongs to by its name, or nil where it is for all.
  public static func rank(of path: RelativePath) -> Int? { rank(of: path.name) }

  /// The process that a file with this name belongs to.
  static func rank(of name: String) -> Int? {
    guard let prefix = prefixes.first(where: { name.hasPrefix($0) }) else { return nil }
    let digits = name.dropFirst(prefix.count).prefix { $0.isASCII && $0.isNumber }
    let rest = name.dropFirst(prefix.count + digits.count)
    guard rest.hasPrefix("_mp_rank_") || rest.hasPrefix(".") else { return nil }
    return Int(digits)
  }
}
