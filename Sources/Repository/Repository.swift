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
      // What cannot be read now, or was written by a newer ckbackup, is neither lost nor damaged.
      do {
        _ = try RepositoryInfo.decode(try await store.get(ObjectKey.repository, limit: 1 << 20))
        throw FormatError.exists(place: store.name)
      } catch FormatError.invalid {
      } catch StoreError.missing {
      } catch StoreError.tooLarge {
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

  /// Writes a marker: commits a snapshot, or changes its tags.
  ///
  /// - Throws: `FormatError.invalid` for a run or step that no reader would find again, `.tooLarge`; `StoreError`.
  public func write(_ snapshot: Snapshot) async throws {
    guard ObjectKey.parse(marker: snapshot.key) != nil else {
      throw FormatError.invalid(object: snapshot.key, detail: "no snapshot can have this run and step")
    }
    try await store.put(snapshot.key, Payload(snapshot.encode()))
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
