import Digests
import Platform
import Synchronization

/// A store in memory that behaves like S3, with its ETags: the MD5 of an object, or `md5(md5s)-N` of one that came in N parts.
/// For tests.
public final class MemoryStore: ObjectStore {
  private struct Object {
    let bytes: [UInt8]
    let etag: String
    let modified: Timestamp
  }
  private struct Part {
    let offset: Int
    let bytes: [UInt8]
    let md5: [UInt8]
  }
  private struct Upload {
    let key: String
    let started: Timestamp
    var parts: [Int: Part] = [:]
  }
  private struct State {
    // By the key's bytes: texts that look alike are one text to Swift and two keys to a store.
    var objects: [[UInt8]: Object] = [:]
    var uploads: [String: Upload] = [:]
    var retentions: [[UInt8]: ObjectRetention] = [:]
    var begun = 0
  }

  /// The store's name.
  public let name: String
  private let locks: Bool
  private let now: @Sendable () -> Timestamp
  private let state = Mutex(State())

  /// An empty store that takes the time from `now`; with `locks` one that refuses to delete what is locked.
  public init(
    name: String = "memory:", locks: Bool = false,
    now: @escaping @Sendable () -> Timestamp = { Timestamp.now() }
  ) {
    self.name = name
    self.locks = locks
    self.now = now
  }

  /// Stores a whole object.
  @discardableResult
  public func put(_ key: String, _ payload: Payload) async throws -> String? {
    try begin(.put, key)
    let bytes = payload.bytes()
    let object = Object(bytes: bytes, etag: hex(MD5.hash(bytes)), modified: now())
    state.withLock { $0.objects[Array(key.utf8)] = object }
    return object.etag
  }

  /// A whole small object.
  public func get(_ key: String, limit: Int) async throws -> [UInt8] {
    try begin(.get, key)
    guard let object = object(key) else { throw StoreError.missing(key: key) }
    guard object.bytes.count <= limit else { throw StoreError.tooLarge(key: key, limit: limit) }
    return object.bytes
  }

