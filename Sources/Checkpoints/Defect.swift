import Platform

/// Something in a checkpoint that keeps it from being whole: data; `sentence` is its words.
public struct Defect: Equatable, Sendable {
  /// The file it is about, below the checkpoint's root; nil where it is the checkpoint itself.
  public let file: RelativePath?
  /// What is wrong.
  public let kind: Kind

  /// The kinds of defects.
  public enum Kind: Equatable, Sendable {
    /// A torch file's zip directory is missing or wrong.
    case torch(TorchZipDefect)
    /// A torch file's pickle cannot be read, or the storages behind it are not whole.
    case pickle(PickleError)
    /// A file of another format is not whole; the operand is put behind a colon.
    case torn(reason: String)
    /// The file is one of a row of numbered ones, of which others are there.
    case gap
    /// The file is what a save records its end in, and records none.
    case notCommitted
    /// A safetensors file's header is missing or wrong, or its size is.
    case safetensors(SafetensorsDefect)
    /// The file has no bytes, but must have some.
    case empty
    /// The file begins with zeros where its format's first bytes should be; `size` is its length in bytes.
    case zeros(size: Int)
    /// The file should be JSON; `offset` is where reading ended, `size` the file's length, both in bytes.
    case json(reason: String, offset: Int, size: Int)
    /// The file cannot be read; the operand is the system's words.
    case unreadable(String)
    /// The file disappeared while the checkpoint was read.
    case vanished
    /// The file is a shard of the weights, named by `index` or by the other shards' own names, and is not there.
    case shardMissing(index: String?)
    /// The weights are in `shards` pieces, but the index of which tensor is where is not there.
    case indexMissing(shards: Int)
    /// The index says that this shard holds tensors that it lacks: how many, and one of them.
    case tensorsMissing(count: Int, example: String)
    /// The file is a link to a place outside the checkpoint, so that its bytes are not backed up.
    case linkedOutside(target: String)
    /// The file or directory has the name that a framework gives while it is still writing.
    case staging
    /// The file is written last and is not there, although what is written before it is.
    case unfinished
    /// There is training state, but no file with the model's or the adapter's weights.
    case noWeights(adapter: Bool)
    /// The random state of one process, of at least `processes`, is not there.
    case randomStateMissing(processes: Int)
    /// The directory is named after another step than the training state records.
    case stepMismatch(named: Int, recorded: Int)
    /// The file describes the others and cannot be read.
    case description(reason: String)
    /// Another file says that this one has `expected` bytes; it has `size`.
    case wrongSize(expected: Int, size: Int)
    /// One of `count` files that the processes of a training wrote is not there.
    case rankFileMissing(count: Int)
    /// The file has less than half of the `usual` size of its like, in bytes.
    case shortRankFile(size: Int, usual: Int)
    /// The file names the newest checkpoint, which is not there.
    case danglingMarker(target: String)
  }

  /// Whether something is only not there. Where many machines hold one checkpoint together, it may be on another one.
  public var isAbsence: Bool {
    switch kind {
    case .shardMissing, .indexMissing, .gap, .unfinished, .noWeights, .randomStateMissing, .rankFileMissing:
      true
    default: false
    }
  }

  init(_ file: RelativePath?, _ kind: Kind) {
    self.file = file
    self.kind = kind
  }
}

