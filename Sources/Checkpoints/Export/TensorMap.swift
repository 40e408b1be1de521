import Platform

/// Where the tensors of a checkpoint's weights lie in its files.
public struct TensorMap: Sendable {
  /// A tensor and its bytes.
  public struct Tensor: Sendable {
    /// Its name.
    public let name: String
    /// The module that it belongs to, as `ModelModule` names it.
    public let module: String
    /// The element type in safetensors' words.
    public let dtype: String
    /// Its dimensions.
    public let shape: [Int]
    /// Where its bytes lie, in the order of its pieces; nil where they do not lie in a row.
    public let runs: [Run]?
  }

  /// A piece of a tensor.
  public struct Run: Sendable {
    /// The file, below the checkpoint's root.
    public let file: RelativePath
    /// Its bytes in the file.
    public let range: Range<Int>
    /// Where it begins in the tensor.
    public let origin: [Int]
  }

  /// Sharded weights of more pieces than these are not mapped: it takes memory and time of each push.
  private static let mostPieces = 200_000

  /// The tensors; none where the layout does not tell.
  public let tensors: [Tensor]

  /// The tensors of a checkpoint that was looked at. Headers and pickles are read, none is executed.
  public init(of inspection: Inspection) {
    // What cannot be told is left out: nothing depends on it.
    let plans = (try? ModelExport.plans(inspection, mostPieces: Self.mostPieces)) ?? []
    tensors = plans.map { plan in
      Tensor(
        name: plan.name, module: ModuleCensus.module(of: plan.name), dtype: plan.dtype, shape: plan.shape,
        runs: Self.runs(plan))
    }
  }

  private static func runs(_ plan: TensorPlan) -> [Run]? {
    guard let size = itemSizes[plan.dtype] else { return nil }
    var runs: [Run] = []
    for piece in plan.pieces {
      guard piece.strides == contiguousStrides(piece.shape), let count = product(piece.shape),
        let bytes = product([count, size]), !piece.offset.addingReportingOverflow(bytes).overflow
      else { return nil }
      runs.append(Run(file: piece.file, range: piece.offset..<piece.offset + bytes, origin: piece.origin))
    }
    return runs
  }
}
