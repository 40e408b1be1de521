import Digests
import ObjectStore
import Platform

/// Writes packs: takes chunks, cuts the stream into equal parts, and sends the parts while more chunks come.
///
/// One task uses it. At most one pack is unfinished in the store at any time: parts of the next one are sent only when the one
/// before is complete, so a push that dies loses no more than that.
public final class PackWriter {
  /// Sizes of packs and parts, in bytes.
  public struct Sizes: Sendable {
    /// A pack is closed when its chunks reach this size.
    public var pack: Int
    /// All parts but the last have this size; S3 asks for at least 5 MiB.
    public var part: Int
    /// A pack is closed when it has so many chunks, so that its table can be read again whatever their size is.
    public var chunks: Int

    /// Sizes of packs and parts.
    public init(pack: Int, part: Int, chunks: Int = 1_000_000) {
      self.pack = pack
      self.part = part
      self.chunks = chunks
    }

    /// 1 GiB packs in parts of 16 MiB.
    public static let standard = Sizes(pack: 1 << 30, part: 16 << 20)
    /// The most parts that S3 allows in an upload.
    static let mostParts = 10_000
  }

  /// A pack that is being written.
  private struct OpenPack {
    let key: String
    var entries: [PackTable.Entry] = []
    var size = 0
    var part = Payload()
    var sealed: [Payload] = []
  }

  private let store: any ObjectStore
  private let pool: BlockingPool
  private let fileClass: FileClass
  private let buffers: BufferPool
  private let sizes: Sizes
  private let random: @Sendable (Int) -> [UInt8]
  /// Key and end of the one pack that is written again, or nil where packs are new.
  private let given: (key: String, end: [UInt8])?
  private var open: OpenPack?
  /// The buffer that the waiting part was gathered in.
  private var assembly: Buffer?
  private var upload: PackUpload?
  private var previous: Task<Manifest.PackReference, any Error>?
  private var finished: [Task<Manifest.PackReference, any Error>] = []

  /// A writer of packs of one class. Digests of parts are made on `pool`; `buffers` are those that the chunks come in, each at least
  /// as large as a part: one of them is taken for what waits for more.
  public init(
    store: any ObjectStore, pool: BlockingPool, buffers: BufferPool, fileClass: FileClass, sizes: Sizes,
    random: @escaping @Sendable (Int) -> [UInt8]
  ) {
    self.store = store
    self.pool = pool
    self.buffers = buffers
    self.fileClass = fileClass
    self.sizes = Sizes(
      pack: sizes.pack, part: min(sizes.part, buffers.bufferSize), chunks: sizes.chunks)
    self.random = random
    given = nil
  }

  /// A writer of one pack whose content is known: its chunks come in their order, and `end` is what follows them, table and trailer. In
  /// parts of the same size it gets the same ETag as it had.
  public init(
    store: any ObjectStore, pool: BlockingPool, buffers: BufferPool, fileClass: FileClass, key: String,
    end: [UInt8], part: Int
  ) {
    self.store = store
    self.pool = pool
    self.buffers = buffers
    self.fileClass = fileClass
    sizes = Sizes(pack: .max, part: min(part, buffers.bufferSize))
    random = { [UInt8](repeating: 0, count: $0) }
    given = (key, end)
  }

  /// Adds a chunk to the open pack and gives its place. Nothing is sent before `sendFullParts`.
  public func append(_ id: ChunkID, _ chunk: Slice) -> (pack: String, offset: Int) {
    var pack =
      open ?? OpenPack(key: given?.key ?? ObjectKey.pack(class: fileClass.rawValue, random: random(16)))
    let offset = pack.size
    pack.entries.append(.init(id: id, offset: offset, length: chunk.count))
    add(chunk, to: &pack)
    open = pack
    return (pack.key, offset)
  }

  /// Sends what fills whole parts, and closes the pack where it has reached its size.
  public func sendFullParts() async throws {
    try await sendSealed()
    try await gather()
  }

  private func sendSealed() async throws {
    guard let pack = open else { return }
    let isFull =
      pack.size >= sizes.pack || pack.size / sizes.part >= Sizes.mostParts - 1
      || pack.entries.count >= sizes.chunks
    if isFull, given == nil { return try await close() }
    // A pack that fits a single part is put as a whole, so the first part waits until there is a second.
    let isMultipart = upload != nil || pack.sealed.count > 1 || pack.part.count > 0
    if !pack.sealed.isEmpty, isMultipart {
      try await send(pack.sealed)
      open?.sealed = []
    }
  }

  /// Closes the open pack and waits until all packs are stored; gives them in the order they were begun.
  public func finish() async throws -> [Manifest.PackReference] {
    if open != nil { try await close() }
    var references: [Manifest.PackReference] = []
    for task in finished { references.append(try await task.joined) }
    return references
  }

  /// Gives up: ends everything that is under way and removes the unfinished upload. What is complete stays.
  public func abandon() async {
    open = nil
    assembly = nil
    for task in finished { task.cancel() }
    await upload?.abandon()
    for task in finished { _ = try? await task.value }
  }

