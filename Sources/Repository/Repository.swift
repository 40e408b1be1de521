import Digests
import ObjectStore
import Platform

/// A repository in a store: the only way to its metadata.
public struct Repository: Sendable {
  /// The store that holds it.
  public let store: any ObjectStore
  /// Its description.
  public let info: RepositoryInfo
  /// Clock and randomness.
  public let surroundings: Surroundings
  let cache: MetadataCache?

  /// How many small objects are fetched at once.
  static let parallelFetches = 16
  private static let largestMarker = 1 << 20

  /// Makes a repository where there is nothing yet.
  ///
  /// - Parameter recreate: writes the description of a repository anew that has lost it or has it damaged; nothing else changes.
  /// - Throws: `FormatError.exists` where one stands there already, `.occupied` where other objects are, `.missing` where they are those
  ///   of a repository, `StoreError`.
  public static func create(
    in store: any ObjectStore, chunkSize: Int, surroundings: Surroundings, recreate: Bool = false
  ) async throws -> RepositoryInfo {
    let others = try await store.list("").objects.map(\.key).filter {
      !ObjectKey.hasDescription(of: $0) && !ObjectKey.isDoctors($0)
    }
    if recreate {
      if let bytes = try? await store.get(ObjectKey.repository, limit: 1 << 20),
        (try? RepositoryInfo.decode(bytes)) != nil
      {
        throw FormatError.exists(place: store.name)
      }
      guard others.contains(where: { $0.hasPrefix(ObjectKey.packs) }) else {
        throw FormatError.noRepository(place: store.name)
      }
    } else {
      if try await store.head(ObjectKey.repository) != nil { throw FormatError.exists(place: store.name) }
      if let other = others.first {
        throw others.contains { $0.hasPrefix(ObjectKey.packs) }
          ? FormatError.missing(object: ObjectKey.repository)
          : FormatError.occupied(place: store.name, example: other)
      }
    }
    var chunkSize = chunkSize
    if recreate {
      for key in others where key.hasPrefix(ObjectKey.manifests) {
        guard let bytes = try? await store.get(key, limit: Manifest.largestObject) else { continue }
        chunkSize = max(chunkSize, (try? Manifest.decode(bytes, object: key).longestChunk) ?? 0)
      }
    }
    let info = RepositoryInfo(
      id: hex(surroundings.random(16)), created: surroundings.now(), chunkSize: chunkSize)
    try await store.put(ObjectKey.readme, Payload(PackageResources.README_txt))
    try await store.put(ObjectKey.recovery, Payload(PackageResources.recover_py))
    try await store.put(ObjectKey.repository, Payload(MetadataCoding.encode(info)))
    return info
  }

  /// Opens the repository in a store.
  ///
  /// - Parameter cacheRoot: the folder that holds a cache folder for each repository, or nil for none.
  /// - Throws: `FormatError.noRepository` where there is none, `.newerFormat`, `StoreError`.
  public static func open(
    in store: any ObjectStore, cacheRoot: String?, surroundings: Surroundings
  ) async throws -> Repository {
    let bytes: [UInt8]
    do {
      bytes = try await store.get(ObjectKey.repository, limit: 1 << 20)
    } catch StoreError.missing {
      if try await store.head(ObjectKey.recovery) != nil {
        throw FormatError.missing(object: ObjectKey.repository)
      }
      throw FormatError.noRepository(place: store.name)
    }
    let info: RepositoryInfo
    do throws(FormatError) {
      info = try RepositoryInfo.decode(bytes)
    } catch {
      // A sign-in page answers everything; what is no store cannot list, and says so.
      if case .invalid = error { _ = try await store.list(ObjectKey.repository) }
      throw error
    }
    return Repository(
      store: store, info: info, surroundings: surroundings,
      cache: cacheRoot.map { MetadataCache(folder: "\($0)/\(info.id)") })
  }

