import Digests
import ObjectStore
import Platform
import Testing

@testable import Repository

@Suite("Packs") struct PackTests {
  private let pool = BlockingPool(threads: 2)

  private func writer(_ store: any ObjectStore, pack: Int = 1000, part: Int = 300) -> PackWriter {
    PackWriter(
      store: store, pool: pool, buffers: BufferPool(bufferSize: 4096, count: 3), fileClass: .weights,
      sizes: .init(pack: pack, part: part),
      random: Surroundings.system.random)
  }

  /// Chunks of so many bytes each.
  private func chunks(_ count: Int, of size: Int) throws -> [(ChunkID, Slice)] {
    try (0..<count).map { index in
      let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 * 7 + index) }
      return (try #require(ChunkID(SHA256.hash(bytes))), Buffer(copying: bytes).slice(0..<size))
    }
  }

  @Test("chunks lie where the writer said, and the table finds them again")
  func places() async throws {
    let store = MemoryStore()
    let repository = try await openRepository(in: store)
    let writer = writer(store)
    var places: [(ChunkID, String, Int, Int)] = []
    for (id, slice) in try chunks(40, of: 130) {
      let place = writer.append(id, slice)
      places.append((id, place.pack, place.offset, slice.count))
      try await writer.sendFullParts()
    }
    let references = try await writer.finish()
    #expect(references.count == 5, "a pack is closed when it has reached its size")
    #expect(Set(references.map(\.key)) == Set(places.map(\.1)))
    for reference in references {
      #expect(reference.etag == (try await store.head(reference.key))?.etag)
      let table = try await repository.table(ofPack: reference.key, size: reference.size)
      let bytes = try await store.get(reference.key, limit: 1 << 20)
      #expect(table.entries.map(\.id) == places.filter { $0.1 == reference.key }.map(\.0))
      for entry in table.entries {
        #expect(ChunkID(SHA256.hash(Array(bytes[entry.offset..<entry.offset + entry.length]))) == entry.id)
      }
    }
    #expect(try await store.listUploads("").isEmpty)
  }

  @Test("a pack that fits one part is put whole, without a multipart upload")
  func small() async throws {
    let store = FaultyStore(MemoryStore()) { operation, key, _ in
      operation == .beginMultipart
        ? .before(.refused(operation: "begin", key: key, status: 0, code: "", message: "")) : nil
    }
    let writer = writer(store, part: 4000)
    for (id, slice) in try chunks(2, of: 100) { _ = writer.append(id, slice) }
    #expect(try await writer.finish().count == 1)
    #expect(store.calls(.put) == 1)
  }

  @Test("a failed part ends the pack, and giving up leaves no upload", arguments: 1...8)
  func failure(_ call: Int) async throws {
    let memory = MemoryStore()
    let store = FaultyStore(memory) { operation, _, count in
      operation == .uploadPart && count == call ? .after(.unreachable(endpoint: "", reason: "")) : nil
    }
    let writer = writer(store)
    await #expect(throws: StoreError.self) {
      for (id, slice) in try chunks(40, of: 130) {
        _ = writer.append(id, slice)
        try await writer.sendFullParts()
      }
      _ = try await writer.finish()
    }
    await writer.abandon()
    #expect(try await memory.listUploads("").isEmpty)
  }

  @Test("a little that is new among much that is not never holds the buffers that the reader waits for")
  func sparse() async throws {
    let store = MemoryStore()
    let buffers = BufferPool(bufferSize: 4096, count: 4)
    let writer = PackWriter(
      store: store, pool: pool, buffers: buffers, fileClass: .weights, sizes: .init(pack: 50_000, part: 4096),
      random: Surroundings.system.random)
    var expected: [(String, Int, [UInt8])] = []
    for index in 0..<100 {
      // Of each buffer that was read, 100 bytes are new.
      let buffer = try await buffers.take()
      for byte in 0..<4096 { buffer.writable[byte] = UInt8(truncatingIfNeeded: byte &* 31 &+ index) }
      let slice = buffer.slice(500..<600)
      let bytes = slice.withBytes { Array($0) }
      let place = writer.append(try #require(ChunkID(SHA256.hash(bytes))), slice)
      expected.append((place.pack, place.offset, bytes))
      try await writer.sendFullParts()
    }
    _ = try await writer.finish()
    for (pack, offset, bytes) in expected {
      let stored = try await store.get(pack, limit: 1 << 20)
      #expect(Array(stored[offset..<offset + bytes.count]) == bytes)
    }
  }

  @Test("a cut or flipped table is refused, or is the same table")
  func damaged() throws {
    let entries = try chunks(5, of: 10).enumerated().map {
      PackTable.Entry(id: $1.0, offset: $0 * 10, length: 10)
    }
    let table = PackTable(fileClass: .training, entries: entries)
    let tail = try table.encode()
    let size = tail.count + 50
    #expect(try PackTable.decode(tail: tail, packSize: size, object: "p") == table)
    for index in tail.indices {
      var flipped = tail
      flipped[index] ^= 0x11
      let trailer = Array(flipped.suffix(PackTable.trailerSize))
      guard let length = PackTable.size(trailer: trailer, packSize: size) else { continue }
      let decoded = try? PackTable.decode(tail: Array(flipped.suffix(length)), packSize: size, object: "p")
      #expect(decoded == nil || decoded == table, "byte \(index)")
    }
    for count in 0..<tail.count {
      #expect(throws: FormatError.self) {
        try PackTable.decode(tail: Array(tail.prefix(count)), packSize: size, object: "p")
      }
    }
  }

  @Test("a table that names bytes outside its pack is refused")
  func outside() throws {
    let id = try #require(ChunkID(SHA256.hash([UInt8(1)])))
    for (offset, length) in [(45, 10), (-1, 5), (0, 0), (Int.max, 1), (0, 51)] {
      let tail = try PackTable(fileClass: .weights, entries: [.init(id: id, offset: offset, length: length)])
        .encode()
      #expect(throws: FormatError.self) {
        try PackTable.decode(tail: tail, packSize: tail.count + 50, object: "p")
      }
    }
  }
}

/// A fresh repository in a store, opened.
func openRepository(in store: any ObjectStore, cacheRoot: String? = nil) async throws -> Repository {
  _ = try await Repository.create(in: store, chunkSize: 1 << 16, surroundings: .system)
  return try await Repository.open(in: store, cacheRoot: cacheRoot, surroundings: .system)
}
