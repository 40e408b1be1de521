import ObjectStore
import Platform

/// One actor's connection to the store: each call waits for its turn and meets the fault that the scheduler chose.
struct SimulatedStore: ObjectStore {
  let name = "simulated:"
  let base: MemoryStore
  let scheduler: Scheduler
  let actor: Int

  private func call<Result>(
    _ operation: StoreOperation, _ key: String, _ work: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    func lost() -> StoreError {
      .transient(operation: operation.rawValue, detail: "simulated", retryAfter: nil)
    }
    // What is only read leaves nothing behind when its reader is gone.
    let outcome = await scheduler.turn(actor, operation) { Task.detached { _ = try? await work() } }
    switch outcome {
    case .lostRequest: throw lost()
    case .denied: throw StoreError.denied(operation: operation.rawValue, key: key, message: "simulated")
    case .lostAnswer:
      _ = try await work()
      throw lost()
    case .done, .flipped: return try await work()
    }
  }

  func put(_ key: String, _ payload: Payload) async throws -> String? {
    // The bytes are those of now: a buffer may be used again once its actor has given up.
    let bytes = payload.bytes()
    return try await call(.put, key) { [base] in try await base.put(key, Payload(bytes)) }
  }
  func get(_ key: String, limit: Int) async throws -> [UInt8] {
    try await call(.get, key) { [base] in try await base.get(key, limit: limit) }
  }
  func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    let outcome = await scheduler.turn(actor, .read) {}
    switch outcome {
    case .done: try await base.read(key, at: offset, into: target)
    case .flipped:
      try await base.read(key, at: offset, into: target)
      target.withMemory { $0[scheduler.pick($0.count)] ^= 4 }
    case .denied: throw StoreError.denied(operation: "read", key: key, message: "simulated")
    case .lostAnswer, .lostRequest:
      throw StoreError.transient(operation: "read", detail: "simulated", retryAfter: nil)
    }
  }
  func head(_ key: String) async throws -> ObjectInfo? {
    try await call(.head, key) { [base] in try await base.head(key) }
  }
  func list(_ prefix: String) async throws -> Listing {
    try await call(.list, prefix) { [base] in try await base.list(prefix) }
  }
  func delete(_ keys: [String]) async throws {
    try await call(.delete, keys.first ?? "") { [base] in try await base.delete(keys) }
  }
  func beginMultipart(_ key: String) async throws -> MultipartUpload {
    try await call(.beginMultipart, key) { [base] in try await base.beginMultipart(key) }
  }
  func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    let bytes = payload.bytes()
    return try await call(.uploadPart, upload.key) { [base] in
      try await base.uploadPart(upload, number: number, offset: offset, Payload(bytes), md5: md5)
    }
  }
  func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    try await call(.complete, upload.key) { [base] in try await base.complete(upload, parts) }
  }
  func abort(_ upload: MultipartUpload) async throws {
    try await call(.abort, upload.key) { [base] in try await base.abort(upload) }
  }
  func listUploads(_ prefix: String) async throws -> [PendingUpload] {
    try await call(.listUploads, prefix) { [base] in try await base.listUploads(prefix) }
  }
}
