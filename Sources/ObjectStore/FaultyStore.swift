import Platform
import Synchronization

/// What goes wrong with one call to a store.
public enum Fault: Sendable {
  /// The call fails and nothing was done.
  case before(StoreError)
  /// The work is done, and the caller hears of a failure: a lost answer.
  case after(StoreError)
  /// A `get` gives only the first bytes without saying so; a `read` fails as `.short`.
  case truncate(to: Int)
  /// One bit of byte `at` of what was read is wrong. A byte beyond the end leaves it right.
  case flip(at: Int)
  /// The same for every so many bytes of what a `read` gives.
  case flipEvery(Int)
  /// A listing lacks the keys that this is true of, without saying so.
  case omit(@Sendable (_ key: String) -> Bool)
}

/// A store in front of another that fails by a plan, repeatably. For tests.
public final class FaultyStore<Base: ObjectStore>: ObjectStore {
  /// Decides about a call: which operation, on which key (the prefix of a listing, the first key of a deletion), and how many calls
  /// of that operation there were, this one included. Nil lets it pass.
  public typealias Plan = @Sendable (_ operation: StoreOperation, _ key: String, _ call: Int) -> Fault?

  private let base: Base
  private let plan: Plan
  private let counts = Mutex<[StoreOperation: Int]>([:])

  /// `base` with the faults of a plan.
  public init(_ base: Base, plan: @escaping Plan) {
    self.base = base
    self.plan = plan
  }

  /// `base` with a script: the first call of an operation gets the first fault of its list, and so on; nil lets one pass.
  public convenience init(_ base: Base, script: [StoreOperation: [Fault?]]) {
    self.init(base) { operation, _, call in
      guard let faults = script[operation], call <= faults.count else { return nil }
      return faults[call - 1]
    }
  }

  /// The name of the store behind.
  public var name: String { base.name }

  /// How many calls of an operation there were.
  public func calls(_ operation: StoreOperation) -> Int { counts.withLock { $0[operation] ?? 0 } }

  /// Stores a whole object, unless planned otherwise.
  @discardableResult
  public func put(_ key: String, _ payload: Payload) async throws -> String? {
    try await run(.put, key) { try await base.put(key, payload) }
  }

  /// A whole small object, perhaps a damaged one.
  public func get(_ key: String, limit: Int) async throws -> [UInt8] {
    let fault = next(.get, key)
    var bytes = try await run(fault) { try await base.get(key, limit: limit) }
    switch fault {
    case .truncate(let count): bytes.removeLast(max(0, bytes.count - count))
    case .flip(let index) where bytes.indices.contains(index): bytes[index] ^= 1
    default: break
    }
    return bytes
  }

  /// Reads part of an object, perhaps a damaged one.
  public func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    let fault = next(.read, key)
    try await run(fault) { try await base.read(key, at: offset, into: target) }
    switch fault {
    case .truncate(let count): throw StoreError.short(key: key, expected: target.count, received: count)
    case .flip(let index) where index < target.count: target.withMemory { $0[index] ^= 1 }
    case .flipEvery(let step):
      target.withMemory { for index in stride(from: 0, to: $0.count, by: step) { $0[index] ^= 1 } }
    default: break
    }
  }

  /// Size, ETag and time of an object.
  public func head(_ key: String) async throws -> ObjectInfo? {
    try await run(.head, key) { try await base.head(key) }
  }

  /// All objects under a prefix, or all but some.
  public func list(_ prefix: String) async throws -> Listing {
    let fault = next(.list, prefix)
    let listing = try await run(fault) { try await base.list(prefix) }
    guard case .omit(let isLost) = fault else { return listing }
    return Listing(objects: listing.objects.filter { !isLost($0.key) }, now: listing.now)
  }

  /// Removes objects.
  public func delete(_ keys: [String]) async throws {
    try await run(.delete, keys.first ?? "") { try await base.delete(keys) }
  }

  /// Begins an object that is sent in parts.
  public func beginMultipart(_ key: String) async throws -> MultipartUpload {
    try await run(.beginMultipart, key) { try await base.beginMultipart(key) }
  }

  /// Sends a part.
  public func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    try await run(.uploadPart, upload.key) {
      try await base.uploadPart(upload, number: number, offset: offset, payload, md5: md5)
    }
  }

  /// Makes a part of another store's object.
  public func copyPart(
    _ upload: MultipartUpload, number: Int, of key: String, in other: any ObjectStore, range: Range<Int>
  ) async throws -> PartReceipt? {
    let behind: any ObjectStore = (other as? FaultyStore<Base>)?.base ?? other
    return try await run(.copyPart, upload.key) {
      try await base.copyPart(upload, number: number, of: key, in: behind, range: range)
    }
  }

  /// Joins the parts.
  @discardableResult
  public func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    try await run(.complete, upload.key) { try await base.complete(upload, parts) }
  }

  /// Ends an upload.
  public func abort(_ upload: MultipartUpload) async throws {
    try await run(.abort, upload.key) { try await base.abort(upload) }
  }

  /// Uploads that are still open.
  public func listUploads(_ prefix: String) async throws -> [PendingUpload] {
    try await run(.listUploads, prefix) { try await base.listUploads(prefix) }
  }

  /// Whether objects can be locked.
  public func offersLocks() async throws -> Bool {
    try await run(.retention, "") { try await base.offersLocks() }
  }

  /// Until when an object is locked.
  public func retention(of key: String) async throws -> ObjectRetention? {
    try await run(.retention, key) { try await base.retention(of: key) }
  }

  /// Locks an object, unless planned otherwise.
  @discardableResult
  public func lock(_ key: String, _ retention: ObjectRetention) async throws -> Bool {
    try await run(.lock, key) { try await base.lock(key, retention) }
  }

  private func next(_ operation: StoreOperation, _ key: String) -> Fault? {
    let call = counts.withLock { counts in
      counts[operation, default: 0] += 1
      return counts[operation, default: 0]
    }
    return plan(operation, key, call)
  }

  private func run<Result>(
    _ operation: StoreOperation, _ key: String, _ work: () async throws -> Result
  ) async throws -> Result {
    try await run(next(operation, key), work)
  }

  private func run<Result>(_ fault: Fault?, _ work: () async throws -> Result) async throws -> Result {
    if case .before(let error) = fault { throw error }
    let result = try await work()
    if case .after(let error) = fault { throw error }
    return result
  }
}
