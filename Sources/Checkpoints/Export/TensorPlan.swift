import Platform

/// A tensor that is to be written, and the pieces of files that it is put together from.
struct TensorPlan {
  /// A box of the tensor, and where its elements lie in a file.
  struct Piece {
    /// The file, below the checkpoint's root.
    let file: RelativePath
    /// Where the first element lies, in bytes from the start of the file.
    let offset: Int
    /// The box's sizes.
    let shape: [Int]
    /// How far apart neighbours are in the file, in elements.
    let strides: [Int]
    /// Where the box begins in the tensor.
    let origin: [Int]
  }

  /// Its name in the checkpoint.
  var name: String
  /// The element type in safetensors' words.
  let dtype: String
  /// Its dimensions.
  let shape: [Int]
  /// Its dimensions as the pieces see it: those of `shape`, or one alone where they cut it without regard to them.
  let pieceShape: [Int]
  /// The pieces; together they are the tensor, and none covers another.
  let pieces: [Piece]

  /// How many elements it has.
  var count: Int { shape.reduce(1, *) }

  /// Puts a tensor together.
  ///
  /// - Parameter isFlat: whether the pieces cut the tensor's elements as one row.
  /// - Throws: `ExportError.notCovered` where elements are missing or there twice, `.tooLarge` where the sizes are beyond numbers.
  init(
    name: String, dtype: String, shape: [Int], isFlat: Bool = false, pieces: [Piece]
  ) throws(ExportError) {
    guard let count = product(shape), itemSizes[dtype] != nil,
      !count.multipliedReportingOverflow(by: 16).overflow
    else { throw .unsupported(tensor: name, reason: "its size or its type \(dtype) is not known") }
    self.name = name
    self.dtype = dtype
    self.shape = shape
    pieceShape = isFlat ? [count] : shape
    self.pieces = pieces.filter { !$0.shape.contains(0) }
    guard covers(count) else { throw .notCovered(tensor: name) }
  }

  /// Whether every element has its piece, and just one.
  private func covers(_ count: Int) -> Bool {
    var sum = 0
    for piece in pieces {
      guard piece.shape.count == pieceShape.count, piece.origin.count == pieceShape.count,
        piece.strides.count == pieceShape.count, piece.offset >= 0, let size = product(piece.shape)
      else { return false }
      for (dimension, whole) in pieceShape.enumerated() {
        guard piece.origin[dimension] >= 0, piece.shape[dimension] <= whole,
          piece.origin[dimension] <= whole - piece.shape[dimension], piece.strides[dimension] >= 0
        else { return false }
      }
      let (total, overflow) = sum.addingReportingOverflow(size)
      guard !overflow, total <= count else { return false }
      sum = total
    }
    return sum == count && areApart()
  }

  /// Whether no two pieces share an element.
  private func areApart() -> Bool {
    guard pieces.count > 1 else { return true }
    // Nearly always a tensor is cut along one dimension, where neighbours are enough to look at.
    let cut = pieceShape.indices.filter { dimension in
      pieces.contains { $0.shape[dimension] != pieceShape[dimension] }
    }
    if cut.count == 1 {
      let dimension = cut[0]
      let sorted = pieces.sorted { $0.origin[dimension] < $1.origin[dimension] }
      return zip(sorted, sorted.dropFirst()).allSatisfy {
        $0.origin[dimension] + $0.shape[dimension] <= $1.origin[dimension]
      }
    }
    guard pieces.count <= 4096 else { return false }
    for (index, a) in pieces.enumerated() {
      for b in pieces[..<index] where Self.meet(a, b) { return false }
    }
    return true
  }

  private static func meet(_ a: Piece, _ b: Piece) -> Bool {
    a.shape.indices.allSatisfy {
      a.origin[$0] < b.origin[$0] + b.shape[$0] && b.origin[$0] < a.origin[$0] + a.shape[$0]
    }
  }
}

/// Why a checkpoint cannot be exported.
public enum ExportError: Error, Equatable, Sendable {
  /// Nothing in it is known to hold weights.
  case noWeights(layout: String)
  /// A tensor is of a kind that cannot be written as plain data.
  case unsupported(tensor: String, reason: String)
  /// The pieces that are there do not make up the whole tensor.
  case notCovered(tensor: String)
  /// Two tensors would have this name.
  case twice(name: String)
  /// A file is not what it should be.
  case broken(file: String, reason: String)

  /// The error for what reading a checkpoint's files threw, where another try would come to the same end; nil for any other error.
  ///
  /// - Parameter name: what was read, for people.
  public init?(reading error: any Error, of name: String) {
    switch error {
    case let error as ExportError: self = error
    case let error as TorchZipDefect: self = .broken(file: name, reason: error.words)
    case let error as SafetensorsDefect: self = .broken(file: name, reason: error.words)
    case let error as PickleError: self = .broken(file: name, reason: error.reason)
    case let error as JSONError: self = .broken(file: name, reason: error.reason)
    case let error as DistributedCheckpointError: self = .broken(file: name, reason: error.reason)
    default: return nil
    }
  }

  /// One sentence for people.
  public var sentence: String {
    switch self {
    case .noWeights(let layout): "there are no weights to export in a checkpoint of layout \(layout)"
    case .unsupported(let tensor, let reason):
      "tensor \(escaped(tensor.utf8)) cannot be exported: \(reason)"
    case .notCovered(let tensor):
      "tensor \(escaped(tensor.utf8)) is not whole: the shards that are there lack parts of it, or hold some twice"
    case .twice(let name):
      "two tensors would be named \(escaped(name.utf8)): strip fewer prefixes"
    case .broken(let file, let reason): "\(file) cannot be exported: \(reason)"
    }
  }
}

/// The product of sizes, or nil where it is beyond numbers or one is negative.
func product(_ sizes: [Int]) -> Int? {
  var result = 1
  for size in sizes {
    let (value, overflow) = result.multipliedReportingOverflow(by: size)
    guard size >= 0, !overflow else { return nil }
    result = value
  }
  return result
}

/// The strides of a tensor whose elements lie one after the other.
func contiguousStrides(_ shape: [Int]) -> [Int] {
  var strides = [Int](repeating: 1, count: shape.count)
  for index in shape.indices.dropLast().reversed() {
    // Sizes beyond numbers have no element to reach.
    let (stride, overflow) = strides[index + 1].multipliedReportingOverflow(by: max(1, shape[index + 1]))
    strides[index] = overflow ? 0 : stride
  }
  return strides
}
