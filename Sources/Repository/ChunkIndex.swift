import Platform

/// Which chunks a repository has, and where: the memory of what need not be sent again.
public struct ChunkIndex: Sendable {
  /// A chunk's place.
  public struct Location: Equatable, Sendable {
    /// Index into `packs`.
    public let pack: Int
    /// Where in the pack it begins, in bytes.
    public let offset: Int
    /// Its length in bytes.
    public let length: Int
  }

  /// The packs that locations refer to. A pack that is still being written has no ETag and its final size is not known yet.
  public private(set) var packs: [Manifest.PackReference] = []
  private var packIndex: [String: Int] = [:]
  private var locations: [ChunkID: Location] = [:]

  /// An empty index.
  public init() {}

  /// How many different chunks it knows.
  public var count: Int { locations.count }

  /// Where a chunk is stored, or nil.
  public subscript(id: ChunkID) -> Location? { locations[id] }

  /// The index of a pack, which is added where it is new.
  public mutating func add(pack: Manifest.PackReference) -> Int {
    if let index = packIndex[pack.key] { return index }
    packs.append(pack)
    packIndex[pack.key] = packs.count - 1
    return packs.count - 1
  }

  /// Replaces what is known of a pack, for example once it is closed.
  public mutating func update(pack index: Int, _ reference: Manifest.PackReference) {
    packs[index] = reference
  }

  /// Notes a chunk. The place that is known already stays.
  public mutating func add(_ id: ChunkID, pack: Int, offset: Int, length: Int) {
    if locations[id] == nil { locations[id] = Location(pack: pack, offset: offset, length: length) }
  }

  /// Notes all chunks of a manifest that lie in packs which `usable` accepts, with the pack as `usable` gives it.
  public mutating func add(_ manifest: Manifest, usable: (Manifest.PackReference) -> Manifest.PackReference?)
  {
    let indices = manifest.packs.map { reference in usable(reference).map { add(pack: $0) } }
    for file in manifest.files {
      for chunk in file.chunks {
        if let pack = indices[chunk.pack] {
          add(chunk.id, pack: pack, offset: chunk.offset, length: chunk.length)
        }
      }
    }
  }

  /// Notes all chunks of a pack's own table.
  public mutating func add(_ table: PackTable, of reference: Manifest.PackReference) {
    let pack = add(pack: reference)
    for entry in table.entries { add(entry.id, pack: pack, offset: entry.offset, length: entry.length) }
  }
}

extension Repository {
  /// Reads the table at the end of a pack.
  ///
  /// - Throws: `FormatError` where the pack has none or it is damaged, `StoreError`.
  public func table(ofPack key: String, size: Int) async throws -> PackTable {
    try await end(ofPack: key, size: size).table
  }

  /// Reads what follows the chunks of a pack: its table, and the bytes of table and trailer as they are stored. What does not decode is
  /// read once more, since a byte may have flipped on the way.
  ///
  /// - Throws: as `table(ofPack:size:)`.
  public func end(ofPack key: String, size: Int) async throws -> (table: PackTable, bytes: [UInt8]) {
    do {
      return try await readEnd(ofPack: key, size: size)
    } catch is FormatError {
      return try await readEnd(ofPack: key, size: size)
    }
  }

  private func readEnd(ofPack key: String, size: Int) async throws -> (table: PackTable, bytes: [UInt8]) {
    // One request is enough for most packs: 64 KiB hold the table of about a thousand chunks.
    var tail = try await read(key, size: size, last: min(size, 64 << 10))
    guard let length = PackTable.size(trailer: Array(tail.suffix(PackTable.trailerSize)), packSize: size)
    else {
      throw FormatError.invalid(object: key, detail: "it does not end with a table")
    }
    if length > tail.count { tail = try await read(key, size: size, last: length) }
    let bytes = Array(tail.suffix(length))
    let table = try PackTable.decode(tail: bytes, packSize: size, object: key)
    guard table.entries.allSatisfy({ $0.length <= info.chunkSize }) else {
      throw FormatError.invalid(
        object: key, detail: "a chunk is longer than the repository's chunk size, \(info.chunkSize) bytes")
    }
    return (table, bytes)
  }

  private func read(_ key: String, size: Int, last count: Int) async throws -> [UInt8] {
    let buffer = Buffer(copying: [UInt8](repeating: 0, count: count))
    try await store.read(key, at: size - count, into: WritableSlice(buffer, 0..<count))
    return Array(buffer.readable)
  }
}
