/// A framework's way of laying out a checkpoint. Each layout is a file in `Layouts/` and an entry of `knownLayouts`.
protocol Layout: Sendable {
  /// Whether a checkpoint, whole or not, is of this layout. Cheap: names, and at most a few headers.
  func recognises(_ checkpoint: CheckpointReader) -> Bool
  /// What the layout knows of the checkpoint. The files' own headers are checked elsewhere.
  func inspect(_ checkpoint: CheckpointReader) -> Findings
}

/// The layouts, the special before the general: the first that recognises a checkpoint has it.
let knownLayouts: [any Layout] = [
  Orbax(), Accelerate(), MSSwift(), HuggingFaceTrainer(), DeepSpeed(), Megatron(), Distributed(), Lightning(),
  TorchFile(), SavedModel(), TensorFlowCheckpoint(), Keras(), Plain(),
]
