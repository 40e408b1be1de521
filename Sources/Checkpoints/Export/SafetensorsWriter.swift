import Glibc
import Platform

/// Writes tensors into safetensors files, one after the other, with bounded memory.
///
/// One file `model.safetensors`, or shards with an index as transformers names them
/// (transformers/modeling_utils.py, `save_pretrained`: `model-00001-of-00002.safetensors`, `model.safetensors.index.json`).
struct SafetensorsWriter {
  /// At most so many bytes are in memory at once.
  static let block = 8 << 20
  /// A view whose elements are scattered over more than this is not put in order, in bytes.
  static let scattered = 256 << 20

  let source: OpenDirectory
  let target: OpenDirectory
  /// The type for floating-point numbers, or nil to leave them as they are.
  let elementType: ElementType?
  /// The largest shard, in bytes of tensors.
  let maximumShard: Int
  let metadata: [String: String]
  /// What the files' names begin with: `model`, or `adapter_model`.
  let stem: String
  /// The permission bits of the files.
  let permissions: UInt32
  /// Is told of the bytes that each step wrote, and may throw to end the work.
  let step: (_ bytes: Int) throws -> Void

  private func dtype(of tensor: TensorPlan) -> String {
    elementType?.target(of: tensor.dtype) ?? tensor.dtype
  }
  private func size(of tensor: TensorPlan) -> Int { tensor.count * (itemSizes[dtype(of: tensor)] ?? 1) }

  /// Writes all tensors and gives the number of files and the bytes of tensors in them.
  ///
  /// Throws `ExportError`, `SystemError`, or what `step` throws.
  func write(_ tensors: [TensorPlan]) throws -> (files: Int, bytes: Int) {
    // Wide elements first, so that all begin at a multiple of their size.
    let sorted = tensors.sorted {
      (-(itemSizes[dtype(of: $0)] ?? 1), $0.name) < (-(itemSizes[dtype(of: $1)] ?? 1), $1.name)
    }
    let shards = shards(of: sorted)
    var places: [String: JSONValue] = [:]
    for (index, shard) in shards.enumerated() {
      let name = shards.count == 1 ? "\(stem).safetensors" : name(index + 1, of: shards.count)
      try write(shard, to: RelativePath(name))
      for tensor in shard { places[tensor.name] = .string(name) }
    }
    let bytes = tensors.reduce(0) { $0 + size(of: $1) }
    if shards.count > 1 {
      let index: JSONValue = .object([
        "metadata": .object(["total_size": .integer(Int64(bytes))]), "weight_map": .object(places),
      ])
      let file = try target.openForWriting(
        RelativePath("\(stem).safetensors.index.json"), flags: O_CREAT | O_EXCL)
      try file.write(encodeJSON(index), at: 0)
      try finish(file)
    }
    return (shards.count, bytes)
  }

