import Digests
import Glibc
import Platform

/// What credentials may do in a repository, each found by doing it with one tiny object.
public struct Permissions: Sendable {
  /// Whether something may be done.
  public enum Answer: String, Encodable, Sendable {
    case allowed
    case refused
    case unknown
  }

  /// A folder of the repository.
  public struct Folder: Encodable, Sendable {
    /// Its name.
    public let name: String
    /// Whether objects may be stored there.
    public var write: Answer
    /// Whether objects may be removed there.
    public var delete: Answer
  }

  /// Listing.
  public internal(set) var list = Answer.unknown
  /// Reading an object, HEAD and GET.
  public internal(set) var read = Answer.unknown
  /// Storing an object.
  public internal(set) var write = Answer.unknown
  /// Storing an object in parts.
  public internal(set) var multipart = Answer.unknown
  /// Removing an object.
  public internal(set) var delete = Answer.unknown
  /// Listing unfinished uploads.
  public internal(set) var listUploads = Answer.unknown
  /// The same for the folders that the repository's objects are in, where that could be tried without leaving anything.
  public internal(set) var folders: [Folder] = []
  /// Objects that had to be left, since they may not be removed.
  public internal(set) var leftBehind: [String] = []
  /// What was in the way and is no matter of permission.
  public internal(set) var failure: StoreError?
}

/// Finds out what credentials may do.
public struct PermissionCheck: Sendable {
  private let store: any ObjectStore
  private let s3: S3Store?
  private let key: String
  private let lasting: String
  private let existing: String
  private let folders: [(name: String, key: String)]

  /// A check of a store.
  ///
  /// - Parameters:
  ///   - s3: the S3 store behind `store`, where it is one.
  ///   - key: the tiny object, new each time; nothing of that name is there.
  ///   - lasting: its name where nothing may be removed: the same for ever, so that no two are left.
  ///   - existing: an object that may be read where none may be written.
  ///   - folders: for each folder a key in it that nothing has.
  public init(
    _ store: any ObjectStore, s3: S3Store?, key: String, lasting: String, existing: String,
    folders: [(name: String, key: String)]
  ) {
    self.store = store
    self.s3 = s3
    self.key = key
    self.lasting = lasting
    self.existing = existing
    self.folders = folders
  }

  /// The bytes of the tiny object.
  static let content = Array("ckbackup doctor\n".utf8)

  /// Tries everything. Throws `CancellationError`; what else goes wrong is in the answer.
  public func run() async throws -> Permissions {
    var found = Permissions()
    do {
      try await tryAll(&found)
    } catch let error as StoreError {
      found.failure = error
    }
    return found
  }

  private func tryAll(_ found: inout Permissions) async throws {
    found.list = try await attempt { _ = try await store.list(prefix(of: key)) }
    found.delete = try await deletion(of: key)
    // Where nothing can be removed, one object of a fixed name is all that is ever left.
    let mine = found.delete == .allowed ? key : lasting
    found.write = try await attempt { try await store.put(mine, Payload(Self.content)) }
    let readable = found.write == .allowed ? mine : existing
    found.read = try await attempt {
      guard try await store.head(readable) != nil else { throw StoreError.missing(key: readable) }
      _ = try await store.get(readable, limit: 1 << 20)
    }
    if found.write == .allowed {
      found.multipart = try await parts(mine)
      try await remove(mine, &found)
    }
    guard let s3 else { return }
    found.listUploads = try await listsUploads(s3)
    var refusesWrongBodies = true
    if found.write == .allowed {
      refusesWrongBodies = try await writes(s3, mine) == (.allowed, false)
      if !refusesWrongBodies { try await remove(mine, &found) }
    }
    for folder in folders {
      var write = Permissions.Answer.unknown
      if refusesWrongBodies {
        let (answer, isStored) = try await writes(s3, folder.key)
        write = answer
        if isStored {
          refusesWrongBodies = false
          try await remove(folder.key, &found)
        }
      }
      let delete = try await deletion(of: folder.key)
      found.folders.append(.init(name: folder.name, write: write, delete: delete))
    }
  }

  /// Stores the object once more, in one part.
  private func parts(_ mine: String) async throws -> Permissions.Answer {
    var begun: MultipartUpload?
    do {
      return try await attempt {
        let upload = try await store.beginMultipart(mine)
        begun = upload
        let part = try await store.uploadPart(
          upload, number: 1, offset: 0, Payload(Self.content), md5: MD5.hash(Self.content))
        try await store.complete(upload, [part])
        begun = nil
      }
    } catch {
      if let upload = begun { await Task.detached { [store] in try? await store.abort(upload) }.value }
      throw error
    }
  }

  /// Whether what is not there may be removed, which changes nothing.
  private func deletion(of key: String) async throws -> Permissions.Answer {
    guard let s3 else { return try await attempt { try await store.delete([key]) } }
    return try await attempt { _ = try await s3.session.send(S3Request(.delete, "DELETE", key: key)) }
  }

  private func remove(_ key: String, _ found: inout Permissions) async throws {
    guard found.delete != .refused, try await deletion(of: key) == .allowed else {
      if !found.leftBehind.contains(key) { found.leftBehind.append(key) }
      return
    }
    // Some servers answer the deletion of what is not there in a way that tells nothing.
    found.delete = .allowed
  }

  private func listsUploads(_ s3: S3Store) async throws -> Permissions.Answer {
    var request = S3Request(.listUploads, "GET", bucketFor: "")
    request.query = [(name: "uploads", value: ""), (name: "prefix", value: s3.session.settings.full(""))]
    return try await attempt { [request] in _ = try await s3.session.send(request) }
  }

  /// Whether an object may be stored under a key: it is sent with a wrong digest, so that a server that allows it refuses it for
  /// that and stores nothing. `isStored` where it did all the same.
  private func writes(_ s3: S3Store, _ key: String) async throws -> (Permissions.Answer, isStored: Bool) {
    var request = S3Request(.put, "PUT", key: key)
    request.headers = [(name: "Content-MD5", value: base64(MD5.hash(Array("other".utf8))))]
    request.body = Payload(Self.content)
    let answer = try await s3.session.exchange(request)
    if answer.isSuccess { return (.allowed, true) }
    switch s3.session.error(S3Problem(answer), request) {
    case .corruptedInTransit: return (.allowed, false)
    case let error where error.isDenial: return (.refused, false)
    default: return (.unknown, false)
    }
  }

  /// Whether some work is allowed. What fails for another reason is thrown, but for what is missing or unknown to the store.
  private func attempt(_ work: () async throws -> Void) async throws -> Permissions.Answer {
    do {
      try await work()
      return .allowed
    } catch let error as StoreError {
      if error.isDenial { return .refused }
      switch error {
      case .missing, .unsupported, .noUpload: return .unknown
      default: throw error
      }
    }
  }

  private func prefix(of key: String) -> String { String(key.prefix { $0 != "/" }) + "/" }
}

extension StoreError {
  /// Whether the answer is that these credentials, or this user of the machine, may not do it.
  public var isDenial: Bool {
    switch self {
    case .denied: true
    case .refused(_, _, let status, _, _): status == 401 || status == 403
    case .system(let error): error.isDenial
    default: false
    }
  }
}

extension SystemError {
  /// Whether the user may not do it, or nobody may.
  fileprivate var isDenial: Bool { [EACCES, EPERM, EROFS].contains(code) }
}
