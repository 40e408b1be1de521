import Digests
import ObjectStore
import Platform
import Synchronization
import TestSupport
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

  @Test("chunks lie where the writer said, and the table finds them again")
  func places() async throws {
    let store = MemoryStore()
    let repository = try await openRepository(in: store)
    let writer = writer(store)
    var places: [(ChunkID, String, Int, Int)] = []
    for (id, slice) in try sampleChunks(40, of: 130) {
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
    for (id, slice) in try sampleChunks(2, of: 100) { _ = writer.append(id, slice) }
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
      for (id, slice) in try sampleChunks(40, of: 130) {
        _ = writer.append(id, slice)
        try await writer.sendFullParts()
      }
      _ = try await writer.finish()
    }
    await writer.abandon()
    #expect(try await memory.listUploads("").isEmpty)
  }

  @Test("at most one pack is unfinished at any time, and all parts but the last are equal")
  func oneUnfinished() async throws {
    let memory = MemoryStore()
    let open = Mutex((now: 0, most: 0))
    let sizes = Mutex<[String: [Int: Int]]>([:])
    let watched = WatchedStore(memory) { event in
      switch event {
      case .begun:
        open.withLock { open in
          open.now += 1
          open.most = max(open.most, open.now)
        }
      case .part(let key, let number, let size): sizes.withLock { $0[key, default: [:]][number] = size }
      case .completed: open.withLock { $0.now -= 1 }
      }
    }
    let writer = writer(watched)
    for (id, slice) in try sampleChunks(60, of: 130) {
      _ = writer.append(id, slice)
      try await writer.sendFullParts()
    }
    let references = try await writer.finish()
    let most = open.withLock { $0.most }
    #expect(references.count > 5 && most == 1)
    for (key, parts) in sizes.withLock({ $0 }) {
      let last = parts.count
      #expect(parts.keys.sorted() == Array(1...last) && last > 1)
      #expect(parts.allSatisfy { $0.key == last ? (1...300).contains($0.value) : $0.value == 300 })
      #expect(parts.values.reduce(0, +) == references.first { $0.key == key }?.size)
    }
  }

  @Test("a store whose ETag tells of other bytes than those that were sent is not believed")
  func wrongETag() async throws {
    let writer = writer(WatchedStore(MemoryStore(), lies: true) { _ in })
    for (id, slice) in try sampleChunks(8, of: 130) { _ = writer.append(id, slice) }
    await #expect(throws: StoreError.self) { try await writer.finish() }
    await writer.abandon()
  }

  @Test("a store whose ETags only look like digests is believed")
  func opaqueETag() async throws {
    let writer = writer(WatchedStore(MemoryStore(), lies: true, opaque: true) { _ in })
    for (id, slice) in try sampleChunks(8, of: 130) { _ = writer.append(id, slice) }
    #expect(try await writer.finish().contains { $0.etag?.hasPrefix("00000000") == true })
  }

  @Test("a table comes back whatever chunks it holds, none too, from a pack of any size; the seed is printed")
  func anyTable() async throws {
    var generator = Seeded()
    let store = MemoryStore()
    let repository = try await openRepository(in: store)
    for count in [0, 1, 7, 3000] {
      var body = 0
      let entries = try (0..<count).map { _ in
        let bytes = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let length = Int.random(in: 1...40, using: &generator)
        defer { body += length }
        return PackTable.Entry(id: try #require(ChunkID(bytes)), offset: body, length: length)
      }
      let table = PackTable(fileClass: .weights, entries: entries)
      let pack = [UInt8](repeating: 0, count: body) + (try table.encode())
      try await store.put("packs/weights/aa/\(count)", Payload(pack))
      #expect(try await repository.table(ofPack: "packs/weights/aa/\(count)", size: pack.count) == table)
    }
    for bytes in [[], [1, 2, 3], [UInt8](repeating: 0, count: 48), [UInt8](repeating: 0, count: 100_000)] {
      try await store.put("packs/weights/bb/x", Payload(bytes))
      await #expect(throws: FormatError.self) {
        try await repository.table(ofPack: "packs/weights/bb/x", size: bytes.count)
      }
    }
  }

  @Test("a table that a byte flipped in on its way is read again")
  func flipped() async throws {
    let pack = try PackTable(fileClass: .weights, entries: []).encode()
    let store = FaultyStore(MemoryStore(), script: [.read: [.flip(at: pack.count - 5), .flip(at: 0)]])
    let repository = try await openRepository(in: store)
    try await store.put("packs/weights/aa/x", Payload(pack))
    await #expect(throws: FormatError.self) {
      try await repository.table(ofPack: "packs/weights/aa/x", size: pack.count)
    }
    #expect(store.calls(.read) == 2)
    let again = FaultyStore(store, script: [.read: [.flip(at: pack.count - 5)]])
    let other = try await Repository.open(in: again, cacheRoot: nil, surroundings: .system)
    #expect(try await other.table(ofPack: "packs/weights/aa/x", size: pack.count).entries.isEmpty)
  }

  @Test("ETags of a server that encrypts are not held to the parts' MD5s", arguments: [true, false])
  func encrypted(saysSo: Bool) async throws {
    let writer = writer(OddETagStore(base: MemoryStore(), isDigest: !saysSo))
    for (id, slice) in try sampleChunks(7, of: 130) { _ = writer.append(id, slice) }
    if saysSo {
      let packs = try await writer.finish()
      #expect(packs.contains { $0.etag?.hasPrefix("0123") == true })
    } else {
      await #expect(throws: StoreError.self) { _ = try await writer.finish() }
    }
  }

  @Test(
    "a table is compressed at the level of the first packs: who makes a lost pack anew must come to its bytes"
  )
  func level() throws {
    let table = try PackTable(fileClass: .weights, entries: []).encode()
    // zlib names its fastest and its slowest level in the header's extra flags (RFC 1952, section 2.3.1).
    #expect(table[8] == 0)
  }

  @Test("a pack is closed when it has as many chunks as its table may list, however small they are")
  func manyChunks() async throws {
    let store = MemoryStore()
    let writer = PackWriter(
      store: store, pool: pool, buffers: BufferPool(bufferSize: 4096, count: 3), fileClass: .weights,
      sizes: .init(pack: 1 << 30, part: 1000, chunks: 7), random: Surroundings.system.random)
    for (id, slice) in try sampleChunks(20, of: 3) {
      _ = writer.append(id, slice)
      try await writer.sendFullParts()
    }
    let repository = try await openRepository(in: store)
    var counts: [Int] = []
    for pack in try await writer.finish() {
      counts.append(try await repository.table(ofPack: pack.key, size: pack.size).entries.count)
    }
    #expect(counts == [7, 7, 6])
  }

  @Test("a little that is new among much that is not never holds the buffers that the reader waits for")
  func sparse() async throws {
    let store = MemoryStore()
    let buffers = BufferPool(bufferSize: 4096, count: 2)
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
    let entries = try sampleChunks(5, of: 10).enumerated().map {
      PackTable.Entry(id: $1.id, offset: $0 * 10, length: 10)
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

/// Tells of uploads as they begin, of their parts, and when they are complete; may lie about the ETag then.
private struct WatchedStore: ForwardingStore {
  enum Event {
    case begun
    case part(key: String, number: Int, size: Int)
    case completed
  }

  let base: any ObjectStore
  let lies: Bool
  let hasOpaqueETags: Bool
  let tell: @Sendable (Event) -> Void

  init(
    _ base: MemoryStore, lies: Bool = false, opaque: Bool = false, tell: @escaping @Sendable (Event) -> Void
  ) {
    (self.base, self.lies, self.hasOpaqueETags, self.tell) = (base, lies, opaque, tell)
  }

  func beginMultipart(_ key: String) async throws -> MultipartUpload {
    tell(.begun)
    return try await base.beginMultipart(key)
  }
  func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    tell(.part(key: upload.key, number: number, size: payload.count))
    try await Task.sleep(for: .milliseconds(1))
    return try await base.uploadPart(upload, number: number, offset: offset, payload, md5: md5)
  }
  func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    let answer = try await base.complete(upload, parts)
    tell(.completed)
    return lies ? answer.map { String(repeating: "0", count: 32) + $0.dropFirst(32) } : answer
  }
}

/// A store whose ETags look like S3's and are others, as under a KMS key.
private struct OddETagStore: ForwardingStore {
  let base: any ObjectStore
  /// What it says of the ETags of parts.
  let isDigest: Bool

  func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    let part = try await base.uploadPart(upload, number: number, offset: offset, payload, md5: md5)
    return PartReceipt(number: part.number, etag: part.etag, size: part.size, isDigest: isDigest)
  }
  func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    _ = try await base.complete(upload, parts)
    return "0123456789abcdef0123456789abcdef-\(parts.count)"
  }
}