  private func name(_ number: Int, of count: Int) -> String {
    func digits(_ number: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, 5 - text.count)) + text
    }
    return "\(stem)-\(digits(number))-of-\(digits(count)).safetensors"
  }

  private func shards(of tensors: [TensorPlan]) -> [[TensorPlan]] {
    var shards: [[TensorPlan]] = [[]]
    var open = 0
    for tensor in tensors {
      if open > 0, size(of: tensor) > maximumShard - open {
        shards.append([])
        open = 0
      }
      shards[shards.count - 1].append(tensor)
      open += size(of: tensor)
    }
    return shards
  }

  private func write(_ tensors: [TensorPlan], to path: RelativePath) throws {
    var header: [String: JSONValue] = [
      "__metadata__": .object(metadata.mapValues { .string($0) })
    ]
    var end = 0
    var starts: [Int] = []
    for tensor in tensors {
      starts.append(end)
      header[tensor.name] = .object([
        "dtype": .string(dtype(of: tensor)), "shape": .array(tensor.shape.map { .integer(Int64($0)) }),
        "data_offsets": .array([.integer(Int64(end)), .integer(Int64(end + size(of: tensor)))]),
      ])
      end += size(of: tensor)
    }
    var text = try encodeJSON(.object(header))
    text += [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8)
    let file = try target.openForWriting(path, flags: O_CREAT | O_EXCL)
    let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    try file.write(length + text, at: 0)
    try file.resize(8 + text.count + end)
    var sources = OpenFiles(root: source)
    for (tensor, start) in zip(tensors, starts) {
      for piece in tensor.pieces {
        try copy(piece, of: tensor, from: sources.file(piece.file), to: file, at: 8 + text.count + start)
      }
    }
    try finish(file)
  }

  private func finish(_ file: WritableFile) throws {
    try file.setPermissions(permissions)
    try file.sync()
    file.forgetPages()
  }

  /// Copies one piece into the tensor that begins at `start` of `target`.
  private func copy(
    _ piece: TensorPlan.Piece, of tensor: TensorPlan, from source: OpenFile, to target: WritableFile,
    at start: Int
  ) throws {
    let (from, to) = (itemSizes[tensor.dtype] ?? 1, itemSizes[dtype(of: tensor)] ?? 1)
    let walk = RunWalk(piece: piece, whole: tensor.pieceShape)
    var scattered: [UInt8]?
    if walk.step != 1, walk.length > 1 {
      let span = (walk.span + 1) * from
      guard span <= Self.scattered else {
        throw ExportError.unsupported(
          tensor: tensor.name, reason: "it is stored out of order and too large to sort")
      }
      scattered = try bytes(source, at: piece.offset, count: span)
    }
    try walk.forEach { sourceElement, targetElement in
      var done = 0
      while done < walk.length {
        let count = min(walk.length - done, max(1, Self.block / from))
        let run: [UInt8]
        if let scattered {
          run = (done..<done + count).flatMap { index in
            let place = (sourceElement + index * walk.step) * from
            return scattered[place..<place + from]
          }
        } else {
          run = try bytes(source, at: piece.offset + (sourceElement + done) * from, count: count * from)
        }
        let converted = Conversion.convert(run, from: tensor.dtype, to: dtype(of: tensor))
        try target.write(converted, at: start + (targetElement + done) * to)
        try step(converted.count)
        done += count
      }
    }
  }

  private func bytes(_ file: OpenFile, at offset: Int, count: Int) throws -> [UInt8] {
    let bytes = try file.bytes(at: offset, count: count)
    guard bytes.count == count else {
      throw ExportError.broken(file: file.path, reason: "it ends at \(displaySize(file.size))")
    }
    return bytes
  }
}

/// The files that were opened last, so that neither each piece opens one nor thousands stay open.
private struct OpenFiles {
  let root: OpenDirectory
  private var files: [RelativePath: OpenFile] = [:]

  init(root: OpenDirectory) { self.root = root }

  mutating func file(_ path: RelativePath) throws -> OpenFile {
    if let file = files[path] { return file }
    if files.count >= 64 { files.removeAll() }
    let file = try root.open(path)
    files[path] = file
    return file
  }
}

/// The runs of a piece that lie one after the other in the tensor.
private struct RunWalk {
  /// Elements of a run.
  let length: Int
  /// How far apart a run's elements are in the file.
  let step: Int
  /// How far the piece's last element is from its first in the file.
  let span: Int
  private let shape: [Int]
  private let sourceStrides: [Int]
  private let targetStrides: [Int]
  private let first: Int

  init(piece: TensorPlan.Piece, whole: [Int]) {
    let strides = contiguousStrides(whole)
    first = zip(piece.origin, strides).reduce(0) { $0 + $1.0 * $1.1 }
    span = zip(piece.shape, piece.strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 }
    // Dimensions that follow one another without a gap on both sides are one.
    var merged: [(size: Int, source: Int, target: Int)] = []
    for index in piece.shape.indices where piece.shape[index] != 1 {
      let (size, source, target) = (piece.shape[index], piece.strides[index], strides[index])
      if let last = merged.last, last.source == source * size, last.target == target * size {
        merged[merged.count - 1] = (last.size * size, source, target)
      } else {
        merged.append((size, source, target))
      }
    }
    // Where the tensor's own neighbours are apart, each element is a run.
    if let last = merged.last, last.target == 1 {
      length = last.size
      step = last.source
      merged.removeLast()
    } else {
      length = 1
      step = 1
    }
    shape = merged.map(\.size)
    sourceStrides = merged.map(\.source)
    targetStrides = merged.map(\.target)
  }

  /// Gives where each run begins in the file, counted from the piece's first element, and in the tensor, in elements.
  func forEach(_ body: (_ source: Int, _ target: Int) throws -> Void) rethrows {
    var index = [Int](repeating: 0, count: shape.count)
    var (source, target) = (0, first)
    while true {
      try body(source, target)
      var dimension = shape.count - 1
      while dimension >= 0 {
        index[dimension] += 1
        source += sourceStrides[dimension]
        target += targetStrides[dimension]
        if index[dimension] < shape[dimension] { break }
        source -= shape[dimension] * sourceStrides[dimension]
        target -= shape[dimension] * targetStrides[dimension]
        index[dimension] = 0
        dimension -= 1
      }
      if dimension < 0 { return }
    }
  }
}
