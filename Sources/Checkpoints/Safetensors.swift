import Platform

/// What is wrong with a safetensors file, as far as its header and its size tell.
public enum SafetensorsDefect: Error, Equatable, Sendable {
  /// The file begins with zeros: it got its size, but its bytes were never written.
  case zeros
  /// The file ends inside its header, which would be `needed` bytes long (with the 8 bytes of its length).
  case headerCut(needed: Int, fileSize: Int)
  /// The header claims more bytes than the format allows.
  case headerTooLarge(length: UInt64)
  /// The header is no JSON, or not the JSON of a safetensors header.
  case badHeader(reason: String)
  /// A tensor's place is impossible, or its size disagrees with its shape and type.
  case badTensor(name: String)
  /// Bytes between tensors, before this one, belong to none.
  case gap(tensor: String)
  /// A tensor begins inside the one before it.
  case overlap(tensor: String)
  /// The tensors end behind the end of the file.
  case truncated(expected: Int, fileSize: Int)
  /// The file is longer than its tensors.
  case extraTail(expected: Int, fileSize: Int)
}

/// The header of a safetensors file: which tensors it holds and where.
///
/// The format (huggingface/safetensors, README and tensor.rs): the header's length in 8 bytes little-endian, the header
/// as JSON, then the tensors without gaps up to the end of the file.
public struct Safetensors: Equatable, Sendable {
  /// The longest header that the reference reader takes, in bytes.
  public static let maximumHeader = 100_000_000
  /// How many tensors a file may hold: more than any model has, and few enough for memory.
  static let maximumTensors = 1_000_000

  /// One tensor.
  public struct Tensor: Equatable, Sendable {
    /// Its name, for example `model.layers.0.mlp.up_proj.weight`.
    public let name: String
    /// Its element type as the header writes it, for example `BF16`.
    public let dtype: String
    /// Its dimensions; none for a scalar.
    public let shape: [Int]
    /// Its bytes, counted from the start of the file.
    public let range: Range<Int>
  }

  /// Where the tensors' bytes begin: 8 plus the header's length.
  public let dataStart: Int
  /// The tensors in the order of their bytes.
  public let tensors: [Tensor]
  /// The strings under `__metadata__`, for example `format`: `pt`.
  public let metadata: [String: String]
  /// The size of the file in bytes.
  public let fileSize: Int

  /// Where the file should end by its header.
  public var expectedSize: Int { max(dataStart, tensors.last?.range.upperBound ?? dataStart) }

  /// Reads the header of a file; nothing else is read. Throws `SafetensorsDefect` where there is no readable header, or
  /// `SystemError`. Whether the tensors fill the file is told by `defect`.
  public init(reading file: OpenFile) throws {
    let length = try Self.headerLength(try file.bytes(at: 0, count: 16), fileSize: file.size)
    let header = try file.bytes(at: 8, count: length)
    guard header.count == length else {
      throw SafetensorsDefect.headerCut(needed: 8 + length, fileSize: 8 + header.count)
    }
    try self.init(header: header, fileSize: file.size)
  }

  /// The header's length by the first bytes of a file (16, or all of a shorter one).
  private static func headerLength(_ start: [UInt8], fileSize: Int) throws(SafetensorsDefect) -> Int {
    guard start.count >= 8 else { throw .headerCut(needed: 8, fileSize: fileSize) }
    if start.count > 8, start.allSatisfy({ $0 == 0 }) { throw .zeros }
    let length = littleEndian(start[0..<8])
    guard length <= UInt64(maximumHeader) else { throw .headerTooLarge(length: length) }
    guard Int(length) <= fileSize - 8 else {
      throw .headerCut(needed: 8 + Int(length), fileSize: fileSize)
    }
    return Int(length)
  }

