/// What a file of a checkpoint is needed for: the one word of checkpoints that the repository's format knows too.
public enum FileClass: String, Codable, Sendable, CaseIterable {
  /// Needed for inference or fine-tuning, or of unknown use, so that thinning never loses it.
  case weights
  /// Needed only to go on training.
  case training
}
