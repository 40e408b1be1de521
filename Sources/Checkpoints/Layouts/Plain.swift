/// Anything that no other layout knows: kept whole, judged only by its single files.
struct Plain: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool { true }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    Findings(layout: "plain", step: checkpoint.place.step)
  }
}
