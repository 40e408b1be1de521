import Platform

/// What the bytes of a checkpoint's files look like, although nothing of it is proof of damage.
public enum ContentNotice: Equatable, Sendable {
  /// The file ends in so many bytes that the file system has no blocks for.
  case hole(bytes: Int)
  /// So many bytes at the end of a tensor, or of the last tensors of a file, are zeros.
  case zeroTail(bytes: Int, tensor: String)
  /// All of so many tensors of weights are zeros, as far as they were looked at.
  case allZero(tensors: Int, sampled: Bool)
  /// Of some of the tensors that were looked at every number that was read is NaN.
  case notANumber(tensors: Int, of: Int, example: String)
  /// So many numbers, in so many of the tensors that were read, are NaN.
  case holdsNaN(numbers: Int, tensors: Int, of: Int, example: String)

  /// One sentence; `name` is what it is about.
  func sentence(_ name: String) -> String {
    switch self {
    case .hole(let bytes):
      "the last \(displaySize(bytes)) of \(name) are a hole in the file, which reads as zeros: perhaps never written."
    case .zeroTail(let bytes, let tensor):
      "the last \(displaySize(bytes)) of \(name) up to the end of tensor \(escaped(tensor.utf8)) are zeros: perhaps never written."
    case .allZero(let tensors, let sampled):
      "\(name): all \(sampled ? "sampled " : "")weights are zeros (\(tensors) tensors)."
    case .notANumber(let tensors, let all, let example):
      "\(name): \(tensors) of \(all) sampled tensors are NaN throughout (for example \(escaped(example.utf8)))."
    case .holdsNaN(let numbers, let tensors, let all, let example):
      "\(name): \(numbers) numbers in \(tensors) of \(all) tensors are NaN (for example in \(escaped(example.utf8)))."
    }
  }
}
