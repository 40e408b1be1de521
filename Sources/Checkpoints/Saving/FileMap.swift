import Platform

/// A file cut into the pieces that mean something of their own, which cover all of it.
struct FileMap {
  /// A range of the file.
  struct Piece {
    var range: Range<Int>
    /// A tensor's or an entry's name; empty for what lies between.
    var name = ""
    /// The CRC-32 that the file records of it.
    var sum: UInt32?
    /// The type of the numbers in it.
    var dtype: String?
    var isTensor = false
    var isMatrix = false
  }

  /// In the order of their places, without gaps or overlaps.
  private(set) var pieces: [Piece] = []
  /// What its directory's reading found wrong, beyond what is found without reading everything.
  private(set) var defect: Defect.Kind?

  /// The map of a file by its format; one piece where it has none that is known, or is torn.
  init(_ file: OpenFile, name: String) {
    var inner: [Piece] = []
    do {
      if name.hasSuffix(".safetensors") {
        inner = TensorBytes.all(in: try Safetensors(reading: file)).map(Piece.init)
      } else if isTorch(name) {
        switch try TorchFormat(of: file) {
        case .zip: inner = try Self.zip(TorchZip(reading: file), file)
        case .legacy: inner = try TensorBytes.all(in: TorchObject(reading: file), of: file).map(Piece.init)
        case .empty, .zeros, .other: break
        }
      }
    } catch TorchZipDefect.localHeader(let entry) {
      // Without reading everything only some of the entries are looked at.
      defect = .torch(.localHeader(entry: entry))
    } catch {
      inner = []
    }
    var end = 0
    for piece in inner where piece.range.lowerBound >= end && piece.range.upperBound <= file.size {
      if piece.range.lowerBound > end { pieces.append(Piece(range: end..<piece.range.lowerBound)) }
      pieces.append(piece)
      end = piece.range.upperBound
    }
    if end < file.size { pieces.append(Piece(range: end..<file.size)) }
  }

  /// The entries, and of the storages what numbers they hold. Sums that are all zero were not recorded
  /// (torch/serialization.py, `set_crc32_options`).
  private static func zip(_ zip: TorchZip, _ file: OpenFile) throws -> [Piece] {
    let isSummed = zip.entries.contains { $0.crc32 != 0 }
    let object = try? TorchObject(zip, in: file)
    let tensors = try object.map { try TensorBytes.all(in: $0, of: file) } ?? []
    let known = Dictionary(tensors.map { ($0.range.lowerBound, $0) }, uniquingKeysWith: { first, _ in first })
    return try zip.entries.map { entry in
      let range = try TorchZip.range(of: entry, in: file)
      var piece = known[range.lowerBound].map(Piece.init) ?? Piece(range: range)
      if piece.range != range { piece = Piece(range: range) }
      if !piece.isTensor { piece.name = entry.display }
      // The sum is that of the bytes before they were compressed.
      if isSummed, entry.method == 0 { piece.sum = entry.crc32 }
      return piece
    }
  }
}

extension FileMap.Piece {
  fileprivate init(_ tensor: TensorBytes) {
    self.init(range: tensor.range, name: tensor.name, dtype: tensor.dtype, isTensor: true)
    isMatrix = tensor.isMatrix
  }
}
