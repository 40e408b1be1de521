import Platform

/// A store that stands before another one and does some things in its own way: what it does not say itself, the store behind does and
/// says, whatever the contract comes to ask for.
public protocol ForwardingStore: ObjectStore {
  /// The store behind.
  var base: any ObjectStore { get }
}

extension ForwardingStore {
  /// As the store behind has it.
  public var name: String { base.name }
  /// As the store behind has it.
  public var hasOpaqueETags: Bool { base.hasOpaqueETags }

  /// As the store behind does.
  @discardableResult
  public func put(_ key: String, _ payload: Payload) async throws -> String? {
    try await base.put(key, payload)
  }
  /// As the store behind does.
  public func get(_ key: String, limit: Int) async throws -> [UInt8] {
    try await base.get(key, limit: limit)
  }
  /// As the store behind does.
  public func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    try await base.read(key, at: offset, into: target)
  }
  /// As the store behind does.
  public func head(_ key: String) async throws -> ObjectInfo? { try await base.head(key) }
  /// As the store behind does.
  public func list(_ prefix: String) async throws -> Listing { try await base.list(prefix) }
  /// As the store behind does.
  public func delete(_ keys: [String]) async throws { try await base.delete(keys) }
  /// As the store behind does.
  public func beginMultipart(_ key: String) async throws -> MultipartUpload {
    try await base.beginMultipart(key)
  }
  /// As the store behind does.
  public func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    try await base.uploadPart(upload, number: number, offset: offset, payload, md5: md5)
  }
  /// As the store behind does.
  public func copyPart(
    _ upload: MultipartUpload, number: Int, of key: String, in other: any ObjectStore, range: Range<Int>
  ) async throws -> PartReceipt? {
    try await base.copyPart(upload, number: number, of: key, in: other, range: range)
  }
  /// As the store behind does.
  @discardableResult
  public func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    try await base.complete(upload, parts)
  }
  /// As the store behind does.
  public func abort(_ upload: MultipartUpload) async throws { try await base.abort(upload) }
  /// As the store behind does.
  public func listUploads(_ prefix: String) async throws -> [PendingUpload] {
    try await base.listUploads(prefix)
  }
  /// As the store behind does.
  public func archiveState(of key: String) async throws -> ArchiveState {
    try await base.archiveState(of: key)
  }
  /// As the store behind does.
  public func thaw(_ key: String, _ request: ThawRequest) async throws -> ArchiveState {
    try await base.thaw(key, request)
  }
  /// As the store behind does.
  public func keepsOldVersions() async throws -> Bool { try await base.keepsOldVersions() }
  /// As the store behind does.
  public func offersLocks() async throws -> Bool { try await base.offersLocks() }
  /// As the store behind does.
  public func retention(of key: String) async throws -> ObjectRetention? {
    try await base.retention(of: key)
  }
  /// As the store behind does.
  @discardableResult
  public func lock(_ key: String, _ retention: ObjectRetention) async throws -> Bool {
    try await base.lock(key, retention)
  }
}
