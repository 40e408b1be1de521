import Platform

/// `epoch=E-step=S.ckpt` of Lightning's ModelCheckpoint: one torch file, or a directory of them.
///
/// Facts from lightning/pytorch/trainer/connectors/checkpoint_connector.py and callbacks/model_checkpoint.py (2.6). Random states are not
/// saved; a save of weights alone has no `optimizer_states`.
struct Lightning: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    let files = TorchFile.files(checkpoint)
    return !files.isEmpty
      && files.allSatisfy { path in
        checkpoint.contents(path)?[Self.version] != nil || Self.isNamed(path.name)
      }
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    var findings = Findings(layout: "lightning")
    let files = TorchFile.files(checkpoint)
    var steps: Set<Int> = []
    for path in files {
      guard let root = checkpoint.contents(path) else { continue }
      if let step = root["global_step"]?.integer, Place.steps.contains(step) { steps.insert(step) }
      addParts(root, path, to: &findings)
      findings.versions["lightning"] = root[Self.version]?.text
      if let settings = root["hyper_parameters"] {
        findings.hyperparameters[path.display] = settings.json.masked
      }
      if files.count == 1 {
        findings.metrics["epoch"] = root["epoch"]?.number
        addBest(root, path, checkpoint, to: &findings)
      }
    }
    findings.step = (steps.count == 1 ? steps.first : nil) ?? checkpoint.place.step
    return findings
  }

  private static let version = "pytorch-lightning_version"

  /// Whether a name is one that ModelCheckpoint gives unless it is told another.
  private static func isNamed(_ name: String) -> Bool {
    name.hasPrefix("epoch=") && name.contains("-step=") && name.hasSuffix(".ckpt")
  }

  private func addParts(_ root: Pickle.Value, _ path: RelativePath, to findings: inout Findings) {
    if let weights = root["state_dict"], weights.entries?.isEmpty == false { findings.add(.weights, [path]) }
    if let states = root["optimizer_states"]?.elements {
      if !states.isEmpty { findings.add(.optimizer, [path]) }
      // A training without schedules has none to go on with.
      findings.add(.schedule, [path])
    }
    if root["loops"] != nil || root["global_step"] != nil { findings.add(.progress, [path]) }
    if root["hyper_parameters"] != nil { findings.add(.configuration, [path]) }
  }

  /// By the first ModelCheckpoint that watches a metric. Its key holds its settings as Python would write them.
  private func addBest(
    _ root: Pickle.Value, _ path: RelativePath, _ checkpoint: CheckpointReader, to findings: inout Findings
  ) {
    guard case .success(let object) = checkpoint.torch(path), let file = try? checkpoint.tree.root.open(path),
      let callbacks = root["callbacks"]?.entries
    else { return }
    for (key, state) in callbacks {
      guard let name = key.text, name.hasPrefix("ModelCheckpoint"), let monitor = state["monitor"]?.text,
        let value = state["best_model_score"].flatMap({ object.number($0, in: file) })
      else { continue }
      let best = state["best_model_path"]?.text.map { Place("/" + $0, isFile: true) }
      findings.best = BestMetric(
        name: monitor, value: value, step: best?.step,
        greaterIsBetter: name.contains("'mode': 'min'") ? false : name.contains("'mode': 'max'") ? true : nil)
      findings.metrics["best_metric"] = value
      findings.metrics[monitor] = state["current_score"].flatMap { object.number($0, in: file) }
      return
    }
  }
}