  /// All markers of a run, or of every run where none is named, ordered by run, step and id; with those that cannot be read.
  public func snapshots(of run: String? = nil) async throws -> SnapshotListing {
    let listing = try await store.list(run.map(ObjectKey.snapshots(of:)) ?? ObjectKey.snapshots)
    let results = try await concurrently(listing.objects, limit: Self.parallelFetches) { object in
      try await self.marker(object)
    }
    var snapshots: [Snapshot] = []
    var unreadable: [FormatError] = []
    for result in results {
      switch result {
      case .success(let snapshot?): snapshots.append(snapshot)
      case .success(nil): break
      case .failure(let error): unreadable.append(error)
      }
    }
    snapshots.sort { ($0.run, $0.step, $0.time, $0.id) < ($1.run, $1.step, $1.time, $1.id) }
    return SnapshotListing(snapshots: snapshots, unreadable: unreadable, now: listing.now)
  }

  /// The snapshot whose marker has a key, as the store has it now, or nil where there is none that can be read.
  public func snapshot(at key: String) async throws -> Snapshot? {
    do {
      let bytes = try await store.get(key, limit: Self.largestMarker)
      return try? Snapshot.decode(bytes, key: key)
    } catch StoreError.missing {
      return nil
    }
  }

  /// The marker behind a listed object; nil where it was deleted meanwhile.
  private func marker(_ object: ObjectInfo) async throws -> Result<Snapshot?, FormatError> {
    let name = object.etag.map { "\(object.key) \($0) \(object.size)" }
    if let name, let bytes = cache?.get(name), let snapshot = try? Snapshot.decode(bytes, key: object.key) {
      return .success(snapshot)
    }
    do {
      let bytes = try await store.get(object.key, limit: Self.largestMarker)
      let snapshot = try Snapshot.decode(bytes, key: object.key)
      if let name { cache?.put(name, bytes) }
      return .success(snapshot)
    } catch StoreError.missing {
      return .success(nil)
    } catch StoreError.tooLarge(_, let limit) {
      return .failure(.invalid(object: object.key, detail: "it has more than \(limit) bytes"))
    } catch let error as FormatError {
      return .failure(error)
    }
  }

  /// Writes a marker: commits a snapshot, or changes its tags.
  ///
  /// - Throws: `FormatError.invalid` for a run or step that no reader would find again; `StoreError`.
  public func write(_ snapshot: Snapshot) async throws {
    guard ObjectKey.parse(marker: snapshot.key) != nil else {
      throw FormatError.invalid(object: snapshot.key, detail: "no snapshot can have this run and step")
    }
    try await store.put(snapshot.key, Payload(MetadataCoding.encode(snapshot)))
  }

  /// The manifest of a snapshot, held to the digest in its marker.
  ///
  /// - Throws: `FormatError.missing`, `.digestMismatch` or `.invalid` where the store does not have what was committed.
  public func manifest(of snapshot: Snapshot) async throws -> Manifest {
    let cached = cachedManifest(of: snapshot)
    return try decode(try await stored(snapshot.manifest, unless: cached), of: snapshot)
  }

  /// The manifest of a snapshot as the store has it now; `listed` is its object in a fresh listing.
  ///
  /// A cached copy spares the reading only where the listed ETag is its MD5, which is what stores show for a plain PUT.
  ///
  /// - Throws: as `manifest(of:)`.
  public func manifest(of snapshot: Snapshot, listed: ObjectInfo?) async throws -> Manifest {
    guard let listed else { throw FormatError.missing(object: snapshot.manifest.key) }
    let cached = cachedManifest(of: snapshot).flatMap { hex(MD5.hash($0)) == listed.etag ? $0 : nil }
    return try decode(try await stored(snapshot.manifest, unless: cached), of: snapshot)
  }

  private func cachedManifest(of snapshot: Snapshot) -> [UInt8]? {
    cache?.get(snapshot.manifest.sha256).flatMap {
      hex(SHA256.hash($0)) == snapshot.manifest.sha256 ? $0 : nil
    }
  }

