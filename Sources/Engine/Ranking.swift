import Repository

/// Which snapshots are better: by one metric, in one direction.
public struct Ranking: Equatable, Sendable {
  /// Whether small or large values are good.
  public enum Direction: String, Sendable {
    case min
    case max
  }

  /// The metric's name, or nil to take the first that the snapshots have of `usual`.
  public let metric: String?
  /// The direction, or nil to tell it by the metric's name.
  public let direction: Direction?

  /// Names whose small values are good, as parts of a metric's name.
  private static let smallIsGood = [
    "loss", "error", "perplexity", "ppl", "wer", "cer", "mae", "mse", "rmse", "fid",
  ]
  /// What is compared by where no metric is named, in this order.
  private static let usual = ["eval_loss", "val_loss", "best_val_loss", "loss"]

  /// A ranking by a metric, both parts optional.
  public init(metric: String? = nil, direction: Direction? = nil) {
    self.metric = metric
    self.direction = direction
  }

  /// Reads `NAME`, `NAME:min` or `NAME:max`; nil where the part after the colon is neither.
  public init?(_ text: some StringProtocol) {
    guard let colon = text.lastIndex(of: ":") else {
      self.init(metric: String(text))
      return
    }
    guard let direction = Direction(rawValue: String(text[text.index(after: colon)...])) else { return nil }
    let name = String(text[..<colon])
    self.init(metric: name.isEmpty ? nil : name, direction: direction)
  }

  /// The metric that `order` compares these snapshots by, with its direction; nil where they have none in common use.
  public func chosen(for snapshots: [Snapshot]) -> (metric: String, direction: Direction)? {
    let names = Set(snapshots.flatMap { $0.metrics.keys })

    guard let name = metric ?? Self.usual.first(where: names.contains) else { return nil }
    let small = Self.smallIsGood.contains { part in
      name.lowercased().split(whereSeparator: { !$0.isLetter }).contains { $0 == part }
    }
    return (name, direction ?? (small ? .min : .max))
  }

  /// The snapshots that have the metric, best first; equal ones newest first.
  public func order(_ snapshots: [Snapshot]) -> [Snapshot] {
    guard let (name, direction) = chosen(for: snapshots) else { return [] }
    let ranked = snapshots.compactMap { snapshot in
      snapshot.metrics[name].map { (value: $0, snapshot: snapshot) }
    }
    return ranked.sorted { a, b in
      if a.value != b.value { return direction == .min ? a.value < b.value : a.value > b.value }
      return SnapshotAddress.precedes(b.snapshot, a.snapshot)
    }.map(\.snapshot)
  }
}
