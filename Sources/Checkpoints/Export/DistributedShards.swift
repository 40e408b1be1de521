import Platform

/// Puts together the weights of a model from the files of a PyTorch distributed checkpoint (FSDP2, torchtitan, Megatron-Core's `torch_dist`,
/// the directories that the Trainer and accelerate write for FSDP): what `dcp_to_torch_save` would load
/// (torch/distributed/checkpoint/format_utils.py, 2.13), without loading it.
struct DistributedShards {
  let checkpoint: CheckpointReader
  /// How many pieces the tensors may have together.
  var mostPieces = Int.max
  /// The directory that holds `.metadata`; nil is the root.
  private let directory: RelativePath?

  /// The shards in a checkpoint, or nil where there are none: those of the root, or of the first model in it.
  init?(_ checkpoint: CheckpointReader) {
    self.checkpoint = checkpoint
    let holders = checkpoint.tree.files.map(\.path).filter { $0.name == ".metadata" }.map(\.parent)
    let index =
      holders.firstIndex { $0 == nil }
      ?? holders.firstIndex { $0?.name.hasPrefix("pytorch_model_fsdp_") == true }
      ?? (holders.count == 1 ? 0 : nil)
    guard let index else { return nil }
    directory = holders[index]
  }

  /// The tensors of the model. Throws `ExportError`, `SystemError`, and what reading the metadata throws.
  func plans() throws -> [TensorPlan] {
    let path = checkpoint.path(".metadata", in: directory)
    let file = try checkpoint.tree.root.open(path)
    guard file.size <= DistributedCheckpoint.maximumMetadata else {
      throw ExportError.broken(file: path.display, reason: "it is larger than this program reads")
    }
    let metadata: DistributedCheckpoint
    do {
      metadata = try DistributedCheckpoint(metadata: file.bytes(at: 0, count: file.size))
    } catch { throw ExportError(reading: error, of: path.display) ?? error }
    var files: [RelativePath: OpenFile] = [:]
    let model = Self.model(metadata.tensors)
    guard model.reduce(0, { $0 + $1.tensor.chunks.count }) <= mostPieces else {
      throw ExportError.broken(file: path.display, reason: "its tensors have too many pieces")
    }
    return try model.map { name, tensor in
      try plan(name, tensor) { file in
        if let known = files[file] { return known }
        if files.count >= 64 { files.removeAll() }
        let opened = try checkpoint.tree.root.open(checkpoint.path(file, in: directory))
        files[file] = opened
        return opened
      }
    }
  }

  /// The tensors of the model alone under the names that they have in it: those that were saved under `model`, else all that belong to
  /// no other part.
  static func model(
    _ tensors: [DistributedCheckpoint.Tensor]
  ) -> [(name: String, tensor: DistributedCheckpoint.Tensor)] {
    for depth in 0...1 {
      let inner = tensors.filter { tensor in
        tensor.path.count > depth + 1
          && ["model", "model_state_dict", "state_dict", "module"].contains(tensor.path[depth])
      }
      if !inner.isEmpty { return inner.map { ($0.path.dropFirst(depth + 1).joined(separator: "."), $0) } }
    }
    return tensors.filter { DistributedParts.part($0.name) == nil }.map { ($0.name, $0) }
  }

  private func plan(
    _ name: String, _ tensor: DistributedCheckpoint.Tensor, open: (RelativePath) throws -> OpenFile
  ) throws -> TensorPlan {
    let pieces = try tensor.chunks.map { chunk in
      let place = chunk.place
      guard !place.isTransformed else {
        throw ExportError.unsupported(tensor: name, reason: "its bytes are compressed or changed otherwise")
      }
      let file = try open(place.file)
      // Each part is what torch.save writes of one tensor.
      let window = FileWindow(file, place.offset..<place.offset + place.length)
      let object = try TorchObject(reading: window)
      guard !object.isBigEndian, let stored = TorchTensor(object.root), stored.dtype == tensor.dtype,
        stored.shape == chunk.sizes,
        let range = try object.range(of: stored.storage, in: window), range.count >= stored.storageSize
      else {
        throw ExportError.broken(
          file: place.file.display,
          reason: "it does not hold the part of tensor \(escaped(name.utf8)) that it should")
      }
      return TensorPlan.Piece(
        file: checkpoint.path(place.file, in: directory),
        offset: place.offset + range.lowerBound + stored.offset * stored.itemSize, shape: stored.shape,
        strides: stored.strides, origin: chunk.offsets)
    }
    return try TensorPlan(name: name, dtype: tensor.dtype, shape: tensor.shape, pieces: pieces)
  }
}
