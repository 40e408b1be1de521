/// A training's curves, gathered point by point, with bounded memory.
struct Curves {
  /// The most points of a curve that are given.
  static let maximumPoints = 1000
  /// The most curves that are given.
  static let maximumCurves = 64
  /// The most curves that are gathered, of which the most telling are given.
  private static let maximumGathered = 512
  /// The most points of a curve that are gathered before every second is given up.
  private static let maximumKept = 20_000

  /// Points behind this step belong to what was trained later, and stay out.
  let lastStep: Int?
  private var curves: [String: Curve] = [:]

  init(lastStep: Int?) { self.lastStep = lastStep }

  /// The curves that have a point.
  var names: Set<String> { Set(curves.keys) }

  /// Adds a point; what is added later for a step replaces what was there.
  mutating func add(_ name: String, _ step: Int, _ value: Double) {
    guard value.isFinite, !Self.places.contains(name), Place.steps.contains(step), step <= lastStep ?? .max
    else { return }
    guard curves[name] != nil || curves.count < Self.maximumGathered else { return }
    curves[name, default: Curve()].add(step, value, limit: Self.maximumKept)
  }

  /// Adds the numbers of a log's row, which has a member `step`.
  mutating func add(_ row: JSONValue) {
    guard let step = row["step"]?.integer, let members = row.members else { return }
    // In the order of their names, so that the same curves are chosen every time.
    for (name, value) in members.sorted(by: { $0.key < $1.key }) {
      if let number = value.number { add(name, step, number) }
    }
  }

  /// What tells a row's place and no result.
  private static let places: Set<String> = ["step", "epoch", "global_step", "iteration"]

  /// The points of each curve as step and value, in order of their steps: an even choice with the first and the last.
  var points: [String: [[Double]]] {
    let chosen = curves.keys.sorted { (Self.rank($0), $0) < (Self.rank($1), $1) }.prefix(Self.maximumCurves)
    return Dictionary(
      chosen.map { name in (name, curves[name]?.even(Self.maximumPoints) ?? []) },
      uniquingKeysWith: { first, _ in first })
  }

  /// Losses first, then the schedule, then evaluations, then others; speeds last.
  private static func rank(_ name: String) -> Int {
    if ["_runtime", "_per_second", "_time"].contains(where: name.hasSuffix) { return 4 }
    if name.contains("loss") { return 0 }
    if name == "learning_rate" || name == "grad_norm" || name == "lr" { return 1 }
    return name.hasPrefix("eval_") || name.hasPrefix("val") ? 2 : 3
  }
}

private struct Curve {
  private var points: [(step: Int, value: Double)] = []

  mutating func add(_ step: Int, _ value: Double, limit: Int) {
    points.append((step, value))
    guard points.count > limit else { return }
    let ordered = ordered
    points = ordered.enumerated().filter { $0.offset.isMultiple(of: 2) || $0.offset == ordered.count - 1 }
      .map(\.element)
  }

  /// The points by step, the last of those with one step.
  private var ordered: [(step: Int, value: Double)] {
    var latest: [Int: Double] = [:]
    for point in points { latest[point.step] = point.value }
    return latest.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  func even(_ most: Int) -> [[Double]] {
    let ordered = ordered
    let count = min(most, ordered.count)
    return (0..<count).map { index in
      let point = ordered[count < 2 ? 0 : index * (ordered.count - 1) / (count - 1)]
      return [Double(point.step), point.value]
    }
  }
}
