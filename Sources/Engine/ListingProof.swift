import ObjectStore
import Platform
import Repository

/// Whether listings show all that is there, as far as anything says what must be there.
///
/// A store that silently leaves keys out of a listing makes snapshots look removed. What other listings, manifests and this machine
/// remember is therefore asked for by its own name before anything is deleted; what answers and was not listed proves that the
/// listing is short.
struct ListingProof {
  private let repository: Repository
  /// Markers that were listed before and that this command did not remove.
  private var known: Set<String>
  /// Markers that answered and were not listed the last time, and were too young to prove anything.
  private var doubtful: Set<String> = []

  /// A proof that begins with the markers that this machine remembers.
  init(_ repository: Repository) {
    self.repository = repository
    known = repository.rememberedMarkers()
  }

  /// Holds listings to what must be in them: the markers that were known and those of all manifests and records, and what the
  /// snapshots that were known need.
  ///
  /// - Parameters:
  ///   - markers: the markers that are listed.
  ///   - objects: the packs, manifests and records that are listed.
  ///   - needs: the packs and the manifest of each snapshot, by its marker.
  ///   - now: the store's time when the first of these listings began.
  /// - Returns: false where snapshots may have been committed while the listings were taken: take them once more, since what is known
  ///   now must be in them.
  /// - Throws: `EngineError.shortListing`, `StoreError`.
  mutating func check(
    markers: [String], objects: [ObjectInfo], needs: [String: Set<String>], at now: Timestamp
  ) async throws -> Bool {
    let listed = Set(markers).union(objects.map(\.key))
    let needed = known.reduce(into: Set<String>()) { $0.formUnion(needs[$1] ?? []) }
    let missed = known.union(needed).union(Self.markers(of: objects)).subtracting(listed)
    let found = try await Self.present(missed, in: repository.store)
    // What is young may have come meanwhile: a new marker, one that was removed and pushed again, or a pack of the same content. The
    // age of a marker says little, since it may have got labels: it must be listed the next time.
    if let key = found.first(where: { Self.isOld($0, at: now) || doubtful.contains($0.key) })?.key {
      throw EngineError.shortListing(lacks: key)
    }
    doubtful = Set(found.lazy.map(\.key).filter { ObjectKey.parse(marker: $0) != nil })
    known = doubtful.union(markers)
    return found.isEmpty
  }

  /// Takes note of markers that this command has removed.
  mutating func forget(_ snapshots: [Snapshot]) { known.subtract(snapshots.map(\.key)) }

  /// Lets this machine remember the markers that were listed last.
  func remember() { repository.remember(markers: known) }

  /// The markers of the snapshots that manifests and records were written for.
  static func markers(of objects: some Sequence<ObjectInfo>) -> Set<String> {
    Set(objects.lazy.compactMap { ObjectKey.marker(besides: $0.key) })
  }

  /// Those of some keys that are in the store, each asked for by its name.
  static func present(_ keys: Set<String>, in store: any ObjectStore) async throws -> [ObjectInfo] {
    try await concurrently(keys.sorted(), limit: 16) { try await store.head($0) }.compactMap { $0 }
  }

  /// Whether an object was there before a listing that began at `now`. Younger ones than a minute may have come while it was taken.
  static func isOld(_ object: ObjectInfo, at now: Timestamp) -> Bool {
    now.seconds(since: object.modified) > 60
  }
}
