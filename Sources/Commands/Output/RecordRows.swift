import Checkpoints
import Engine
import Platform

/// A name and what it has, for people.
typealias Row = (String, String)

extension RecordDocument {
  /// Where the snapshot came from.
  var originRows: [Row] {
    [
      ("path", provenance.path), ("host", provenance.host ?? ""),
      ("command", provenance.command.joined(separator: " ")), ("by", provenance.program),
    ].filter { !$0.1.isEmpty }
  }

  /// What was trained, from what and how.
  var trainingRows: [Row] {
    var rows: [Row] = []
    if let base { rows.append(("base model", base.words)) }
    if let processes { rows.append(("processes", processes)) }
    let settings = settings
    if !settings.isEmpty {
      rows.append(("settings", settings.map { "\($0.0) \($0.1)" }.joined(separator: ", ")))
    }
    let files = hyperparameters.keys.sorted()
    if !files.isEmpty { rows.append(("all settings", files.joined(separator: ", "))) }
    if let curve = lossCurve { rows.append(("loss curve", curve)) }
    return rows
  }

  /// What came out.
  var resultRows: [Row] {
    var rows: [Row] = []
    if let best {
      let step = best.step.map { " at step \($0)" } ?? ""
      let direction = best.greaterIsBetter.map { $0 ? ", larger is better" : ", smaller is better" } ?? ""
      rows.append(
        (
          "best so far",
          "\(best.metric ?? "metric") \(Quantity.format(metric: best.value))\(step)\(direction)"
        ))
    }
    let shown = metrics.filter { $0.key != "best_metric" }.sorted { $0.key < $1.key }
    for (name, value) in shown.prefix(12) { rows.append((name, Quantity.format(metric: value))) }
    if shown.count > 12 {
      rows.append(("", "and \(Quantity.count(shown.count - 12, "metric")) more (--json)"))
    }
    if !results.isEmpty { rows.append(("evaluations", results.keys.sorted().joined(separator: ", "))) }
    return rows
  }

  /// What the checkpoint holds and is good for.
  var contentRows: [Row] {
    var rows: [Row] = []
    if let use = use.flatMap(Findings.Use.init(rawValue:)) { rows.append(("use", use.words)) }
    let known = Findings.Part.allCases.compactMap { part in
      parts?[part.rawValue].map { "\(part.rawValue) (\(Quantity.count($0.count, "file")))" }
    }
    if !known.isEmpty { rows.append(("parts", known.joined(separator: ", "))) }
    if let modules, !modules.isEmpty {
      rows.append(("modules", modules.prefix(6).map(\.words).joined(separator: ", ")))
    }
    if let frozen, !frozen.modules.isEmpty {
      rows.append(
        (
          "frozen",
          "\(frozen.modules.map { escaped($0.utf8) }.joined(separator: ", ")) (the same as at step \(frozen.step))"
        ))
    }
    for notice in notices ?? [] { rows.append(("notice", notice)) }
    for remark in remarks.prefix(8) { rows.append(("remark", remark)) }
    if remarks.count > 8 {
      rows.append(("", "and \(Quantity.count(remarks.count - 8, "remark")) more (--json)"))
    }
    if !files.isEmpty { rows.append(("record", files.map(\.name).joined(separator: ", "))) }
    return rows
  }

  /// The code and the machine.
  var environmentRows: [Row] {
    var rows: [Row] = []
    if let code = environment?.code {
      let branch = code.branch.map { " on \($0)" } ?? ""
      let state = code.dirty == true ? ", with changes that are not committed" : ""
      rows.append(("code", "\(code.commit.prefix(12))\(branch)\(state), \(code.remote ?? code.directory)"))
    }
    if let devices = environment?.devices, !devices.isEmpty {
      rows.append(("accelerators", devices.map { "\($0.count) × \($0.name)" }.joined(separator: ", ")))
    }
    let all = (environment?.packages ?? [:]).merging(versions) { _, recorded in recorded }
    if !all.isEmpty {
      let words = all.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
      rows.append(("versions", words.joined(separator: ", ")))
    }
    let variables = (environment?.variables ?? [:]).sorted { $0.key < $1.key }
    if !variables.isEmpty {
      let words = variables.prefix(8).map { "\($0.key)=\($0.value)" } + (variables.count > 8 ? ["…"] : [])
      rows.append(("variables", words.joined(separator: " ")))
    }
    return rows
  }

  private var processes: String? {
    var words = worldSize.map { [String($0)] } ?? []
    let kinds = [
      ("data", parallelism?.data), ("tensor", parallelism?.tensor), ("pipeline", parallelism?.pipeline),
      ("expert", parallelism?.expert), ("ZeRO stage", parallelism?.zeroStage),
    ]
    words += kinds.compactMap { name, value in value.map { "\(name) \($0)" } }
    return words.isEmpty ? nil : words.joined(separator: ", ")
  }

  /// The settings that people ask for first, by the names that most frameworks give them.
  private static let firstSettings = [
    "learning_rate", "lr", "lr_scheduler_type", "warmup_ratio", "warmup_steps", "per_device_train_batch_size",
    "gradient_accumulation_steps", "num_train_epochs", "max_steps", "weight_decay", "optim", "max_length",
    "lora_rank", "lora_alpha", "dataset", "seed", "torch_dtype",
  ]

  private var settings: [(String, String)] {
    var found: [String: JSONValue] = [:]
    for (_, value) in hyperparameters.sorted(by: { $0.key < $1.key }) {
      for (name, leaf) in value.members ?? [:] where leaf != .null && leaf.members == nil {
        found[name] = found[name] ?? leaf
      }
    }
    return Self.firstSettings.compactMap { name in
      found[name].map { (name, String($0.words.prefix(60))) }
    }
  }

  /// The loss at a few steps, evenly spaced, the first and the last among them.
  private var lossCurve: String? {
    let names = ["loss", "train_loss"]
    var points =
      names.lazy.compactMap { curves?[$0] }.first?.compactMap { point in
        point.count == 2 ? (step: Int(exactly: point[0]), loss: point[1]) : nil
      } ?? []
    if points.isEmpty {
      points = trainingLog.compactMap { row in
        row["loss"]?.number.map { (step: row["step"]?.integer, loss: $0) }
      }
    }
    guard points.count > 1 else { return nil }
    let shown = min(points.count, 6)
    return (0..<shown).map { index in
      let point = points[index * (points.count - 1) / (shown - 1)]
      return Quantity.format(metric: point.loss) + (point.step.map { " (\($0))" } ?? "")
    }.joined(separator: ", ")
  }
}
