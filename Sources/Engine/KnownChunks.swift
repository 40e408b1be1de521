import ObjectStore
import Platform
import Repository

/// What the repository has already, as a push needs to know it: chunks in packs that are really there, that no verify found
/// damaged and no prune has condemned.
struct KnownChunks {
  /// All markers.
  let snapshots: [Snapshot]
  /// The chunks that need not be sent.
  var index: ChunkIndex
  /// Keys of objects that must not be relied on: condemned by a prune or found damaged by a verify.
  let avoided: Set<String>
  /// The packs of the store by key, as they were listed.
  let stored: [String: ObjectInfo]

  /// Reads listings, manifests and the tables of packs that no manifest names: the remains of a push that was interrupted.
  static func load(from repository: Repository) async throws -> KnownChunks {
    // Deletions come before the packs' listing: a prune removes packs first and its record last, so what is not in a record
    // that was read and still is in a later listing is safe.
    let avoided = try await repository.avoidedObjects()
    let stored = try await repository.storedPacks()
    let snapshots = try await repository.snapshots().snapshots
    var index = ChunkIndex()
    var named = Set<String>()
    for (_, result) in try await repository.manifests(of: snapshots) {
      guard case .success(let manifest) = result else { continue }
      named.formUnion(manifest.packs.map(\.key))
      index.add(manifest) { reference in
        avoided.contains(reference.key) ? nil : stored[reference.key].flatMap { reference.intact(as: $0) }
      }
    }
    let orphans = stored.values.filter { !named.contains($0.key) && !avoided.contains($0.key) }
    let tables = try await concurrently(orphans.sorted { $0.key < $1.key }, limit: 8) {
      pack -> (ObjectInfo, PackTable)? in
      do {
        return (pack, try await repository.table(ofPack: pack.key, size: pack.size))
      } catch is FormatError {
        return nil
      } catch StoreError.missing {
        return nil
      }
    }
    for case (let pack, let table)? in tables {
      index.add(table, of: .init(key: pack.key, size: pack.size, etag: pack.etag, fileClass: table.fileClass))
    }
    return KnownChunks(snapshots: snapshots, index: index, avoided: avoided, stored: stored)
  }
}

extension Repository {
  /// Keys of objects that must not be relied on: condemned by a prune or found damaged by a verify.
  func avoidedObjects() async throws -> Set<String> {
    Set(try await deletions().records.flatMap(\.objects)).union(try await ledger().ledger.damaged)
  }

  /// Every pack in the store, by key.
  func storedPacks() async throws -> [String: ObjectInfo] { try await listed(ObjectKey.packs) }

  /// Every object below a prefix, by key.
  func listed(_ prefix: String) async throws -> [String: ObjectInfo] {
    Dictionary(
      try await store.list(prefix).objects.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
  }
}

extension Manifest.PackReference {
  /// The reference where the stored object has its size and its ETag, else nil.
  func intact(as stored: ObjectInfo) -> Manifest.PackReference? {
    stored.size == size && (etag == nil || stored.etag == nil || etag == stored.etag) ? self : nil
  }
}
