import Platform

/// What a store keeps objects in: an S3 bucket's prefix, a directory, or memory.
///
/// The contract that every store holds and that the callers rely on:
/// - Keys are relative, `/`-separated, never empty, without empty, `.` or `..` components, each at most 255 bytes; 1,024 bytes
///   in all; without control characters and backslashes (SeaweedFS 4.48 takes a backslash for a slash).
/// - `put` and `complete` are atomic: a reader sees the whole new object or what was there before. They replace.
/// - After `put` or `complete` returned, the object is durable and is seen by `get`, `head` and `list`.
/// - Every call may be repeated with the same arguments after a failure; `delete` of what is missing succeeds.
/// - A read gives exactly the bytes that were asked for or throws; it never gives fewer.
/// - `list` gives every object under the prefix or throws; it never gives a part of them.
/// - Errors are `StoreError`, or `CancellationError` where the task was cancelled.
public protocol ObjectStore: Sendable {
  /// The store as a user names it, for example `s3://bucket/prefix`. It holds no secret.
  var name: String { get }

  /// Stores a whole object and gives its ETag as the store answered it (without quotes), or nil where there is none.
  @discardableResult
  func put(_ key: String, _ payload: Payload) async throws -> String?

  /// A whole small object. Throws `.missing` where there is none, `.tooLarge` where it has more than `limit` bytes.
  func get(_ key: String, limit: Int) async throws -> [UInt8]

  /// Reads `target.count` bytes that begin `offset` bytes into the object. Throws `.missing`, or `.short` where the object ends earlier.
  ///
  /// `target` lies in a buffer that the caller filled into nothing yet and keeps alive until the call returns.
  func read(_ key: String, at offset: Int, into target: WritableSlice) async throws

  /// Size, ETag and time of an object, or nil where there is none.
  func head(_ key: String) async throws -> ObjectInfo?

  /// All objects whose keys begin with `prefix` (any string, `/`-ended or not), ordered by key bytewise, with the store's own time at the first answer.
  func list(_ prefix: String) async throws -> Listing

  /// Removes objects. Throws `.partial` with the keys that could not be removed and why, among them those that a lock keeps.
  func delete(_ keys: [String]) async throws

  /// Begins an object that is sent in parts.
  func beginMultipart(_ key: String) async throws -> MultipartUpload

  /// Sends part `number` (from 1), whose first byte is byte `offset` of the object. Sending a number again replaces it.
  func uploadPart(_ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8])
    async throws -> PartReceipt

  /// Makes part `number` of `range` of an object of another store, whose bytes do not pass through this machine. Gives nil, and has
  /// done nothing, where the two stores cannot do that. A store need not offer it.
  func copyPart(
    _ upload: MultipartUpload, number: Int, of key: String, in other: any ObjectStore, range: Range<Int>
  ) async throws -> PartReceipt?

  /// Joins the parts to the object, in the order of their numbers, and gives its ETag as the store answered it.
  @discardableResult
  func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String?

  /// Whether the store was seen to be one whose ETags of joined objects are not made of their parts' MD5s, though they may look so.
  var hasOpaqueETags: Bool { get }

  /// Ends an upload and frees its parts. An upload that is not there any more is no error.
  func abort(_ upload: MultipartUpload) async throws

  /// Uploads under `prefix` that were begun and neither completed nor aborted; empty where the store cannot tell.
  func listUploads(_ prefix: String) async throws -> [PendingUpload]

  /// Whether an object can be read, or is in an archive class. Throws `.missing`.
  func archiveState(of key: String) async throws -> ArchiveState

  /// Asks for an object of an archive class to be brought back, and gives its state then. Asking twice does no harm.
  func thaw(_ key: String, _ request: ThawRequest) async throws -> ArchiveState

  /// Whether objects can be locked against deletion here. A store need not offer it.
  func offersLocks() async throws -> Bool

  /// Until when an object is locked, or nil where it is not or is not there.
  func retention(of key: String) async throws -> ObjectRetention?

  /// Locks an object. A longer or stricter retention that it has stays. False where it was locked as long and as strictly already.
  ///
  /// - Throws: `StoreError.unsupported` where the store has no locks.
  @discardableResult
  func lock(_ key: String, _ retention: ObjectRetention) async throws -> Bool

  /// Whether what is deleted stays as an old version that nothing ends.
  func keepsOldVersions() async throws -> Bool
}

