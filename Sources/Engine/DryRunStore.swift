import ObjectStore
import Platform

/// Reads from a store and drops all that is written, so that a push can tell what it would send.
struct DryRunStore: ObjectStore {
  let base: any ObjectStore

  var name: String { base.name }
  var hasOpaqueETags: Bool { base.hasOpaqueETags }

  func get(_ key: String, limit: Int) async throws -> [UInt8] { try await base.get(key, limit: limit) }
  func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    try await base.read(key, at: offset, into: target)
  }
  func head(_ key: String) async throws -> ObjectInfo? { try await base.head(key) }
  func list(_ prefix: String) async throws -> Listing { try await base.list(prefix) }
  func listUploads(_ prefix: String) async throws -> [PendingUpload] { try await base.listUploads(prefix) }

  func put(_ key: String, _ payload: Payload) async throws -> String? { nil }
  func delete(_ keys: [String]) async throws {}
  func beginMultipart(_ key: String) async throws -> MultipartUpload {
    MultipartUpload(key: key, id: "dry-run")
  }
  func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    PartReceipt(number: number, etag: "dry-run", size: payload.count)
  }
  func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? { nil }
  func abort(_ upload: MultipartUpload) async throws {}
}
