import ObjectStore
import Platform

extension Repository {
  /// Removes objects, and gives those that are gone, and those that stay since a lock keeps them, each with the end of its lock.
  ///
  /// Locks are asked for before: where a bucket keeps versions, as those with locks do, a deletion would be taken and only hide what is
  /// locked (docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html). Where they may not be asked for, a refusal tells.
  ///
  /// - Parameter confirm: gives those of some keys that may still go, right before they do: asking for thousands of locks takes time.
  /// - Throws: `StoreError.partial` with those that stay for another reason, and any other `StoreError`; what `confirm` throws.
  public func delete(
    _ keys: [String], confirm: ([String]) async throws -> [String] = { $0 }
  ) async throws -> (deleted: [String], locked: [String: Timestamp]) {
    guard !keys.isEmpty else { return ([], [:]) }
    var locked = try await lockedNow(keys)
    let free = keys.filter { locked[$0] == nil }
    let chosen = free.isEmpty ? [] : try await confirm(free)
    guard !chosen.isEmpty else { return ([], locked) }
    do {
      try await store.delete(chosen)
    } catch StoreError.partial(let failures) {
      let refused = try await locks(of: failures.keys.sorted())
      let others = failures.filter { refused[$0.key] == nil }
      guard others.isEmpty else { throw StoreError.partial(failures: others) }
      locked.merge(refused) { $1 }
    }
    return (chosen.filter { locked[$0] == nil }, locked)
  }

  /// Those of the keys that a lock keeps now, each with the end of its lock; none where the bucket has no locks. Throws `StoreError`.
  private func lockedNow(_ keys: [String]) async throws -> [String: Timestamp] {
    guard !keys.isEmpty, try await told({ try await store.offersLocks() }) == true else { return [:] }
    return try await locks(of: keys)
  }

  /// Those of the keys whose objects are locked now, by the store's clock, each with the end of its lock.
  private func locks(of keys: [String]) async throws -> [String: Timestamp] {
    let ends = try await concurrently(keys, limit: Self.parallelFetches) { key in
      (key, try await told { try await store.retention(of: key) }??.until)
    }
    let now = try await store.list(ObjectKey.repository).now
    var locked: [String: Timestamp] = [:]
    for (key, end) in ends {
      if let end, end > now { locked[key] = end }
    }
    return locked
  }

  /// An answer about locks, or nil where these credentials may not ask or the server does not know.
  private func told<Answer>(_ ask: () async throws -> Answer) async throws -> Answer? {
    do {
      return try await ask()
    } catch let error as StoreError {
      switch error {
      case .denied, .refused, .notS3, .unsupported: return nil
      default: throw error
      }
    }
  }

  /// Removes markers: these snapshots are no more. What only they needed is for a prune to find.
  ///
  /// - Parameter ifUnchanged: whether a marker that is not as it was read stays: it may be a milestone now.
  /// - Returns: those that are gone, and those that stay since a lock keeps their marker.
  @discardableResult
  public func remove(
    _ snapshots: [Snapshot], ifUnchanged: Bool = false
  ) async throws -> (removed: [Snapshot], locked: [LockedSnapshot]) {
    let byKey = Dictionary(snapshots.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    let (deleted, locked) = try await delete(snapshots.map(\.key)) { keys in
      guard ifUnchanged else { return keys }
      return try await concurrently(keys, limit: Self.parallelFetches) { key in
        try await snapshot(at: key) == byKey[key] ? key : nil
      }.compactMap { $0 }
    }
    return (deleted.compactMap { byKey[$0] }, LockedSnapshot.among(snapshots, locked))
  }

  /// Those of the snapshots whose marker a lock keeps now. Throws `StoreError`.
  public func locked(_ snapshots: [Snapshot]) async throws -> [LockedSnapshot] {
    LockedSnapshot.among(snapshots, try await lockedNow(snapshots.map(\.key)))
  }
}

/// A snapshot that a lock keeps.
public struct LockedSnapshot: Sendable {
  /// The snapshot.
  public let snapshot: Snapshot
  /// When the lock on its marker ends.
  public let until: Timestamp

  fileprivate static func among(_ snapshots: [Snapshot], _ ends: [String: Timestamp]) -> [LockedSnapshot] {
    snapshots.compactMap { snapshot in
      ends[snapshot.key].map { LockedSnapshot(snapshot: snapshot, until: $0) }
    }
  }
}
