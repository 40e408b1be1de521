import Digests
import Glibc
import Platform
import Synchronization

/// A store in front of another that tries again where an error is worth it, and throws `StoreError.gaveUp` where that did not help.
public final class RetryingStore<Base: ObjectStore>: ObjectStore {
  private let base: Base
  private let policy: RetryPolicy
  private let sleep: @Sendable (Double) async throws -> Void
  private let random: @Sendable () -> Double
  private let clock: @Sendable () -> Double
  private let onRetry: @Sendable (StoreOperation, StoreError, Double) -> Void
  private let onEnd: @Sendable () -> Void
  /// Whether the store answered anything since it was last given up.
  private let answered = Atomic<Bool>(false)

  /// `base` under a policy.
  ///
  /// `sleep` waits so many seconds and throws where the task is cancelled; `random` gives numbers in 0..<1; `clock` gives seconds
  /// that never go back; `onRetry` hears of each failed try and the pause that follows it, `onEnd` when what was tried again has ended,
  /// well or not.
  public init(
    _ base: Base, policy: RetryPolicy = RetryPolicy(),
    sleep: @escaping @Sendable (Double) async throws -> Void = { try await Task.sleep(for: .seconds($0)) },
    random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) },
    clock: @escaping @Sendable () -> Double = monotonicSeconds,
    onRetry: @escaping @Sendable (StoreOperation, StoreError, Double) -> Void = { _, _, _ in },
    onEnd: @escaping @Sendable () -> Void = {}
  ) {
    self.base = base
    self.policy = policy
    self.sleep = sleep
    self.random = random
    self.clock = clock
    self.onRetry = onRetry
    self.onEnd = onEnd
  }

  /// The name of the store behind.
  public var name: String { base.name }

  /// Whether the ETags of the store behind are opaque.
  public var hasOpaqueETags: Bool { base.hasOpaqueETags }

  /// Stores a whole object.
  @discardableResult
  public func put(_ key: String, _ payload: Payload) async throws -> String? {
    try await run(.put) { try await base.put(key, payload) }
  }

  /// A whole small object.
  public func get(_ key: String, limit: Int) async throws -> [UInt8] {
    try await run(.get) { try await base.get(key, limit: limit) }
  }

  /// Reads part of an object. An object that is too short is looked at once: an error that stays is not a passing one. One that is long
  /// enough counts as short only when answers have ended early again and again: once is the network's doing, however late it was.
  public func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    var hasLooked = false
    var shortAnswers = 0
    try await run(.read) {
      do {
        try await base.read(key, at: offset, into: target)
      } catch let error as StoreError {
        guard case .short(_, let expected, let received) = error else { throw error }
        shortAnswers += 1
        if !hasLooked, let info = try await base.head(key) {
          hasLooked = true
          if info.size - target.count < offset { throw Final(error: error) }
        }
        guard shortAnswers < 3 else { throw error }
        throw StoreError.transient(
          operation: StoreOperation.read.rawValue,
          detail: "the answer ended after \(received) of \(expected) bytes", retryAfter: nil)
      }
    }
  }

  /// Size, ETag and time of an object.
  public func head(_ key: String) async throws -> ObjectInfo? {
    try await run(.head) { try await base.head(key) }
  }

  /// All objects under a prefix.
  public func list(_ prefix: String) async throws -> Listing {
    try await run(.list) { try await base.list(prefix) }
  }

  /// Removes objects.
  public func delete(_ keys: [String]) async throws { try await run(.delete) { try await base.delete(keys) } }

  /// Begins an object that is sent in parts. A lost answer leaves an upload that `listUploads` shows.
  public func beginMultipart(_ key: String) async throws -> MultipartUpload {
    try await run(.beginMultipart) { try await base.beginMultipart(key) }
  }

  /// Sends a part.
  public func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    try await run(.uploadPart) {
      try await base.uploadPart(upload, number: number, offset: offset, payload, md5: md5)
    }
  }

  /// Makes a part of another store's object.
  public func copyPart(
    _ upload: MultipartUpload, number: Int, of key: String, in other: any ObjectStore, range: Range<Int>
  ) async throws -> PartReceipt? {
    let unpaced = (other as? PacedStore)?.base ?? other
    let behind: any ObjectStore = (unpaced as? RetryingStore<Base>)?.base ?? unpaced
    return try await run(.copyPart) {
      try await base.copyPart(upload, number: number, of: key, in: behind, range: range)
    }
  }

  /// Joins the parts. Where the answer was lost, or the upload turns out to be gone, the object itself says whether it was done.
  @discardableResult
  public func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    let expected = JoinedObject(parts)
    return try await run(.complete) {
      do {
        return try await base.complete(upload, parts)
      } catch let error as StoreError {
        var isGone = false
        if case .noUpload = error { isGone = true }
        guard isGone || error.isTransient else { throw error }
        // Where the upload is gone, the look alone knows whether the work was done, and is tried again by itself; else the completion is.
        let info = isGone ? try? await head(upload.key) : try? await base.head(upload.key)
        if let info, expected.matches(info, opaque: base.hasOpaqueETags) { return info.etag }
        try Task.checkCancellation()
        throw error
      }
    }
  }

  /// Ends an upload.
  public func abort(_ upload: MultipartUpload) async throws {
    try await run(.abort) { try await base.abort(upload) }
  }

  /// Uploads that are still open.
  public func listUploads(_ prefix: String) async throws -> [PendingUpload] {
    try await run(.listUploads) { try await base.listUploads(prefix) }
  }

  /// Whether an object can be read.
  public func archiveState(of key: String) async throws -> ArchiveState {
    try await run(.head) { try await base.archiveState(of: key) }
  }

  /// Asks for an object of an archive class to be brought back.
  public func thaw(_ key: String, _ request: ThawRequest) async throws -> ArchiveState {
    try await run(.thaw) { try await base.thaw(key, request) }
  }

  /// Whether objects can be locked.
  public func offersLocks() async throws -> Bool {
    try await run(.retention) { try await base.offersLocks() }
  }

  /// Until when an object is locked.
  public func retention(of key: String) async throws -> ObjectRetention? {
    try await run(.retention) { try await base.retention(of: key) }
  }

  /// Locks an object.
  @discardableResult
  public func lock(_ key: String, _ retention: ObjectRetention) async throws -> Bool {
    try await run(.lock) { try await base.lock(key, retention) }
  }

  /// Whether what is deleted stays as an old version.
  public func keepsOldVersions() async throws -> Bool {
    try await run(.list) { try await base.keepsOldVersions() }
  }

  /// An error that would pass for a passing one and is known not to be.
  private struct Final: Error { let error: StoreError }

  private func run<Result>(
    _ operation: StoreOperation, _ work: () async throws -> Result
  ) async throws -> Result {
    let start = clock()
    var attempt = 1
    defer { if attempt > 1 { onEnd() } }
    while true {
      try Task.checkCancellation()
      do {
        let result = try await work()
        answered.store(true, ordering: .relaxed)
        return result
      } catch let final as Final {
        throw final.error
      } catch let error as StoreError {
        if case .unreachable = error {} else { answered.store(true, ordering: .relaxed) }
        let pause = policy.pause(
          after: error, attempt: attempt, elapsed: clock() - start,
          answered: answered.load(ordering: .relaxed), random: random())
        guard let pause else { throw givenUp(error, tries: attempt, seconds: clock() - start) }
        onRetry(operation, error, pause)
        try await sleep(pause)
        attempt += 1
      }
    }
  }

  private func givenUp(_ error: StoreError, tries: Int, seconds: Double) -> StoreError {
    // What is still to be done, such as freeing parts, must not wait for a dead server as long once more.
    if case .unreachable = error { answered.store(false, ordering: .relaxed) }
    // An object that is too short is damage, and looks like it however often it was read.
    if case .short = error { return error }
    return error.isTransient ? .gaveUp(error, tries: tries, seconds: seconds) : error
  }
}

