import Digests
import Platform

/// The table at the end of a pack: which chunks it holds and where. It lets a push that was interrupted go on from what is
/// stored already.
///
/// Layout, from the end of the pack: 8 bytes magic, 32 bytes SHA-256 of the table, 8 bytes its length (little-endian), the table
/// as gzip JSON.
public struct PackTable: Equatable, Sendable {
  /// One chunk of the pack.
  public struct Entry: Equatable, Sendable {
    /// The SHA-256 of its bytes.
    public let id: ChunkID
    /// Where it begins, in bytes.
    public let offset: Int
    /// Its length in bytes.
    public let length: Int

    /// A chunk at its place.
    public init(id: ChunkID, offset: Int, length: Int) {
      self.id = id
      self.offset = offset
      self.length = length
    }
  }

  private struct Document: Codable {
    struct Chunks: Codable {
      var id: [String]
      var offset: [Int]
      var length: [Int]
      var encoding: [String]?
    }
    var format: Int
    var `class`: FileClass
    var chunks: Chunks
  }

  static let magic = Array("CKPACK01".utf8)
  /// Bytes after the table: length, digest, magic.
  package static let trailerSize = 8 + 32 + 8
  private static let largestTable = 64 << 20

  /// What the pack's chunks are needed for.
  public let fileClass: FileClass
  /// The chunks, in the order of their offsets.
  public let entries: [Entry]

  /// A table of chunks.
  public init(fileClass: FileClass, entries: [Entry]) {
    self.fileClass = fileClass
    self.entries = entries
  }

  /// The bytes that end a pack with these chunks: table and trailer. Throws `.invalid` where zlib fails.
  public func encode() throws(FormatError) -> [UInt8] {
    let document = Document(
      format: repositoryFormat, class: fileClass,
      chunks: .init(
        id: entries.map(\.id.hex), offset: entries.map(\.offset), length: entries.map(\.length)))
    let table = try Gzip.compress(MetadataCoding.encode(document, pretty: false))
    let length = (0..<8).map { UInt8(truncatingIfNeeded: table.count >> (8 * $0)) }
    return table + length + SHA256.hash(table) + Self.magic
  }

  /// How many bytes table and trailer have together, read from the last `trailerSize` bytes of a pack of `packSize` bytes; nil
  /// where they are no trailer.
  package static func size(trailer: [UInt8], packSize: Int) -> Int? {
    guard trailer.count == trailerSize, Array(trailer.suffix(8)) == magic else { return nil }
    let length = trailer.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(largestTable), Int(length) + trailerSize <= packSize else { return nil }
    return Int(length) + trailerSize
  }

  /// Reads the table from the end of a pack: `tail` begins with the table and ends with the pack.
  package static func decode(tail: [UInt8], packSize: Int, object: String) throws(FormatError) -> PackTable {
    let table = Array(tail.dropLast(trailerSize))
    let digest = Array(tail.suffix(trailerSize).dropFirst(8).prefix(32))
    guard tail.count >= trailerSize, SHA256.hash(table) == digest else {
      throw .digestMismatch(object: object)
    }
    let json = try Gzip.expand(table, limit: largestTable * 4, object: object)
    let document = try MetadataCoding.decode(Document.self, from: json, object: object)
    try MetadataCoding.check(format: document.format, object: object)
    if document.chunks.encoding != nil { throw .newerFormat(object: object, format: repositoryFormat + 1) }
    let chunks = document.chunks
    guard chunks.offset.count == chunks.id.count, chunks.length.count == chunks.id.count else {
      throw .invalid(object: object, detail: "the columns of its table differ in length")
    }
    var entries: [Entry] = []
    for index in chunks.id.indices {
      let (offset, length) = (chunks.offset[index], chunks.length[index])
      guard let id = ChunkID(hex: chunks.id[index]), (1...Manifest.longestChunk).contains(length),
        offset >= 0,
        offset <= packSize - tail.count - length
      else { throw .invalid(object: object, detail: "chunk \(index) of its table lies where nothing can be") }
      entries.append(Entry(id: id, offset: offset, length: length))
    }
    return PackTable(fileClass: document.class, entries: entries)
  }
}
