import Platform

/// Where the bytes of a file's tensors lie, so that their numbers can be looked at.
struct TensorBytes {
  /// What the tensor is called, or its storage where the file does not name it.
  let name: String
  /// Its element type in safetensors' words; nil where its numbers cannot be read.
  let dtype: String?
  /// Whether it has two dimensions or more, as weights have that are never all zeros; biases and norms may be.
  let isMatrix: Bool
  /// Its bytes in the file.
  let range: Range<Int>

  /// The tensors of a safetensors header, as far as the file reaches.
  static func all(in header: Safetensors) -> [TensorBytes] {
    guard header.defect == nil else { return [] }
    return header.tensors.map { tensor in
      TensorBytes(
        name: tensor.name, dtype: tensor.dtype, isMatrix: tensor.shape.count > 1, range: tensor.range)
    }
  }

  /// The storages of a torch file's tensors, each once, under the name of one of its tensors.
  static func all(in object: TorchObject, of file: OpenFile) throws -> [TensorBytes] {
    var names: [String: String] = [:]
    for (name, tensor) in TorchFile.weights(object.root) { names[tensor.storage] = name }
    var seen: Set<String> = []
    var found: [TensorBytes] = []
    let pickle = object.root.pickle
    for index in pickle.nodes.indices {
      guard case .call = pickle.nodes[index],
        let tensor = TorchTensor(Pickle.Value(pickle: pickle, reference: Pickle.Reference(index))),
        seen.insert(tensor.storage).inserted, let range = try object.range(of: tensor.storage, in: file),
        range.count >= tensor.storageSize, range.upperBound <= file.size
      else { continue }
      found.append(
        TensorBytes(
          name: names[tensor.storage] ?? "data/" + tensor.storage,
          dtype: object.isBigEndian ? nil : tensor.dtype, isMatrix: tensor.shape.count > 1, range: range))
    }
    return found.sorted { $0.range.lowerBound < $1.range.lowerBound }
  }
}

/// What the numbers in some bytes are.
struct NumberCounts: Equatable {
  var numbers = 0
  var zeros = 0
  var nans = 0

  /// The types whose numbers are counted.
  static let types: Set<String> = ["F64", "F32", "F16", "BF16"]

  static func + (a: NumberCounts, b: NumberCounts) -> NumberCounts {
    NumberCounts(numbers: a.numbers + b.numbers, zeros: a.zeros + b.zeros, nans: a.nans + b.nans)
  }

  /// Counts little-endian numbers; `bytes` begins at a multiple of 8 in memory. Nothing is counted of another type.
  static func of(_ bytes: UnsafeRawBufferPointer, dtype: String) -> NumberCounts {
    switch dtype {
    case "F64": count(bytes.bindMemory(to: UInt64.self), infinity: Double.infinity.bitPattern)
    case "F32": count(bytes.bindMemory(to: UInt32.self), infinity: Float.infinity.bitPattern)
    // Exponents of 5 and of 8 bits, all ones.
    case "F16": count(bytes.bindMemory(to: UInt16.self), infinity: 0x7c00)
    case "BF16": count(bytes.bindMemory(to: UInt16.self), infinity: 0x7f80)
    default: NumberCounts()
    }
  }

  /// Above the bits of infinity are those of NaN (IEEE 754-2019, section 3.4).
  private static func count<Bits: FixedWidthInteger & UnsignedInteger>(
    _ numbers: UnsafeBufferPointer<Bits>, infinity: Bits
  ) -> NumberCounts {
    var (zeros, nans) = (0, 0)
    for number in numbers {
      let magnitude = Bits(littleEndian: number) << 1
      zeros &+= magnitude == 0 ? 1 : 0
      nans &+= magnitude > infinity << 1 ? 1 : 0
    }
    return NumberCounts(numbers: numbers.count, zeros: zeros, nans: nans)
  }
}
