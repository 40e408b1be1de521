import Platform

/// Something about a checkpoint that its owner should know although nothing is missing or torn: data; `sentence` is its words.
public struct Notice: Equatable, Sendable {
  /// The file it is about, below the checkpoint's root; nil where it is the checkpoint itself.
  public let file: RelativePath?
  /// What it says.
  public let kind: Kind

  /// The kinds of notices.
  public enum Kind: Equatable, Sendable {
    /// The adapter's base model is a path of the machine that trained it, without which the adapter is worthless.
    case localBaseModel(String)
    /// The adapter does not say what it belongs to.
    case noBaseModel
    /// What the files' bytes and times look like.
    case content(ContentNotice)
    /// The file that describes the others is too long to be read, so these were not checked; `size` is in bytes.
    case tooLongToCheck(size: Int)
    /// The file is newer, by so many seconds, than the one that is written last.
    case newerThanMarker(String, seconds: Int)
  }

  init(_ file: RelativePath?, _ kind: Kind) {
    self.file = file
    self.kind = kind
  }

  /// One sentence for people.
  public var sentence: String {
    let name = file?.display ?? "the checkpoint"
    switch kind {
    case .localBaseModel(let path):
      return
        "\(name) names its base model by a path, \(escaped(path.utf8)): without that model the adapter is worthless, "
        + "so keep it too."
    case .content(let content): return content.sentence(name)
    case .noBaseModel: return "\(name) does not name the base model: without it the adapter is worthless."
    case .tooLongToCheck(let size):
      return "\(name) has \(displaySize(size)), more than is read: the files that it names were not checked."
    case .newerThanMarker(let marker, let seconds):
      return
        "\(name) is \(seconds) seconds newer than \(marker), which is written last: either the files were copied, or a "
        + "save over the checkpoint did not finish."
    }
  }
}