extension ObjectStore {
  /// A store's ETags are what they look like unless it says something else.
  public var hasOpaqueETags: Bool { false }

  /// No store copies from others unless it says so.
  public func copyPart(
    _ upload: MultipartUpload, number: Int, of key: String, in other: any ObjectStore, range: Range<Int>
  ) async throws -> PartReceipt? { nil }

  /// No store keeps old versions unless it says so.
  public func keepsOldVersions() async throws -> Bool { false }
  /// No store has locks unless it says so.
  public func offersLocks() async throws -> Bool { false }
  /// No store has locks unless it says so.
  public func retention(of key: String) async throws -> ObjectRetention? { nil }
  /// No store has locks unless it says so.
  @discardableResult
  public func lock(_ key: String, _ retention: ObjectRetention) async throws -> Bool {
    throw StoreError.unsupported(operation: StoreOperation.lock.rawValue)
  }
}

/// What a listing or a HEAD tells of an object.
public struct ObjectInfo: Equatable, Sendable {
  /// The object's key below the store's prefix.
  public let key: String
  /// Its size in bytes.
  public let size: Int
  /// Its ETag without quotes, or nil where the store has none.
  public let etag: String?
  /// When it was last written, by the store's clock.
  public let modified: Timestamp

  /// An object as a store describes it.
  public init(key: String, size: Int, etag: String?, modified: Timestamp) {
    self.key = key
    self.size = size
    self.etag = etag
    self.modified = modified
  }
}

/// A complete listing and the store's own time when it began.
public struct Listing: Sendable {
  /// The objects, ordered by key bytewise.
  public let objects: [ObjectInfo]
  /// The store's clock at the first answer; ages are measured against it, never against this machine's clock.
  public let now: Timestamp

  /// A listing taken at the store's time `now`.
  public init(objects: [ObjectInfo], now: Timestamp) {
    self.objects = objects
    self.now = now
  }
}

/// An object on its way: the store's name for an upload that was begun.
public struct MultipartUpload: Hashable, Codable, Sendable {
  /// The key that the object will have.
  public let key: String
  /// The store's id of the upload.
  public let id: String

  /// An upload by its key and id.
  public init(key: String, id: String) {
    self.key = key
    self.id = id
  }
}

/// A part that the store has taken.
public struct PartReceipt: Equatable, Sendable {
  /// The part's number, from 1.
  public let number: Int
  /// What the store answered as the part's ETag; it goes back to it in `complete`.
  public let etag: String
  /// The part's size in bytes, or nil where it is not known any more. With all sizes a completion whose answer was lost can be
  /// settled by looking at the object.
  public let size: Int?
  /// Whether the ETag is the MD5 of the part's bytes, as far as it looks like one. A server that encrypts may have others, which
  /// look the same.
  public let isDigest: Bool

  /// A part by its number, the ETag that the store gave it, and its size.
  public init(number: Int, etag: String, size: Int? = nil, isDigest: Bool = true) {
    self.number = number
    self.etag = etag
    self.size = size
    self.isDigest = isDigest
  }
}

/// An upload that nobody finished, and when it began by the store's clock.
public struct PendingUpload: Equatable, Sendable {
  /// The upload.
  public let upload: MultipartUpload
  /// When it was begun.
  public let started: Timestamp

  /// A pending upload as a store lists it.
  public init(upload: MultipartUpload, started: Timestamp) {
    self.upload = upload
    self.started = started
  }
}
