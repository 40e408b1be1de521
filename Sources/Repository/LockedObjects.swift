import ObjectStore
import Platform

extension Repository {
  /// Removes objects, and gives those that stay since a lock keeps them, each with the end of its lock.
  ///
  /// Locks are asked for before: where a bucket keeps versions, as those with locks do, a deletion would be taken and only hide what is
  /// locked (docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html). Where they may not be asked for, a refusal tells.
  ///
  /// - Throws: `StoreError.partial` with those that stay for another reason, and any other `StoreError`.
  public func delete(_ keys: [String]) async throws -> [String: Timestamp] {
    guard !keys.isEmpty else { return [:] }
    var kept = try await lockedNow(keys)
    do {
      try await store.delete(keys.filter { kept[$0] == nil })
    } catch StoreError.partial(let failures) {
      let refused = try await locks(of: failures.keys.sorted())
      let others = failures.filter { refused[$0.key] == nil }
      guard others.isEmpty else { throw StoreError.partial(failures: others) }
      kept.merge(refused) { $1 }
    }
    return kept
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
  /// - Returns: those that stay since a lock keeps their marker, each with the end of the lock.
  @discardableResult
  public func remove(_ snapshots: [Snapshot]) async throws -> [LockedSnapshot] {
    LockedSnapshot.among(snapshots, try await delete(snapshots.map(\.key)))
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