/// What the object must look like that a completion makes of its parts.
struct JoinedObject {
  /// The sum of the parts' sizes, where all are known.
  let size: Int?
  /// The ETag that S3 makes of the parts' MD5s, where their ETags are MD5s.
  let etag: String?
  /// The part of the ETag that tells how many parts there were.
  let suffix: String

  init(_ parts: [PartReceipt]) {
    let sizes = parts.compactMap(\.size)
    size = sizes.count == parts.count ? sizes.reduce(0, +) : nil
    let digests = parts.sorted { $0.number < $1.number }.compactMap { bytes(hex: $0.etag) }
    suffix = "-\(parts.count)"
    let areDigests =
      digests.count == parts.count && digests.allSatisfy { $0.count == 16 }
      && parts.allSatisfy(\.isDigest)
    etag = areDigests ? multipartETag(partMD5s: digests) : nil
  }

  /// Whether an object is the one. An ETag of S3's form decides; where the store has others, or `opaque` ones, the size does.
  func matches(_ info: ObjectInfo, opaque: Bool) -> Bool {
    if let size, info.size != size { return false }
    if !opaque, let etag, let seen = info.etag, isMultipartETag(seen) { return seen.lowercased() == etag }
    return size != nil
  }

  private func isMultipartETag(_ text: String) -> Bool {
    text.hasSuffix(suffix) && bytes(hex: String(text.dropLast(suffix.count)))?.count == 16
  }
}

/// Seconds of a clock that never goes back.
public func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
