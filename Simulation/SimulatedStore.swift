import Digests
import ObjectStore
import Platform

/// One actor's connection to a store: each call waits for its turn and meets the fault that the scheduler chose.
struct SimulatedStore: ObjectStore {
  let name = "simulated:"
  let base: MemoryStore
  let scheduler: Scheduler
  let actor: Int
  /// Packs of which one byte, at this offset, has decayed without a trace in listings.
  var decayed: [String: Int] = [:]
  /// What shortens the actor's listings of `shortened`, prefixes of keys.
  var shortListings: ShortListings?
  var shortened: [String] = []

  private func call<Result>(
    _ operation: StoreOperation, _ key: String, torn: (@Sendable () async throws -> Void)? = nil,
    _ work: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    // What is only read leaves nothing behind when its reader is gone.
    // A marker that leaves its process long after the last look, and a deletion long after it was decided, are limits that
    // docs/reliability.md names.
    let mayFreeze = operation != .delete && !(operation == .put && key.hasPrefix("snapshots/"))
    let outcome = await scheduler.turn(actor, operation, mayFreeze: mayFreeze) {
      Task.detached { _ = try? await work() }
    }
    switch outcome {
    case .lostRequest: throw lost(operation)
    case .refused: throw refusal(operation, key)
    case .lostAnswer:
      _ = try await work()
      throw lost(operation)
    case .torn:
      try await torn?()
      throw lost(operation)
    case .repeated:
      // A marker's deletion that arrives late can undo the commit of the same content: docs/reliability.md names it as a limit.
      if operation != .delete || !key.hasPrefix("snapshots/") {
        Task.detached { [scheduler] in
          _ = await scheduler.turn(Scheduler.nobody, nil) {}
          _ = try? await work()
        }
      }
      return try await work()
    case .done, .flipped, .short, .lied: return try await work()
    }
  }

  private func lost(_ operation: StoreOperation) -> StoreError {
    .transient(operation: operation.rawValue, detail: "simulated", retryAfter: nil)
  }

  private func refusal(_ operation: StoreOperation, _ key: String) -> StoreError {
    switch scheduler.pick(3) {
    case 0: .denied(operation: operation.rawValue, key: key, message: "simulated")
    case 1: .full(detail: "simulated")
    default:
      .refused(
        operation: operation.rawValue, key: key, status: 400, code: "Simulated", message: "simulated")
    }
  }

  func put(_ key: String, _ payload: Payload) async throws -> String? {
    // The bytes are those of now: a buffer may be used again once its actor has given up.
    let bytes = payload.bytes()
    // Markers and deletion records are whole or not there on every store that this program can be used with: they are what commits.
    let half =
      key.hasPrefix("snapshots/") || key.hasPrefix("deletions/")
      ? nil : Payload(Array(bytes.prefix(bytes.count / 2)))
    return try await call(
      .put, key,
      torn: { [base] in
        // No store that could be used replaces an object by halves.
        if let half, try await base.head(key) == nil { _ = try await base.put(key, half) }
      }
    ) { [base] in try await base.put(key, Payload(bytes)) }
  }
  func get(_ key: String, limit: Int) async throws -> [UInt8] {
    try await call(.get, key) { [base] in try await base.get(key, limit: limit) }
  }
  func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    let outcome = await scheduler.turn(actor, .read) {}
    switch outcome {
    case .done, .flipped:
      try await base.read(key, at: offset, into: target)
      if let byte = decayed[key], (offset..<offset + target.count).contains(byte) {
        target.withMemory { $0[byte - offset] ^= 4 }
      }
      if outcome == .flipped, scheduler.mayFlip(key, actor) {
        target.withMemory { $0[scheduler.pick($0.count)] ^= 4 }
      }
    case .short: throw StoreError.short(key: key, expected: target.count, received: target.count / 2)
    case .refused: throw refusal(.read, key)
    default: throw lost(.read)
    }
  }
  func head(_ key: String) async throws -> ObjectInfo? {
    try await call(.head, key) { [base] in try await base.head(key) }
  }
  func list(_ prefix: String) async throws -> Listing {
    let listing = try await call(.list, prefix) { [base] in try await base.list(prefix) }
    guard let shortListings, shortened.contains(where: prefix.hasPrefix) else { return listing }
    return shortListings.shorten(listing, for: actor)
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
    let half = Array(bytes.prefix(bytes.count / 2))
    return try await call(
      .uploadPart, upload.key,
      torn: { [base] in
        _ = try await base.uploadPart(
          upload, number: number, offset: offset, Payload(half), md5: MD5.hash(half))
      }
    ) { [base] in
      try await base.uploadPart(upload, number: number, offset: offset, Payload(bytes), md5: md5)
    }
  }
  func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    let outcome = await scheduler.turn(actor, .complete) { [base] in
      Task.detached { _ = try? await base.complete(upload, parts) }
    }
    switch outcome {
    case .lied: return nil
    case .refused: throw refusal(.complete, upload.key)
    case .lostRequest: throw lost(.complete)
    case .lostAnswer:
      _ = try await base.complete(upload, parts)
      throw lost(.complete)
    default: return try await base.complete(upload, parts)
    }
  }
  func abort(_ upload: MultipartUpload) async throws {
    try await call(.abort, upload.key) { [base] in try await base.abort(upload) }
  }
  func listUploads(_ prefix: String) async throws -> [PendingUpload] {
    try await call(.listUploads, prefix) { [base] in try await base.listUploads(prefix) }
  }
}
