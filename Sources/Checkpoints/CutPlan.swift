import Platform

/// Where a file is cut into chunks, so that what did not change between two checkpoints keeps its chunks.
///
/// Pieces of the file (a tensor, a zip entry with its header) longer than a chunk are cut every chunk size from their
/// own start; shorter neighbours, and what is left of a long piece, are grouped up to the chunk size.
public enum CutPlan {
  /// The places in a file where one piece ends and the next begins. Order and repetition do not matter.
  public struct Borders: Equatable, Sendable {
    /// Places where a chunk always begins: what lies before may grow or shrink by itself (a header, a pickle) and must not
    /// move the chunks behind it. Few: at most a handful a file.
    public var fixed: [Int]
    /// Places where a chunk may begin: the pieces on both sides may share a chunk.
    public var pieces: [Int]

    /// Borders at these offsets.
    public init(fixed: [Int] = [], pieces: [Int] = []) {
      self.fixed = fixed
      self.pieces = pieces
    }
  }

  /// The lengths of the chunks of a file, in order: they cover it exactly and each has 1 to `chunkSize` bytes.
  ///
  /// Two neighbours within a section between fixed borders have more than `chunkSize` bytes together, so that there are at most
  /// `2 * size / chunkSize + 1` chunks a section. A file of at most `chunkSize` bytes is one chunk, an empty file none.
  /// The chunks behind a fixed border depend on nothing before it. Borders outside the file count for nothing.
  public static func cut(size: Int, borders: Borders, chunkSize: Int) -> [Int] {
    precondition(chunkSize > 0, "a chunk has at least one byte")
    guard size > chunkSize else { return size > 0 ? [size] : [] }
    let inside = 1..<size
    let fixed = Set(borders.fixed.filter(inside.contains))
    var grouping = Grouping(chunkSize: chunkSize)
    var last = 0
    for border in fixed.union(borders.pieces.filter(inside.contains)).sorted() {
      grouping.add(piece: border - last)
      if fixed.contains(border) { grouping.close() }
      last = border
    }
    grouping.add(piece: size - last)
    grouping.close()
    return grouping.chunks
  }

  /// The borders that a file's own format gives, by its first bytes; none where the format is unknown or its header has any
  /// defect. Reads headers only. Throws `SystemError` where they cannot be read.
  public static func borders(of file: OpenFile) throws(SystemError) -> Borders {
    do {
      let start = try file.bytes(at: 0, count: 9)
      if start.starts(with: [0x50, 0x4b, 3, 4]) { return borders(of: try TorchZip(reading: file)) }
      if start.count == 9, start[8] == UInt8(ascii: "{") {
        return borders(of: try Safetensors(reading: file))
      }
      return Borders()
    } catch let error as SystemError {
      throw error
    } catch {
      return Borders()
    }
  }

  /// The lengths of a file's chunks by its own format. Throws `SystemError`.
  public static func chunks(of file: OpenFile, chunkSize: Int) throws(SystemError) -> [Int] {
    guard file.size > chunkSize else { return cut(size: file.size, borders: Borders(), chunkSize: chunkSize) }
    return cut(size: file.size, borders: try borders(of: file), chunkSize: chunkSize)
  }

  /// The header stands alone, since its length may change; then each tensor is a piece.
  static func borders(of file: Safetensors) -> Borders {
    guard file.defect == nil else { return Borders() }
    return Borders(fixed: [file.dataStart], pieces: file.tensors.map(\.range.lowerBound))
  }

  /// Each entry with the header before it is a piece. The storages (`data/0`, `data/1`…) stand apart from the pickle before
  /// them, whose length may change, and from what follows them, which changes with every save.
  static func borders(of zip: TorchZip) -> Borders {
    let isStorage = zip.entries.map { $0.innerName.starts(with: "data/".utf8) }
    var fixed: [Int] = []
    if let first = isStorage.firstIndex(of: true), let last = isStorage.lastIndex(of: true) {
      fixed.append(zip.entries[first].headerOffset)
      fixed.append(last + 1 < zip.entries.count ? zip.entries[last + 1].headerOffset : zip.directoryOffset)
    }
    return Borders(fixed: fixed, pieces: zip.entries.map(\.headerOffset) + [zip.directoryOffset])
  }
}

/// Pieces on their way into chunks.
private struct Grouping {
  let chunkSize: Int
  private(set) var chunks: [Int] = []
  /// The bytes of the chunk that is still open.
  private var open = 0

  init(chunkSize: Int) { self.chunkSize = chunkSize }

  mutating func add(piece: Int) {
    if piece > chunkSize - open { close() }
    let whole = piece / chunkSize
    chunks.append(contentsOf: repeatElement(chunkSize, count: whole))
    open += piece - whole * chunkSize
  }

  mutating func close() {
    if open > 0 { chunks.append(open) }
    open = 0
  }
}