extension Defect {
  /// One sentence for people.
  public var sentence: String {
    let name = file?.display ?? "the checkpoint"
    switch kind {
    case .torch(let defect): return "\(name) is torn: \(defect.words)."
    case .pickle(let error):
      return error.isCut
        ? "\(name) is torn: \(error.reason)."
        : "\(name) is damaged: \(error.reason) (at byte \(error.offset))."
    case .torn(let reason): return "\(name) is torn: \(reason)."
    case .gap: return "\(name) is missing: others of its row are there."
    case .notCommitted: return "\(name) records no end of the save: it did not finish."
    case .safetensors(let defect): return "\(name) is torn: \(defect.words)."
    case .empty: return "\(name) is empty."
    case .zeros(let size): return "\(name) begins with zeros: its \(displaySize(size)) were never written."
    case .json(let reason, let offset, let size):
      return offset >= size
        ? "\(name) is torn: its JSON ends too early, after \(displaySize(size))."
        : "\(name) is damaged: it is not JSON at byte \(offset) (\(reason))."
    case .unreadable(let reason): return "\(name) cannot be read: \(reason)."
    case .vanished: return "\(name) disappeared while the checkpoint was read: somebody is removing it."
    case .shardMissing(let index?): return "\(name) is missing: \(index) names it."
    case .shardMissing(nil): return "\(name) is missing: the other shards' names count it."
    case .indexMissing(let shards):
      return "\(name) is missing: without it nobody knows which tensor is in which of the \(shards) shards."
    case .tensorsMissing(let count, let example):
      return "\(name) lacks \(count == 1 ? "a tensor" : "\(count) tensors") that the index places there, "
        + "\(count == 1 ? "" : "among them ")\(escaped(example.utf8))."
    case .linkedOutside(let target):
      return "\(name) is a link to \(target), outside the checkpoint: only the link would be kept."
    case .staging: return "\(name) is the temporary name of a save that did not finish."
    case .unfinished: return "\(name) is missing: it is written last, so the save did not finish."
    case .noWeights(let adapter):
      return "\(name) holds no \(adapter ? "adapter" : "model") weights beside its training state."
    case .randomStateMissing(let processes):
      return "\(name) is missing: there were at least \(processes) processes, each with a random state."
    case .stepMismatch(let named, let recorded):
      return "\(name) records step \(recorded), but the directory is named after step \(named)."
    case .description(let reason): return "\(name) is damaged: \(reason)."
    case .wrongSize(let expected, let size):
      return "\(name) has \(size) bytes where .metadata counts \(expected): "
        + (size < expected ? "it is torn." : "it was saved over.")
    case .rankFileMissing(let count):
      return
        "\(name) is missing: the training's processes wrote \(count == 1 ? "one" : "\(count)") of its kind."
    case .shortRankFile(let size, let usual):
      return "\(name) has \(displaySize(size)), its like have \(displaySize(usual)): its save did not finish."
    case .danglingMarker(let target):
      return "\(name) names \(escaped(target.utf8)), which is not there."
    }
  }
}

extension TorchZipDefect {
  /// What is wrong, to be put behind a colon.
  var words: String {
    switch self {
    case .endMissing(let size): "its zip directory is missing (the file ends at \(displaySize(size)))"
    case .directory(let reason): reason
    case .localHeader(let entry): "its entry \(entry) is not where the zip directory says"
    case .overlap(let entry): "its entry \(entry) runs into what follows it"
    case .sum(let entry): "the bytes of its entry \(entry) do not match their CRC-32"
    }
  }
}

extension SafetensorsDefect {
  /// What is wrong, to be put behind a colon.
  var words: String {
    switch self {
    case .zeros: "it begins with zeros, so its header was never written"
    case .headerCut(let needed, let size):
      "its header of \(displaySize(needed)) is cut (the file ends at \(displaySize(size)))"
    case .headerTooLarge(let length): "its header claims \(length) bytes, more than the format allows"
    case .badHeader(let reason): "its header cannot be read: \(reason)"
    case .badTensor(let name): "the size of tensor \(escaped(name.utf8)) disagrees with its shape"
    case .gap(let tensor): "bytes before tensor \(escaped(tensor.utf8)) belong to no tensor"
    case .overlap(let tensor): "tensor \(escaped(tensor.utf8)) overlaps the one before it"
    case .truncated(let expected, let size):
      "it ends at \(displaySize(size)) of \(displaySize(expected))" + exact(size, expected)
    case .extraTail(let expected, let size): "\(size - expected) bytes follow its last tensor"
    }
  }

  /// The exact counts where the rounded ones look alike.
  private func exact(_ size: Int, _ expected: Int) -> String {
    displaySize(size) == displaySize(expected) ? " (\(size) of \(expected) bytes)" : ""
  }
}

/// A number of bytes for people, for example `1.2 GiB`.
func displaySize(_ bytes: Int) -> String {
  guard bytes >= 1024 else { return bytes == 1 ? "1 byte" : "\(bytes) bytes" }
  var value = Double(bytes)
  var unit = ""
  for name in ["KiB", "MiB", "GiB", "TiB", "PiB"] where value >= 1024 {
    value /= 1024
    unit = name
  }
  let tenths = Int((value * 10).rounded(.down))
  return "\(tenths / 10).\(tenths % 10) \(unit)"
}
