import ObjectStore
import Platform
import Synchronization

/// The markers of a repository at one moment.
public struct SnapshotListing: Sendable {
  /// What could be read, ordered by run, step, time and id.
  public let snapshots: [Snapshot]
  /// What is wrong with the markers that could not.
  public let unreadable: [FormatError]
  /// The keys of what lies among them and is no marker by its name, as file managers and sync tools leave it.
  public let strays: [String]
  /// The store's clock when the listing began.
  public let now: Timestamp
}

extension Repository {
  /// So many markers are fetched before their copies are written.
  private static let markersInBatch = 1000

  /// All markers of a run, or of every run where none is named, ordered by run, step and id; with those that cannot be read.
  public func snapshots(of run: String? = nil) async throws -> SnapshotListing {
    let listing = try await store.list(run.map(ObjectKey.snapshots(of:)) ?? ObjectKey.snapshots)
    let folders = Dictionary(grouping: listing.objects) { MarkerCopies.folder(of: $0.key) }
      .sorted { $0.key < $1.key }
    let found = try await concurrently(folders, limit: Self.parallelFetches) { folder, objects in
      FolderMarkers(folder, objects, cache, opaque: store.hasOpaqueETags)
    }
    var snapshots = found.flatMap(\.snapshots)
    var unreadable: [FormatError] = []
    var batch: [FolderMarkers] = []
    for folder in found where !folder.missing.isEmpty {
      batch.append(folder)
      guard batch.reduce(0, { $0 + $1.missing.count }) >= Self.markersInBatch else { continue }
      try await fetch(batch, into: &snapshots, &unreadable)
      batch = []
    }
    try await fetch(batch, into: &snapshots, &unreadable)
    snapshots.sort { ($0.run, $0.step, $0.time, $0.id) < ($1.run, $1.step, $1.time, $1.id) }
    // A newer format may name its markers as it likes.
    let strays = unreadable.compactMap { error in
      if case .invalid(let key, _) = error, ObjectKey.parse(marker: key) == nil { key } else { nil }
    }
    unreadable.removeAll { $0.object.map(strays.contains) ?? false }
    return SnapshotListing(snapshots: snapshots, unreadable: unreadable, strays: strays, now: listing.now)
  }

  /// Fetches what the cache lacked of some folders, and lets it have the whole folders.
  private func fetch(
    _ folders: [FolderMarkers], into snapshots: inout [Snapshot], _ unreadable: inout [FormatError]
  ) async throws {
    // What has come is kept where the rest cannot be had: the next listing of a long run goes on from there.
    let fetched = Mutex<[String: [MarkerCopies.Copy]]>([:])
    defer {
      if let cache {
        for folder in folders {
          guard let new = fetched.withLock({ $0[folder.name] }) else { continue }
          cache.put(MarkerCopies.name(folder.name), MarkerCopies.encode(folder.copies + new))
        }
      }
    }
    let results = try await concurrently(folders.flatMap(\.missing), limit: Self.parallelFetches) { object in
      let result = try await fetchMarker(object)
      if cache != nil, case .success((_, let copy?)?) = result {
        fetched.withLock { $0[MarkerCopies.folder(of: object.key), default: []].append(copy) }
      }
      return result
    }
    for result in results {
      switch result {
      case .success((let snapshot, _)?): snapshots.append(snapshot)
      case .success(nil): break
      case .failure(let error): unreadable.append(error)
      }
    }
  }

  /// The marker behind a listed object, and what the cache may keep of it; nil where it was deleted meanwhile.
  private func fetchMarker(
    _ object: ObjectInfo
  ) async throws -> Result<(Snapshot, MarkerCopies.Copy?)?, FormatError> {
    do {
      let bytes = try await store.get(object.key, limit: Snapshot.largestMarker)
      return .success(
        (try Snapshot.decode(bytes, key: object.key), .init(of: object, bytes, opaque: store.hasOpaqueETags)))
    } catch StoreError.missing {
      return .success(nil)
    } catch StoreError.tooLarge(_, let limit) {
      return .failure(.invalid(object: object.key, detail: "it has more than \(limit) bytes"))
    } catch let error as FormatError {
      return .failure(error)
    }
  }

  /// The snapshot whose marker has a key, as the store has it now, or nil where there is none that can be read.
  ///
  /// - Throws: `FormatError.newerFormat`, so that nobody puts an older marker in its place; `StoreError`.
  public func snapshot(at key: String) async throws -> Snapshot? {
    do {
      let bytes = try await store.get(key, limit: Snapshot.largestMarker)
      return try Snapshot.decode(bytes, key: key)
    } catch FormatError.invalid {
      return nil
    } catch StoreError.missing {
      return nil
    } catch StoreError.tooLarge {
      return nil
    }
  }
}

/// What the cache has of the markers that a folder is listed with.
private struct FolderMarkers: Sendable {
  let name: String
  private(set) var snapshots: [Snapshot] = []
  /// The copies behind these.
  private(set) var copies: [MarkerCopies.Copy] = []
  private(set) var missing: [ObjectInfo] = []

  init(_ name: String, _ objects: [ObjectInfo], _ cache: MetadataCache?, opaque: Bool) {
    self.name = name
    let known = cache?.get(MarkerCopies.name(name)).map(MarkerCopies.decode) ?? [:]
    for object in objects {
      guard let source = MarkerCopies.source(of: object), let bytes = known[source],
        MarkerCopies.fits(bytes, object, opaque: opaque),
        let snapshot = try? Snapshot.decode(bytes, key: object.key)
      else {
        missing.append(object)
        continue
      }
      snapshots.append(snapshot)
      copies.append(.init(source: source, bytes: bytes))
    }
    // They are only written again beside new ones.
    if missing.isEmpty { copies = [] }
  }
}
