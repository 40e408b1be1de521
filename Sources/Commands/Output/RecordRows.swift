import Checkpoints
import Engine

extension RecordDocument {
  /// What `show` tells of a record: a name and a value each.
  var rows: [(String, String)] {
    var rows: [(String, String)] = []
    if let best {
      let step = best.step.map { " at step \($0)" } ?? ""
      rows.append(("best so far", "\(best.metric ?? "metric") \(Quantity.format(metric: best.value))\(step)"))
    }
    if let worldSize { rows.append(("processes", String(worldSize))) }
    if !versions.isEmpty {
      rows.append(
        (
          "versions",
          versions.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        ))
    }
    if let curve = lossCurve { rows.append(("loss curve", curve)) }
    if !files.isEmpty { rows.append(("record", files.map(\.name).joined(separator: ", "))) }
    for remark in remarks { rows.append(("remark", remark)) }
    return rows
  }

  /// The loss at a few steps of the log, evenly spaced, the first and the last among them.
  private var lossCurve: String? {
    let points = trainingLog.compactMap { row in
      row["loss"]?.number.map { (step: row["step"]?.integer, loss: $0) }
    }
    guard points.count > 1 else { return nil }
    let shown = min(points.count, 6)
    return (0..<shown).map { index in
      let point = points[index * (points.count - 1) / (shown - 1)]
      return Quantity.format(metric: point.loss) + (point.step.map { " (\($0))" } ?? "")
    }.joined(separator: ", ")
  }
}
