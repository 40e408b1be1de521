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
    /// Where its bytes lie: runs of files, in the order of the tensor's pieces.
    public let runs: [(file: RelativePath, range: Range<Int>)]
    /// Where the piece of each run begins in the tensor.
    public let origins: [[Int]]
  }

  /// The tensors in order of their names; none where the layout does not tell.
  public let tensors: [Tensor]

  /// The tensors of a checkpoint that was looked at. Headers and pickles are read, none is executed.
  public init(of inspection: Inspection) {
    // What cannot be told is left out: nothing depends on it.
    let plans = (try? ModelExport.plans(inspection)) ?? []
    tensors = plans.compactMap(Self.tensor).sorted { $0.name < $1.name }
  }

  /// A tensor, or nil where its elements do not lie in a row.
  private static func tensor(_ plan: TensorPlan) -> Tensor? {
    var runs: [(file: RelativePath, range: Range<Int>)] = []
    guard let size = itemSizes[plan.dtype] else { return nil }
    for piece in plan.pieces {
      guard piece.strides == contiguousStrides(piece.shape), let count = product(piece.shape),
        let end = piece.offset.adding(count, times: size)
      else { return nil }
      runs.append((piece.file, piece.offset..<end))
    }
    return Tensor(
      name: plan.name, module: ModuleCensus.module(of: plan.name), dtype: plan.dtype, shape: plan.shape,
      runs: runs, origins: plan.pieces.map(\.origin))
  }
}

extension Int {
  /// This and so many times `factor`, or nil where that is beyond numbers.
  fileprivate func adding(_ count: Int, times factor: Int) -> Int? {
    let (bytes, tooMany) = count.multipliedReportingOverflow(by: factor)
    let (end, tooFar) = addingReportingOverflow(bytes)
    return tooMany || tooFar ? nil : end
  }
}
