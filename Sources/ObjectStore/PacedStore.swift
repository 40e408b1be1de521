import Glibc
import Platform
import Synchronization

/// A store whose transfers together take no more of the line than they may, so that whoever else uses it does not notice.
public struct PacedStore: ObjectStore {
  let base: any ObjectStore
  private let up: Pace?
  private let down: Pace?

  /// Slows a store down to so many bytes a second in each direction; nil for as fast as it goes.
  ///
  /// Listings and questions do not count. `now` gives seconds that never go back; `sleep` waits for so many.
  public init(
    _ base: any ObjectStore, up: Int?, down: Int?, now: @escaping @Sendable () -> Double = monotonicSeconds,
    sleep: @escaping @Sendable (Double) async throws -> Void = {
      try await Task.sleep(nanoseconds: UInt64($0 * 1e9))
    }
  ) {
    self.base = base
    self.up = up.map { Pace(rate: $0, now: now, sleep: sleep) }
    self.down = down.map { Pace(rate: $0, now: now, sleep: sleep) }
  }

  /// The store's own.
  public var name: String { base.name }
  /// The store's own.
  public var hasOpaqueETags: Bool { base.hasOpaqueETags }

  /// Stores an object when its turn has come.
  @discardableResult
  public func put(_ key: String, _ payload: Payload) async throws -> String? {
    try await up?.turn(for: payload.count)
    return try await base.put(key, payload)
  }

  /// Gets an object; the next transfer waits for what it took, since that is not known before.
  public func get(_ key: String, limit: Int) async throws -> [UInt8] {
    try await down?.turn(for: 0)
    let bytes = try await base.get(key, limit: limit)
    down?.charge(bytes.count)
    return bytes
  }

  /// Reads a range when its turn has come.
  public func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    try await down?.turn(for: target.count)
    try await base.read(key, at: offset, into: target)
  }

  /// As the store does.
  public func head(_ key: String) async throws -> ObjectInfo? { try await base.head(key) }
  /// As the store does.
  public func list(_ prefix: String) async throws -> Listing { try await base.list(prefix) }
  /// As the store does.
  public func delete(_ keys: [String]) async throws { try await base.delete(keys) }
  /// As the store does.
  public func archiveState(of key: String) async throws -> ArchiveState {
    try await base.archiveState(of: key)
  }
  /// As the store does.
  public func thaw(_ key: String, _ request: ThawRequest) async throws -> ArchiveState {
    try await base.thaw(key, request)
  }
  /// As the store does.
  public func beginMultipart(_ key: String) async throws -> MultipartUpload {
    try await base.beginMultipart(key)
  }

  /// Sends a part when its turn has come.
  public func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    try await up?.turn(for: payload.count)
    return try await base.uploadPart(upload, number: number, offset: offset, payload, md5: md5)
  }

  /// As the store does: nothing passes through this machine.
  public func copyPart(
    _ upload: MultipartUpload, number: Int, of key: String, in other: any ObjectStore, range: Range<Int>
  ) async throws -> PartReceipt? {
    let behind = (other as? PacedStore)?.base ?? other
    return try await base.copyPart(upload, number: number, of: key, in: behind, range: range)
  }

  /// As the store does.
  @discardableResult
  public func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    try await base.complete(upload, parts)
  }
  /// As the store does.
  public func abort(_ upload: MultipartUpload) async throws { try await base.abort(upload) }
  /// As the store does.
  public func listUploads(_ prefix: String) async throws -> [PendingUpload] {
    try await base.listUploads(prefix)
  }
  /// As the store does.
  public func keepsOldVersions() async throws -> Bool { try await base.keepsOldVersions() }
  /// As the store does.
  public func offersLocks() async throws -> Bool { try await base.offersLocks() }
  /// As the store does.
  public func retention(of key: String) async throws -> ObjectRetention? {
    try await base.retention(of: key)
  }
  /// As the store does.
  @discardableResult
  public func lock(_ key: String, _ retention: ObjectRetention) async throws -> Bool {
    try await base.lock(key, retention)
  }
}

/// Deals out the time of a line: each transfer gets the next free stretch of it, as long as its bytes take at the rate.
private final class Pace: Sendable {
  /// Bytes a second.
  private let rate: Double
  private let now: @Sendable () -> Double
  private let sleep: @Sendable (Double) async throws -> Void
  /// When the line is free again.
  private let free = Mutex(0.0)

  init(
    rate: Int, now: @escaping @Sendable () -> Double, sleep: @escaping @Sendable (Double) async throws -> Void
  ) {
    self.rate = Double(max(1, rate))
    self.now = now
    self.sleep = sleep
  }

  /// Waits until the line is free for a transfer of so many bytes. Throws `CancellationError`.
  func turn(for count: Int) async throws {
    let wait = take(count) - now()
    if wait > 0 { try await sleep(wait) }
  }

  /// Takes the line's next stretch without waiting for it.
  func charge(_ count: Int) { _ = take(count) }

  /// When the next stretch begins.
  private func take(_ count: Int) -> Double {
    let time = now()
    return free.withLock { free in
      let start = max(free, time)
      free = start + Double(count) / rate
      return start
    }
  }
}
