import ObjectStore
import Platform
import Repository
import Synchronization

/// Locks what a snapshot needs against deletion: its packs, whoever stored them, its manifest, its record and its marker.
///
/// It comes after the commit: a snapshot that is not locked in part is whole all the same, and the same push locks the rest.
public struct SnapshotLock: Sendable {
  /// What is asked for.
  public struct Request: Equatable, Sendable {
    /// For how many seconds from the push on.
    public var seconds: Double
    /// Who may end the lock before its time.
    public var mode: ObjectRetention.Mode

    /// A lock for so many seconds.
    public init(seconds: Double, mode: ObjectRetention.Mode) {
      self.seconds = seconds
      self.mode = mode
    }
  }

  /// What was locked.
  public struct Report: Equatable, Sendable {
    /// What every object has at least.
    public var retention: ObjectRetention
    /// How many objects the snapshot needs; all of them are locked.
    public var objects: Int
    /// How many of them were locked as long and as strictly before.
    public var lockedBefore: Int
  }

  private let repository: Repository
  private let retention: ObjectRetention
  private static let parallel = 16

  /// A lock that is ready to be set, or nil where none is asked for. Its time counts from now, by the store's clock.
  ///
  /// - Throws: `EngineError.cannotLock` where the place has no locks; `StoreError`.
  static func prepare(_ request: Request?, in repository: Repository) async throws -> SnapshotLock? {
    guard let request else { return nil }
    guard try await repository.store.offersLocks() else {
      throw EngineError.cannotLock(place: repository.store.name)
    }
    let now = try await repository.store.list(ObjectKey.repository).now
    let until = Timestamp(seconds: now.seconds + 1 + Int64(min(request.seconds, 1e10).rounded(.up)))
    return SnapshotLock(
      repository: repository, retention: ObjectRetention(mode: request.mode, until: until))
  }

  /// Locks what a snapshot needs, its marker last.
  ///
  /// - Throws: `EngineError.notLocked` with all objects that are not; `FormatError`, `StoreError`, `CancellationError`.
  func run(_ snapshot: Snapshot) async throws -> Report {
    let store = repository.store
    let packs = try await repository.manifest(of: snapshot).packs.map(\.key)
    let record = try await store.list(snapshot.record).objects.map(\.key)
    let first = packs + record + [snapshot.manifest.key]
    // Where the server is gone, none of the others is waited for.
    let silence = Mutex<(StoreError)?>(nil)
    func lock(_ keys: [String]) async throws -> [(key: String, result: Result<Bool, StoreError>)] {
      try await concurrently(keys, limit: Self.parallel) { [retention] key in
        if let error = silence.withLock({ $0 }) { return (key, .failure(error)) }
        do {
          return (key, .success(try await store.lock(key, retention)))
        } catch let error as StoreError {
          if case .gaveUp = error { silence.withLock { $0 = error } }
          return (key, .failure(error))
        }
      }
    }
    let results = try await lock(first) + lock([snapshot.key])
    var failures: [String: StoreError] = [:]
    var before = 0
    for (key, result) in results {
      switch result {
      case .success(let isNew): before += isNew ? 0 : 1
      case .failure(let error): failures[key] = error
      }
    }
    guard failures.isEmpty else {
      throw EngineError.notLocked(
        snapshot: snapshot.label, locked: results.count - failures.count, failures: failures)
    }
    // A server that takes a lock and forgets it must not be believed.
    guard let held = try await store.retention(of: snapshot.key), held.joined(with: retention) == held else {
      let error = StoreError.refused(
        operation: StoreOperation.lock.rawValue, key: snapshot.key, status: 0, code: "NotLocked",
        message: "the server took the lock and does not show it")
      throw EngineError.notLocked(snapshot: snapshot.label, locked: 0, failures: [snapshot.key: error])
    }
    return Report(retention: retention, objects: results.count, lockedBefore: before)
  }
}
