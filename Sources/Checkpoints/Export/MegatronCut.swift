import Platform

/// How Megatron cuts a tensor over the processes of tensor parallelism.
///
/// Nothing in a checkpoint tells it, so it goes by the names of GPT models' modules: what a `ColumnParallelLinear` holds is cut by rows,
/// what a `RowParallelLinear` holds by columns, embeddings by rows, norms and the biases of rows not at all
/// (megatron/core/tensor_parallel/layers.py and models/gpt, 0.16.1; megatron/model before Megatron-Core). The first half of a gated
/// feed-forward layer (`--swiglu`) is two matrices, of which each process has its part, one after the other (transformer/mlp.py).
struct MegatronCut {
  /// How many processes share the model, and how.
  struct Sizes {
    let tensor: Int
    let pipeline: Int
    let expert: Int
    /// Whether feed-forward layers are gated; nil where the arguments do not tell.
    let isGated: Bool?
  }

  private enum Kind {
    case whole, rows, columns, gatedRows
  }

  private let kind: Kind
  private let count: Int

  /// The cut of a tensor of this name. Throws `ExportError.unsupported` where it is not known.
  init(_ name: String, _ sizes: Sizes) throws(ExportError) {
    count = sizes.tensor
    guard sizes.tensor > 1 else {
      kind = .whole
      return
    }
    guard let kind = Self.kind(of: name, isGated: sizes.isGated) else {
      throw .unsupported(
        tensor: name,
        reason:
          "nothing tells how tensor parallelism cut it; convert the checkpoint with Megatron's tools/checkpoint/convert.py"
      )
    }
    self.kind = kind
  }

  private static let rows: Set<Substring> = [
    "word_embeddings", "output_layer", "linear_qkv", "linear_q", "linear_kv", "linear_q_proj",
    "linear_q_up_proj", "linear_kv_up_proj", "query_key_value", "query", "key_value",
  ]
  private static let whole: Set<Substring> = [
    "position_embeddings", "router", "linear_q_down_proj", "linear_kv_down_proj",
  ]
  private static let attention: Set<Substring> = [
    "self_attention", "attention", "cross_attention", "inter_attention",
  ]

  private static func kind(of name: String, isGated: Bool?) -> Kind? {
    let words = name.split(separator: ".")
    guard words.count >= 2, let first = words.first, let last = words.last,
      ["embedding", "decoder", "encoder", "output_layer", "language_model"].contains(first)
    else { return nil }
    let module = words[words.count - 2]
    let holder = words.count > 2 ? words[words.count - 3] : ""
    if last.hasPrefix("layer_norm_") || module.hasSuffix("norm") { return .whole }
    guard last == "weight" || last == "bias" else { return nil }
    switch module {
    case _ where rows.contains(module): return .rows
    case _ where whole.contains(module): return .whole
    case "linear_fc1", "dense_h_to_4h": return isGated.map { $0 ? .gatedRows : .rows }
    case "linear_fc2", "dense_4h_to_h": return last == "weight" ? .columns : .whole
    case "linear_proj", "dense":
      return attention.contains(holder) ? (last == "weight" ? .columns : .whole) : nil
    default: return nil
    }
  }

  /// The whole tensor of the processes' parts, in their order. Throws `ExportError` where they do not make up one.
  func join(_ parts: [TensorPlan], named name: String) throws(ExportError) -> TensorPlan {
    let first = parts[0]
    let dimension = kind == .columns ? 1 : 0
    if kind == .whole || parts.count == 1 {
      return try TensorPlan(name: name, dtype: first.dtype, shape: first.shape, pieces: first.pieces)
    }
    guard first.shape.count > dimension, case let extent = first.shape[dimension],
      kind != .gatedRows || extent % 2 == 0,
      !extent.multipliedReportingOverflow(by: count).overflow
    else { throw .notCovered(tensor: name) }
    var shape = first.shape
    shape[dimension] = extent * count
    var pieces: [TensorPlan.Piece] = []
    for (process, part) in parts.enumerated() {
      guard let piece = part.pieces.first else { continue }
      let halves = kind == .gatedRows ? 2 : 1
      for half in 0..<halves {
        pieces.append(
          Self.stretch(
            of: piece, dimension, half * extent / halves..<(half + 1) * extent / halves,
            itemSize: itemSizes[part.dtype] ?? 0, at: (half * count + process) * (extent / halves)))
      }
    }
    return try TensorPlan(name: name, dtype: first.dtype, shape: shape, pieces: pieces)
  }

  /// A stretch of a piece along a dimension, which begins at `origin` in the whole tensor.
  private static func stretch(
    of piece: TensorPlan.Piece, _ dimension: Int, _ range: Range<Int>, itemSize: Int, at origin: Int
  ) -> TensorPlan.Piece {
    var (shape, origins) = (piece.shape, piece.origin)
    shape[dimension] = range.count
    origins[dimension] = origin
    return TensorPlan.Piece(
      file: piece.file, offset: piece.offset + range.lowerBound * piece.strides[dimension] * itemSize,
      shape: shape, strides: piece.strides, origin: origins)
  }
}
