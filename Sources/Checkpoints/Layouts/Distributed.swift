import Platform

/// A directory that PyTorch's distributed checkpointing (DCP) wrote: FSDP2, torchtitan and whatever else uses it.
struct Distributed: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    !checkpoint.tree.isSingleFile && DistributedParts.isThere(checkpoint, in: nil)
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    let parts = DistributedParts(checkpoint, in: nil)
    let recorded = parts.number(["step", "global_step", "iteration"]).flatMap { Int(exactly: $0) }
    var findings = Findings(
      layout: "dcp",
      step: checkpoint.place.step ?? recorded.flatMap { Place.steps.contains($0) ? $0 : nil })
    findings.metrics["epoch"] = parts.number(["epoch"])
    findings.parallelism.world = parts.processes
    for (part, files) in parts.parts() { findings.add(part, files) }
    findings.defects = parts.defects
    findings.notices = parts.notices
    return findings
  }
}