  /// Reads a header that is in memory: its JSON, and the size of the file that it begins.
  init(header: [UInt8], fileSize: Int) throws(SafetensorsDefect) {
    dataStart = 8 + header.count
    self.fileSize = fileSize
    do throws(JSONError) {
      var reader = HeaderReader(dataStart: dataStart)
      var scanner = JSONScanner(header)
      try scanner.object { (scanner, key) throws(JSONError) in try reader.member(key, &scanner) }
      try scanner.end()
      // The end decides between tensors of no bytes and the one that begins at the same place.
      tensors = reader.tensors.sorted {
        ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
      }
      metadata = reader.metadata
    } catch { throw .badHeader(reason: "\(error.reason) (at byte \(8 + error.offset))") }
  }

  /// What is wrong with the tensors' places or the file's size, or nil where they fill it exactly.
  public var defect: SafetensorsDefect? {
    var end = dataStart
    for tensor in tensors {
      if tensor.range.lowerBound > end { return .gap(tensor: tensor.name) }
      if tensor.range.lowerBound < end { return .overlap(tensor: tensor.name) }
      if let bits = bitsPerElement[tensor.dtype], !tensor.fits(bits) { return .badTensor(name: tensor.name) }
      end = tensor.range.upperBound
    }
    if fileSize < end { return .truncated(expected: end, fileSize: fileSize) }
    if fileSize > end { return .extraTail(expected: end, fileSize: fileSize) }
    return nil
  }
}

extension Safetensors.Tensor {
  /// Whether the byte count is that of the shape; also false where the shape's product overflows.
  fileprivate func fits(_ bits: Int) -> Bool {
    var product = bits
    for dimension in shape {
      let (value, overflow) = product.multipliedReportingOverflow(by: dimension)
      if overflow { return false }
      product = value
    }
    return product % 8 == 0 && product / 8 == range.count
  }
}

/// The element types of the format, by safetensors' `Dtype`; types that are not listed are not checked.
private let bitsPerElement: [String: Int] = [
  "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
  "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
  "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
]

/// Collects the members of a header's object.
private struct HeaderReader {
  let dataStart: Int
  var tensors: [Safetensors.Tensor] = []
  var metadata: [String: String] = [:]
  var names: Set<String> = []

  mutating func member(_ name: String, _ scanner: inout JSONScanner) throws(JSONError) {
    guard names.insert(name).inserted else { throw scanner.failure("a tensor is named twice") }
    guard names.count <= Safetensors.maximumTensors else {
      throw scanner.failure("it holds too many tensors")
    }
    guard name == "__metadata__" else { return tensors.append(try tensor(name, &scanner)) }
    var found: [String: String] = [:]
    try scanner.object { (scanner, key) throws(JSONError) in found[key] = try scanner.string() }
    metadata = found
  }

  private func tensor(_ name: String, _ scanner: inout JSONScanner) throws(JSONError) -> Safetensors.Tensor {
    var dtype: String?
    var shape: [Int]?
    var offsets: [Int]?
    try scanner.object { (scanner, key) throws(JSONError) in
      switch key {
      case "dtype": dtype = try scanner.string()
      case "shape": shape = try Self.sizes(&scanner)
      case "data_offsets": offsets = try Self.sizes(&scanner)
      default: try scanner.skip()
      }
    }
    guard let dtype, let shape, let offsets, offsets.count == 2, offsets[0] <= offsets[1],
      offsets[1] <= Int.max - dataStart
    else { throw scanner.failure("a tensor's type, shape or place is missing or impossible") }
    let range = offsets[0] + dataStart..<offsets[1] + dataStart
    return Safetensors.Tensor(name: name, dtype: dtype, shape: shape, range: range)
  }

  private static func sizes(_ scanner: inout JSONScanner) throws(JSONError) -> [Int] {
    var result: [Int] = []
    try scanner.array { (scanner) throws(JSONError) in
      guard case .integer(let value) = try scanner.number(), value >= 0 else {
        throw scanner.failure("a size is not a whole number")
      }
      result.append(Int(value))
    }
    return result
  }
}

/// An unsigned number stored with its lowest byte first; at most 8 bytes.
func littleEndian(_ bytes: some BidirectionalCollection<UInt8>) -> UInt64 {
  bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
}
