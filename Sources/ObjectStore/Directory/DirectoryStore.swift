import Glibc
import Platform

/// A store that keeps each object in a file of its own below a root directory: a NAS, a second disk.
///
/// Objects come into being by a rename of a file that is on the disk already, so a crash leaves no half of one. Links below the
/// root are never followed. Being a file system, it cannot hold both `x` and `x/y`.
public final class DirectoryStore: ObjectStore {
  /// The root as it was given.
  public let name: String
  private let tree: DirectoryTree
  private let temporaries: TemporaryFiles
  private let pool: BlockingPool
  private let newID: @Sendable () -> String

  /// The store below `root`, which is made with the directories above it if `create`. Files and directories are their owner's alone.
  ///
  /// Throws `.noBucket` where the root is not there. `newID` makes the names of temporary files: 32 hexadecimal digits, each time others.
  public init(
    root: String, create: Bool = false, pool: BlockingPool = BlockingPool(threads: 4),
    newID: @escaping @Sendable () -> String = randomID
  ) throws {
    name = root
    var path = root
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    tree = DirectoryTree(root: path)
    temporaries = TemporaryFiles(tree: tree)
    self.pool = pool
    self.newID = newID
    do {
      if create { try tree.createRoot() }
      _ = try tree.openRoot()
    } catch let error as SystemError {
      throw error.asStoreError
    }
  }

  /// Stores a whole object. A directory has no ETags.
  @discardableResult
  public func put(_ key: String, _ payload: Payload) async throws -> String? {
    try await run(.put, key) { [temporaries, id = newID()] in
      do {
        try temporaries.begin(key, id: id)
        try temporaries.write(payload, at: 0, id)
        _ = try temporaries.publish(id, as: key, size: payload.count)
      } catch {
        try? temporaries.discard(id)
        throw error
      }
    }
    return nil
  }

  /// A whole small object.
  public func get(_ key: String, limit: Int) async throws -> [UInt8] {
    try await run(.get, key) { [tree] in
      guard let file = try tree.file(key) else { throw StoreError.missing(key: key) }
      guard file.size <= limit else { throw StoreError.tooLarge(key: key, limit: limit) }
      let bytes = try file.bytes(at: 0, count: file.size)
      guard bytes.count == file.size else {
        throw StoreError.short(key: key, expected: file.size, received: bytes.count)
      }
      return bytes
    }
  }

  /// Reads part of an object.
  public func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    try await run(.read, key) { [tree] in
      guard let file = try tree.file(key) else { throw StoreError.missing(key: key) }
      let count = try target.withMemory { try file.read(at: offset, into: $0) }
      guard count == target.count else {
        throw StoreError.short(key: key, expected: target.count, received: count)
      }
    }
  }

  /// Size and time of an object.
  public func head(_ key: String) async throws -> ObjectInfo? {
    try await run(.head, key) { [tree] in
      try tree.file(key).map {
        ObjectInfo(key: key, size: $0.size, etag: nil, modified: $0.status.modified)
      }
    }
  }

  /// All objects under a prefix. `now` is the file system's clock, or this machine's where nothing may be written.
  public func list(_ prefix: String) async throws -> Listing {
    try await run { [tree, temporaries, id = newID()] in
      let now = temporaries.clock(id: id) ?? Timestamp.now()
      return Listing(objects: try tree.list(prefix), now: now)
    }
  }

  /// Removes objects and the directories that they leave empty.
  public func delete(_ keys: [String]) async throws {
    for key in keys { try check(key, .delete) }
    try await run { [tree] in
      _ = try tree.openRoot()
      var failures: [String: String] = [:]
      for key in keys {
        do { try tree.remove(key) } catch let error as SystemError { failures[key] = error.reason }
      }
      guard failures.isEmpty else { throw StoreError.partial(failures: failures) }
    }
  }

  /// Begins an object that is sent in parts, as a temporary file.
  public func beginMultipart(_ key: String) async throws -> MultipartUpload {
    let id = newID()
    try await run(.beginMultipart, key) { [temporaries] in try temporaries.begin(key, id: id) }
    return MultipartUpload(key: key, id: id)
  }

  /// Writes a part at its place. Its ETag says where that is.
  public func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    try await onUpload(.uploadPart, upload) { [temporaries] in
      try temporaries.write(payload, at: offset, upload.id)
    }
    return PartReceipt(number: number, etag: "\(offset)+\(payload.count)", size: payload.count)
  }

  /// Joins the parts. They must follow each other without a gap from the object's first byte on.
  @discardableResult
  public func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    try await onUpload(.complete, upload) { [temporaries] in
      var size = 0
      for part in parts.sorted(by: { $0.number < $1.number }) {
        let place = part.etag.split(separator: "+").compactMap { Int($0) }
        guard place.count == 2, place[0] == size, place[1] >= 0 else {
          throw invalidPart(upload.key, part.number)
        }
        size += place[1]
      }
      guard !parts.isEmpty, try temporaries.publish(upload.id, as: upload.key, size: size) else {
        throw invalidPart(upload.key, parts.count)
      }
    }
    return nil
  }

  /// Removes an upload's temporary file.
  public func abort(_ upload: MultipartUpload) async throws {
    do {
      try await onUpload(.abort, upload) { [temporaries] in try temporaries.discard(upload.id) }
    } catch StoreError.noUpload {}
  }

  /// Temporary files for keys under a prefix: open uploads, and what writes left behind that never came to their end.
  public func listUploads(_ prefix: String) async throws -> [PendingUpload] {
    try await run { [temporaries] in try temporaries.list(prefix) }
  }

  /// Runs work on the root itself, for what no call of a store does. Throws `SystemError` and whatever `work` does.
  func onRoot<Result: Sendable>(
    _ work: @escaping @Sendable (OpenDirectory) throws -> Result
  ) async throws -> Result {
    try await pool.run { [tree] in try work(try tree.openRoot()) }
  }

  /// Runs work on an upload whose file is there and was begun for this key.
  private func onUpload(
    _ operation: StoreOperation, _ upload: MultipartUpload, _ work: @escaping @Sendable () throws -> Void
  ) async throws {
    try await run(operation, upload.key) { [temporaries] in
      guard try temporaries.key(of: upload.id) == upload.key else {
        throw StoreError.noUpload(key: upload.key)
      }
      do {
        try work()
      } catch let error as SystemError where error.code == ENOENT {
        throw StoreError.noUpload(key: upload.key)
      }
    }
  }

  private func run<Result: Sendable>(
    _ operation: StoreOperation, _ key: String, _ work: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try check(key, operation)
    return try await run(work)
  }

  private func run<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try Task.checkCancellation()
    do {
      return try await pool.run(work)
    } catch let error as SystemError {
      throw error.asStoreError
    }
  }

  private func check(_ key: String, _ operation: StoreOperation) throws {
    try requireKey(key, for: operation)
    guard !key.hasBytePrefix(DirectoryTree.temporaries + "/"), key != DirectoryTree.temporaries else {
      throw StoreError.refused(
        operation: operation.rawValue, key: key, status: 0, code: "InvalidKey",
        message: "the name belongs to the store's temporary files")
    }
  }
}

/// 32 hexadecimal digits from the system's random source.
public func randomID() -> String {
  hex((0..<16).map { _ in UInt8.random(in: .min ... .max) })
}
