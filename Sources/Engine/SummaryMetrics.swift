import Repository

/// Which metrics stand in a marker. Some trainings log thousands, one for each task or parameter: the record has all of them, and a
/// marker, of which a listing reads thousands, those that people ask for.
struct SummaryMetrics {
  /// The bytes that metrics have in a marker, where those that were asked for do not take more: half of it, for some five thousand.
  private static let largest = 512 << 10

  /// What the marker gets.
  let chosen: [String: Double]
  /// How many more there are.
  let leftOut: Int

  /// Chooses those named in `asked`, then those with the shortest names: `loss` and `eval_loss` come before `eval_mmlu_abstract_algebra_loss`.
  init(of metrics: [String: Double], asked: Set<String> = []) {
    var room = Self.largest
    var chosen: [String: Double] = [:]
    let ordered = metrics.sorted {
      (asked.contains($0.key) ? 0 : 1, $0.key.utf8.count, $0.key)
        < (asked.contains($1.key) ? 0 : 1, $1.key.utf8.count, $1.key)
    }
    for (name, value) in ordered {
      room -= Self.size(of: name)
      guard room >= 0 || asked.contains(name) else { break }
      chosen[name] = value
    }
    self.chosen = chosen
    leftOut = metrics.count - chosen.count
  }

  /// Bytes of a metric as JSON on a line of its own; what is escaped takes up to six.
  private static func size(of name: String) -> Int {
    let plain = UInt8(ascii: " ")
    let escaped = name.utf8.reduce(0) {
      $0 + ($1 < plain || $1 == UInt8(ascii: "\"") || $1 == UInt8(ascii: "\\") ? 6 : 1)
    }
    return escaped + 40
  }
}