  /// Copies what waits for more into a buffer of its own: a little that is new must not hold the buffers of much that is not, or the
  /// reader would wait for ever. What is sent gives its buffers back meanwhile: nothing here may keep hold of it.
  private func gather() async throws {
    guard let pack = open else { return }
    // A part that is full waits only while the next one has no byte, so one of them at most holds anything.
    if pack.part.count > 0 { open?.part = try await assembled(pack.part) }
    if let first = pack.sealed.first { open?.sealed = [try await assembled(first)] }
  }

  private func assembled(_ payload: Payload) async throws -> Payload {
    // What was copied before stands at the front of the same buffer; nobody else has seen it.
    let start = payload.slices.first.map { $0.buffer === assembly ? $0.count : 0 } ?? 0
    let buffer: Buffer
    if start > 0, let assembly { buffer = assembly } else { buffer = try await buffers.take() }
    _ = payload.copy(
      from: start, into: UnsafeMutableRawBufferPointer(rebasing: buffer.writable[start..<payload.count]))
    assembly = buffer
    var whole = Payload()
    whole.append(buffer.slice(0..<payload.count))
    return whole
  }

  private func add(_ slice: Slice, to pack: inout OpenPack) {
    var rest = slice
    pack.size += slice.count
    while pack.part.count + rest.count >= sizes.part {
      let room = sizes.part - pack.part.count
      pack.part.append(rest.sub(0..<room))
      rest = rest.sub(room..<rest.count)
      pack.sealed.append(pack.part)
      pack.part = Payload()
    }
    pack.part.append(rest)
  }

  /// Appends the table, sends the rest and leaves the completion to a task.
  private func close() async throws {
    guard var pack = open else { return }
    let table = Buffer(
      copying: try given?.end ?? PackTable(fileClass: fileClass, entries: pack.entries).encode())
    add(table.slice(0..<table.capacity), to: &pack)
    if pack.part.count > 0 { pack.sealed.append(pack.part) }
    open = pack
    let (key, size, fileClass, store) = (pack.key, pack.size, fileClass, store)
    let single = upload == nil && pack.sealed.count == 1 ? pack.sealed[0] : nil
    if single == nil { try await send(pack.sealed) }
    let (upload, earlier) = (upload, previous)
    open = nil
    assembly = nil
    self.upload = nil
    let task = Task {
      do {
        _ = try await earlier?.joined
        let etag = if let single { try await store.put(key, single) } else { try await upload?.complete() }
        return Manifest.PackReference(key: key, size: size, etag: etag, fileClass: fileClass)
      } catch {
        await upload?.abandon()
        throw error
      }
    }
    previous = task
    finished.append(task)
  }

  private func send(_ parts: [Payload]) async throws {
    guard let pack = open else { return }
    assembly = nil
    let digests = try await pool.run { MD5.hash(each: parts) }
    if upload == nil {
      // One unfinished pack at most: the one before must be in the store first.
      _ = try await previous?.joined
      upload = PackUpload(store: store, key: pack.key)
    }
    for (part, digest) in zip(parts, digests) { try upload?.send(part, md5: digest) }
  }
}

/// The multipart upload of one pack: parts are sent at once as tasks of their own.
private final class PackUpload: Sendable {
  private let store: any ObjectStore
  private let begun: Task<MultipartUpload, any Error>
  private let state: PartTasks

  init(store: any ObjectStore, key: String) {
    self.store = store
    begun = Task { try await store.beginMultipart(key) }
    state = PartTasks()
  }

  func send(_ part: Payload, md5: [UInt8]) throws {
    try state.start(size: part.count, md5: md5) { [store, begun] number, offset in
      try await store.uploadPart(try await begun.value, number: number, offset: offset, part, md5: md5)
    }
  }

  /// Joins the parts. The ETag, where it has the form of one made of the parts' MD5s, and those of the parts were theirs and the store's
  /// are, must be made of ours.
  func complete() async throws -> String? {
    let receipts = try await state.receipts()
    let upload = try await begun.value
    let etag = try await store.complete(upload, receipts)
    let expected = multipartETag(partMD5s: state.digests)
    if !store.hasOpaqueETags, let etag, receipts.allSatisfy(\.isDigest), etag.count == expected.count,
      etag.hasSuffix("-\(receipts.count)"), etag.lowercased() != expected
    {
      // A later push must not take what the store made of it for a pack.
      await Task.detached { [store] in try? await store.delete([upload.key]) }.value
      throw StoreError.corruptedInTransit(key: upload.key)
    }
    return etag
  }

  /// Cancels what is under way, waits until it has ended, and frees the parts.
  func abandon() async {
    await state.cancel()
    if let upload = try? await begun.value {
      // On a task of its own: the caller's may be cancelled already, and the store's calls would give up at once.
      await Task.detached { [store] in try? await store.abort(upload) }.value
    }
  }
}