  /// Reads part of an object.
  public func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    try begin(.read, key)
    guard let object = object(key) else { throw StoreError.missing(key: key) }
    let rest = object.bytes.dropFirst(offset)
    guard rest.count >= target.count else {
      throw StoreError.short(key: key, expected: target.count, received: rest.count)
    }
    rest.prefix(target.count).withUnsafeBytes { target.write($0, at: 0) }
  }

  /// Size, ETag and time of an object.
  public func head(_ key: String) async throws -> ObjectInfo? {
    try begin(.head, key)
    return object(key).map {
      ObjectInfo(key: key, size: $0.bytes.count, etag: $0.etag, modified: $0.modified)
    }
  }

  /// All objects under a prefix.
  public func list(_ prefix: String) async throws -> Listing {
    try Task.checkCancellation()
    let objects = state.withLock { $0.objects }
    let found = objects.filter { $0.key.starts(with: prefix.utf8) }
      .sorted { $0.key.lexicographicallyPrecedes($1.key) }
      .map { key, object in
        ObjectInfo(
          key: String(decoding: key, as: UTF8.self), size: object.bytes.count, etag: object.etag,
          modified: object.modified)
      }
    return Listing(objects: found, now: now())
  }

  /// Removes objects.
  public func delete(_ keys: [String]) async throws {
    for key in keys { try begin(.delete, key) }
    let time = now()
    let kept = state.withLock { state in
      keys.filter { key in
        if let retention = state.retentions[Array(key.utf8)], retention.until > time { return true }
        state.objects[Array(key.utf8)] = nil
        return false
      }
    }
    guard kept.isEmpty else {
      throw StoreError.partial(failures: Dictionary(kept.map { ($0, "access denied") }) { $1 })
    }
  }

  /// Whether it was made with locks.
  public func offersLocks() async throws -> Bool { locks }

  /// Until when an object is locked.
  public func retention(of key: String) async throws -> ObjectRetention? {
    try begin(.retention, key)
    return state.withLock { $0.retentions[Array(key.utf8)] }
  }

  /// Locks an object.
  @discardableResult
  public func lock(_ key: String, _ retention: ObjectRetention) async throws -> Bool {
    try begin(.lock, key)
    guard locks else { throw StoreError.unsupported(operation: StoreOperation.lock.rawValue) }
    return try state.withLock { state in
      let name = Array(key.utf8)
      guard state.objects[name] != nil else { throw StoreError.missing(key: key) }
      let present = state.retentions[name]
      state.retentions[name] = retention.joined(with: present)
      return state.retentions[name] != present
    }
  }

  /// Begins an object that is sent in parts.
  public func beginMultipart(_ key: String) async throws -> MultipartUpload {
    try begin(.beginMultipart, key)
    let started = now()
    return state.withLock { state in
      state.begun += 1
      let id = "upload-\(state.begun)"
      state.uploads[id] = Upload(key: key, started: started)
      return MultipartUpload(key: key, id: id)
    }
  }

  /// Takes a part; its MD5 must be right.
  public func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    try begin(.uploadPart, upload.key)
    let bytes = payload.bytes()
    guard MD5.hash(bytes) == md5 else { throw StoreError.corruptedInTransit(key: upload.key) }
    try state.withLock { state in
      guard state.uploads[upload.id]?.key == upload.key else { throw StoreError.noUpload(key: upload.key) }
      state.uploads[upload.id]?.parts[number] = Part(offset: offset, bytes: bytes, md5: md5)
    }
    return PartReceipt(number: number, etag: hex(md5), size: bytes.count)
  }

  /// Makes a part of an object of another store in memory.
  public func copyPart(
    _ upload: MultipartUpload, number: Int, of key: String, in other: any ObjectStore, range: Range<Int>
  ) async throws -> PartReceipt? {
    guard let other = other as? MemoryStore else { return nil }
    try begin(.copyPart, upload.key)
    guard let object = other.object(key) else { throw StoreError.missing(key: key) }
    guard range.upperBound <= object.bytes.count else {
      throw StoreError.short(
        key: key, expected: range.count, received: max(0, object.bytes.count - range.lowerBound))
    }
    let bytes = Array(object.bytes[range])
    return try await uploadPart(
      upload, number: number, offset: range.lowerBound, Payload(bytes), md5: MD5.hash(bytes))
  }

  /// Joins the parts. They must follow each other without a gap, each at the offset that it was sent with.
  @discardableResult
  public func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    try begin(.complete, upload.key)
    let modified = now()
    return try state.withLock { state in
      guard let open = state.uploads[upload.id], open.key == upload.key else {
        throw StoreError.noUpload(key: upload.key)
      }
      var bytes: [UInt8] = []
      var digests: [[UInt8]] = []
      for receipt in parts.sorted(by: { $0.number < $1.number }) {
        guard let part = open.parts[receipt.number], hex(part.md5) == receipt.etag, part.offset == bytes.count
        else { throw invalidPart(upload.key, receipt.number) }
        bytes += part.bytes
        digests.append(part.md5)
      }
      guard !parts.isEmpty else { throw invalidPart(upload.key, 1) }
      let etag = multipartETag(partMD5s: digests)
      state.uploads[upload.id] = nil
      state.objects[Array(upload.key.utf8)] = Object(bytes: bytes, etag: etag, modified: modified)
      return etag
    }
  }

  /// Ends an upload.
  public func abort(_ upload: MultipartUpload) async throws {
    try begin(.abort, upload.key)
    state.withLock { $0.uploads[upload.id] = nil }
  }

  /// Uploads that are still open.
  public func listUploads(_ prefix: String) async throws -> [PendingUpload] {
    try Task.checkCancellation()
    return state.withLock { $0.uploads }.filter { $0.value.key.hasBytePrefix(prefix) }
      .map { id, open in
        PendingUpload(upload: MultipartUpload(key: open.key, id: id), started: open.started)
      }
      .sorted { ($0.started, $0.upload.id) < ($1.started, $1.upload.id) }
  }

  private func object(_ key: String) -> Object? { state.withLock { $0.objects[Array(key.utf8)] } }

  private func begin(_ operation: StoreOperation, _ key: String) throws {
    try Task.checkCancellation()
    try requireKey(key, for: operation)
  }
}

/// The refusal of a completion that names a part which is not there or does not fit.
func invalidPart(_ key: String, _ number: Int) -> StoreError {
  .refused(
    operation: StoreOperation.complete.rawValue, key: key, status: 400, code: "InvalidPart",
    message: "part \(number) is missing, has another ETag, or does not begin where the one before it ends")
}
