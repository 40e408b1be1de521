import Glibc
import Platform
import Synchronization

/// A store whose transfers together take no more of the line than they may, so that whoever else uses it does not notice.
public struct PacedStore: ForwardingStore {
  /// The store that is slowed down.
  public let base: any ObjectStore
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
