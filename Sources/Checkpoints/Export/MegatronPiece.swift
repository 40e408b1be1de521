import Platform

/// A piece of a Megatron model as the processes of tensor parallelism have it, each in a file of its own.
struct MegatronPiece {
  /// A file of one place in the model.
  struct File {
    let path: RelativePath
    let file: OpenFile
    let object: TorchObject
  }

  private let files: [File]
  private let tensors: [[String: TorchTensor]]
  private let sizes: MegatronCut.Sizes
  /// `checkpoint_version`.
  private let version: Double?

  /// The piece in the files of the processes, in their order. Throws `ExportError` where one holds other tensors than the others.
  init(
    files: [File], tensors: [[String: TorchTensor]], sizes: MegatronCut.Sizes, version: Double?
  ) throws(ExportError) {
    self.files = files
    self.tensors = tensors
    self.sizes = sizes
    self.version = version
    for (file, other) in zip(files, tensors) {
      let isAlike =
        other.count == tensors[0].count
        && other.allSatisfy { name, tensor in
          tensors[0][name].map { $0.dtype == tensor.dtype && $0.shape == tensor.shape } ?? false
        }
      guard isAlike else {
        throw .broken(file: file.path.display, reason: "it does not hold the tensors that its like hold")
      }
    }
  }

  /// The whole tensor of a name, which it gets a new one for. Throws `ExportError`, `SystemError` and what readers of torch files throw.
  func plan(_ name: String, named whole: String) throws -> TensorPlan {
    let parts = try zip(files, tensors).compactMap { file, tensors in
      try tensors[name].map { try WeightFiles.plan(name, $0, file.object, file.file, file.path) }
    }
    let cut = try MegatronCut(name, sizes, isGated: isGated(name), version: version)
    if cut.isWhole, !areSame(parts) {
      throw MegatronCut.unknown(name)
    }
    return try cut.join(parts, named: whole)
  }

  /// Whether the first half of a feed-forward layer has two matrices, by the number of columns of the second; nil where these do not tell.
  private func isGated(_ name: String) -> Bool? {
    for (first, second) in [("linear_fc1.", "linear_fc2."), ("dense_h_to_4h.", "dense_4h_to_h.")] {
      guard let range = name.firstRange(of: first), let rows = tensors[0][name]?.shape.first,
        let columns = tensors[0][name[..<range.lowerBound] + second + "weight"]?.shape.last
      else { continue }
      if rows == columns { return false }
      return rows % 2 == 0 && rows / 2 == columns ? true : nil
    }
    return nil
  }

  /// Whether the tensors that processes are taken to have in common are the same, byte for byte: nothing else tells a wrong guess.
  private func areSame(_ parts: [TensorPlan]) -> Bool {
    guard parts.count > 1 else { return true }
    let step = 1 << 20
    for (index, part) in parts.enumerated().dropFirst() {
      guard let mine = part.pieces.first, let first = parts[0].pieces.first else { continue }
      guard mine.strides == contiguousStrides(mine.shape), first.strides == mine.strides else { return false }
      let size = part.count * (itemSizes[part.dtype] ?? 1)
      for offset in stride(from: 0, to: size, by: step) {
        let count = min(step, size - offset)
        guard let a = try? files[0].file.bytes(at: first.offset + offset, count: count),
          let b = try? files[index].file.bytes(at: mine.offset + offset, count: count), a == b
        else { return false }
      }
    }
    return true
  }
}
