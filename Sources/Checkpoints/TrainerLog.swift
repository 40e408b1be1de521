/// What `trainer_state.json` tells of a training's course.
package struct TrainerLog {
  /// The rows of `log_history`.
  package let rows: [JSONValue]
  private let state: JSONValue
  /// ms-swift's `args.json`, which names the metric that the state leaves out.
  private let arguments: JSONValue?

  package init(state: JSONValue, arguments: JSONValue?) {
    rows = state["log_history"]?.elements ?? []
    self.state = state
    self.arguments = arguments
  }

  /// The last training loss and learning rate, the last value of each `eval_…` (speeds left out), the epoch and the best metric.
  package var metrics: [String: Double] {
    var metrics: [String: Double] = [:]
    for row in rows {
      for (name, value) in row.members ?? [:] where Self.isMetric(name) { metrics[name] = value.number }
    }
    metrics["epoch"] = state["epoch"]?.number
    metrics["best_metric"] = state["best_metric"]?.number
    return metrics
  }

  private static func isMetric(_ name: String) -> Bool {
    name == "loss" || name == "learning_rate" || name == "grad_norm" || isEvaluation(name)
  }

  private static func isEvaluation(_ name: String) -> Bool {
    name.hasPrefix("eval_") && !["_runtime", "_per_second", "_time"].contains(where: name.hasSuffix)
  }

  /// The best metric, its name found as the evaluation whose value it is.
  package var best: BestMetric? {
    guard let value = state["best_metric"]?.number else { return nil }
    let name = namedMetric ?? foundName(of: value)
    let step = state["best_global_step"]?.integer ?? row(where: name, is: value)?["step"]?.integer
    return BestMetric(name: name, value: value, step: step, greaterIsBetter: direction(name, value))
  }

  private var namedMetric: String? {
    guard let name = arguments?["metric_for_best_model"]?.text, !name.isEmpty else { return nil }
    return name.hasPrefix("eval_") ? name : "eval_" + name
  }

  private func foundName(of value: Double) -> String? {
    // One pass: a log may have as many names as rows.
    var fitting: Set<String> = []
    for row in rows {
      for (name, found) in row.members ?? [:] where Self.isEvaluation(name) {
        if let number = found.number, Self.isSame(number, value) { fitting.insert(name) }
      }
    }
    return fitting.contains("eval_loss") ? "eval_loss" : fitting.min()
  }

  private func row(where name: String?, is value: Double) -> JSONValue? {
    guard let name else { return nil }
    return rows.first { row in row[name]?.number.map { Self.isSame($0, value) } == true }
  }

  /// ms-swift rounds to eight digits.
  private static func isSame(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-7 * max(1, abs(a)) }

  /// By the arguments, else by the name (a loss is to be small), else by what the best value is among all.
  private func direction(_ name: String?, _ best: Double) -> Bool? {
    if case .bool(let greater) = arguments?["greater_is_better"] { return greater }
    guard let name else { return nil }
    if name.contains("loss") || name.contains("perplexity") { return false }
    let values = rows.compactMap { $0[name]?.number }
    guard let least = values.min(), let most = values.max(), !Self.isSame(least, most) else { return nil }
    if Self.isSame(best, least) { return false }
    return Self.isSame(best, most) ? true : nil
  }
}
