import Glibc
import Platform

/// Where a checkpoint lies, links resolved, and what its name and its directories' names tell.
public struct Place: Equatable, Sendable {
  /// The components of the real path, the checkpoint's own name last. Bytes that are not UTF-8 are replaced.
  public let components: [String]
  private let isFile: Bool

  /// The real place of `path`. Throws `SystemError` where it cannot be resolved.
  init(resolving path: String, isFile: Bool) throws(SystemError) {
    guard let resolved = realpath(path, nil) else { throw .last("open", path) }
    defer { free(resolved) }
    self.init(String(cString: resolved), isFile: isFile)
  }

  /// The place of an absolute path without links, which need not be there.
  package init(_ absolute: String, isFile: Bool) {
    components = PathText.components(absolute)
    self.isFile = isFile
  }

  /// The checkpoint's own name.
  public var name: String { components.last ?? "" }

  /// The own name, without its extension where it is a file.
  private var stem: String {
    guard isFile, let dot = name.lastIndex(of: "."), dot > name.startIndex else { return name }
    return String(name[..<dot])
  }

  /// The numbers that can be steps: at most 12 digits.
  static let steps = 0...999_999_999_999

  /// The step that the name ends in: `checkpoint-12`, `global_step4`, `iter_0001000`, `ckpt_step_000012.pt`, `epoch=1-step=8.ckpt`,
  /// or a name that is all digits. Nil where the number's word is none that counts steps, or it is none of `steps`.
  public var step: Int? {
    let digits = stem.reversed().prefix { $0.isASCII && $0.isNumber }
    guard let step = Int(String(digits.reversed())), Self.steps.contains(step) else { return nil }
    let word = stem.dropLast(digits.count).reversed().drop { "-_=. ".contains($0) }.prefix { $0.isLetter }
    let counted =
      word.isEmpty ? stem.count == digits.count : Self.words.contains(String(word.reversed()).lowercased())
    return counted ? step : nil
  }

  private static let words = [
    "checkpoint", "checkpoints", "ckpt", "step", "steps", "iter", "iters", "iteration", "iterations", "model",
    "it",
  ]

  /// The name of the run that people would give: the directory that holds `checkpoint-12` and its like, else the
  /// checkpoint's own name. At most 64 characters.
  ///
  /// `out/llama-sft/checkpoint-1000` gives `llama-sft`. ms-swift's level `v0-20261124-002320` only counts the runs of one output directory, so
  /// it is kept together with its parent; directories that are merely called `checkpoints` are passed over.
  public var run: String {
    var holders = components.dropLast()
    let collections = ["checkpoints", "checkpoint", "ckpts", "ckpt"]
    while let last = holders.last, collections.contains(last.lowercased()) { holders.removeLast() }
    guard step != nil || isStaging(name), let holder = holders.last else { return String(stem.prefix(64)) }
    guard Self.isSwiftVersion(holder), let parent = holders.dropLast().last else {
      return String(holder.prefix(64))
    }
    // The version is what tells runs apart, so a long parent gives way.
    return parent.prefix(max(1, 63 - holder.count)) + "-" + holder
  }

  /// Whether a name is `vN-YYYYMMDD-HHMMSS`.
  private static func isSwiftVersion(_ name: String) -> Bool {
    let parts = name.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    return parts.count == 3 && isNumbered(parts[0], "v") && parts[1].count == 8 && isNumbered(parts[1], "")
      && parts[2].count == 6 && isNumbered(parts[2], "")
  }
}
