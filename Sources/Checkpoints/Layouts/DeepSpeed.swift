import Platform

/// One tag's directory of DeepSpeed (`global_step4`), or the directory that holds several and `latest`.
struct DeepSpeed: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    guard !checkpoint.tree.isSingleFile else { return false }
    return DeepSpeedParts.isThere(checkpoint, in: nil) || !Self.tags(checkpoint).isEmpty
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    if DeepSpeedParts.isThere(checkpoint, in: nil) {
      return single(DeepSpeedParts(checkpoint, in: nil), checkpoint)
    }
    var findings = Findings(layout: "deepspeed_run")
    let marked = Self.marker(checkpoint).flatMap { try? RelativePath($0) }
    let all = Self.tags(checkpoint).map { DeepSpeedParts(checkpoint, in: $0) }
    for parts in all { findings.defects += parts.defects() }
    // What `latest` names goes on; else the one with the highest step.
    let newest = all.first { $0.directory == marked } ?? all.max { ($0.step ?? -1) < ($1.step ?? -1) }
    if let newest {
      newest.add(to: &findings)
      findings.step = newest.step ?? newest.directory.flatMap { Place("/" + $0.name, isFile: false).step }
      findings.parallelism = newest.parallelism
    }
    findings.defects += Self.markerDefects(checkpoint)
    return findings
  }

  private func single(_ parts: DeepSpeedParts, _ checkpoint: CheckpointReader) -> Findings {
    var findings = Findings(layout: parts.isUniversal ? "deepspeed_universal" : "deepspeed")
    parts.add(to: &findings)
    findings.step = parts.step ?? checkpoint.place.step
    findings.parallelism = parts.parallelism
    findings.defects = parts.defects()
    if let recorded = parts.step, let named = checkpoint.place.step, named != recorded,
      isNumbered(checkpoint.place.name, "global_step")
    {
      findings.defects.append(Defect(nil, .stepMismatch(named: named, recorded: recorded)))
    }
    return findings
  }

  /// The directories in the root that hold DeepSpeed's files.
  static func tags(_ checkpoint: CheckpointReader) -> [RelativePath] {
    checkpoint.topDirectories.compactMap { try? RelativePath($0) }.filter {
      DeepSpeedParts.isThere(checkpoint, in: $0)
    }
  }

  private static func marker(_ checkpoint: CheckpointReader) -> String? {
    (try? RelativePath("latest")).flatMap(checkpoint.line)
  }

  static func markerDefects(_ checkpoint: CheckpointReader) -> [Defect] {
    checkpoint.danglingMarker("latest") { $0 } + checkpoint.danglingMarker("latest_universal") { $0 }
  }
}