  private func stored(
    _ reference: Snapshot.ManifestReference, unless cached: [UInt8]?
  ) async throws -> [UInt8] {
    if let cached { return cached }
    let bytes: [UInt8]
    do {
      bytes = try await store.get(reference.key, limit: min(reference.size, Manifest.largestObject))
    } catch StoreError.missing {
      throw FormatError.missing(object: reference.key)
    } catch StoreError.tooLarge {
      throw FormatError.digestMismatch(object: reference.key)
    }
    guard hex(SHA256.hash(bytes)) == reference.sha256 else {
      throw FormatError.digestMismatch(object: reference.key)
    }
    cache?.put(reference.sha256, bytes)
    return bytes
  }

  private func decode(_ bytes: [UInt8], of snapshot: Snapshot) throws(FormatError) -> Manifest {
    let key = snapshot.manifest.key
    let manifest = try Manifest.decode(bytes, object: key)
    guard manifest.longestChunk <= info.chunkSize else {
      throw .invalid(
        object: key, detail: "a chunk is longer than the repository's chunk size, \(info.chunkSize) bytes")
    }
    guard manifest.id == snapshot.id, manifest.run == snapshot.run, manifest.step == snapshot.step else {
      throw .invalid(object: key, detail: "it belongs to another snapshot")
    }
    return manifest
  }

  /// The manifests of many snapshots, a few at a time, each with the error that kept it from being read; `listed` has their objects
  /// in a fresh listing where they must be proven to be in the store.
  public func manifests(
    of snapshots: [Snapshot], listed: [String: ObjectInfo]? = nil
  ) async throws -> [(snapshot: Snapshot, manifest: Result<Manifest, FormatError>)] {
    try await concurrently(snapshots, limit: Self.parallelFetches) { snapshot in
      do {
        let key = snapshot.manifest.key
        let manifest =
          if let listed { try await self.manifest(of: snapshot, listed: listed[key]) } else {
            try await self.manifest(of: snapshot)
          }
        return (snapshot, .success(manifest))
      } catch let error as FormatError {
        return (snapshot, .failure(error))
      }
    }
  }

  /// Stores a manifest under the name that its content gives it.
  ///
  /// - Parameter stamp: a time for the object's gzip header. A manifest that tells the same as one that a prune may be removing gets
  ///   another name by it.
  public func write(
    _ manifest: Manifest, stamp: Timestamp? = nil
  ) async throws -> Snapshot.ManifestReference {
    let bytes = try manifest.encode(stamp: stamp)
    let digest = SHA256.hash(bytes)
    let key = ObjectKey.manifest(run: manifest.run, step: manifest.step, id: manifest.id, digest: digest)
    try await store.put(key, Payload(bytes))
    cache?.put(hex(digest), bytes)
    return .init(key: key, sha256: hex(digest), size: bytes.count)
  }
}

/// The markers of a repository at one moment.
public struct SnapshotListing: Sendable {
  /// What could be read, ordered by run, step, time and id.
  public let snapshots: [Snapshot]
  /// What is wrong with the markers that could not.
  public let unreadable: [FormatError]
  /// The store's clock when the listing began.
  public let now: Timestamp
}

/// Runs `work` on each item, at most `limit` at once, and gives the results in the items' order. The first error ends all.
public func concurrently<Item: Sendable, Output: Sendable>(
  _ items: [Item], limit: Int, _ work: @escaping @Sendable (Item) async throws -> Output
) async throws -> [Output] {
  try await withThrowingTaskGroup(of: (Int, Output).self) { group in
    var results = [Output?](repeating: nil, count: items.count)
    var next = 0
    func start() {
      let index = next
      next += 1
      group.addTask { (index, try await work(items[index])) }
    }
    while next < min(limit, items.count) { start() }
    while let (index, output) = try await group.next() {
      results[index] = output
      if next < items.count { start() }
    }
    return results.compactMap { $0 }
  }
}
