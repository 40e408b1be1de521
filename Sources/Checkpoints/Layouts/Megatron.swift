import Platform

/// `iter_0001000` of Megatron-LM, in the distributed form (`torch_dist`) or the older one with a directory a model place, or the
/// directory that holds several and the tracker.
struct Megatron: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    guard !checkpoint.tree.isSingleFile else { return false }
    return MegatronParts.isThere(checkpoint, in: nil) || !iterations(checkpoint).isEmpty
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    if MegatronParts.isThere(checkpoint, in: nil) {
      let parts = MegatronParts(checkpoint, in: nil)
      var findings = Findings(layout: parts.isDistributed ? "megatron_torch_dist" : "megatron_legacy")
      parts.add(to: &findings)
      findings.step = parts.step ?? checkpoint.place.step
      if let recorded = parts.step, let named = checkpoint.place.step, named != recorded,
        isNumbered(checkpoint.place.name, "iter_")
      {
        findings.defects.append(Defect(nil, .stepMismatch(named: named, recorded: recorded)))
      }
      return findings
    }
    var findings = Findings(layout: "megatron_run")
    let all = iterations(checkpoint).map { ($0, MegatronParts(checkpoint, in: $0)) }
    let marked = (try? RelativePath(Self.tracker)).flatMap(checkpoint.line).flatMap(Self.directory)
    let newest = all.first { $0.0.name == marked } ?? all.max { step($0) ?? -1 < step($1) ?? -1 }
    for (path, parts) in all where path != newest?.0 {
      var others = Findings(layout: "")
      parts.add(to: &others)
      findings.defects += others.defects
    }
    if let newest {
      newest.1.add(to: &findings)
      findings.step = step(newest)
    }
    findings.defects += checkpoint.danglingMarker(Self.tracker, target: Self.directory)
    return findings
  }

  private func step(_ iteration: (RelativePath, MegatronParts)) -> Int? {
    iteration.1.step ?? Place("/" + iteration.0.name, isFile: false).step
  }

  private static let tracker = "latest_checkpointed_iteration.txt"

  /// The directory that the tracker's text stands for (megatron/training/checkpointing.py, `get_checkpoint_name`).
  private static func directory(_ text: String) -> String? {
    if text == "release" { return text }
    guard let number = Int(text), number >= 0 else { return nil }
    return "iter_" + padded(number, 7)
  }

  private func iterations(_ checkpoint: CheckpointReader) -> [RelativePath] {
    checkpoint.topDirectories.filter { isNumbered($0, "iter_") || $0 == "release" }
      .compactMap { try? RelativePath($0) }.filter { MegatronParts.isThere(checkpoint, in: $0) }
  }
}

/// A number with zeros before it.
func padded(_ number: Int, _ width: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
