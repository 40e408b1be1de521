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

  /// A proof that begins with the markers that this machine remembers.
  init(_ repository: Repository) {
    self.repository = repository
    known = repository.rememberedMarkers()
  }

  /// Holds listings to what must be in them: the markers that were known and those of all manifests and records, and what the
  /// snapshots that were known need.
  ///
  /// What a snapshot needs that was committed since is not asked for: a pack that came after the packs were listed may show the time
  /// at which its upload began, as S3's does (docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html).
  ///
  /// - Parameters:
  ///   - markers: the markers that are listed.
  ///   - objects: the packs, manifests and records that are listed.
  ///   - needs: the packs and the manifest of each snapshot, by its marker.
  ///   - now: the store's time when the first of these listings began.
  /// - Throws: `EngineError.shortListing`, `StoreError`.
  mutating func check(
    markers: [String], objects: [ObjectInfo], needs: [String: Set<String>], at now: Timestamp
  ) async throws {
    let needed = known.reduce(into: Set<String>()) { $0.formUnion(needs[$1] ?? []) }
    let expected = known.union(needed).union(Self.markers(of: objects))
    try await Self.refute(
      expected.subtracting(markers).subtracting(objects.map(\.key)), in: repository.store, at: now)
    known = Set(markers)
  }

  /// Takes note of markers that this command has removed.
  mutating func forget(_ snapshots: [Snapshot]) { known.subtract(snapshots.map(\.key)) }

  /// Lets this machine remember the markers that were listed last.
  func remember() { repository.remember(markers: known) }

  /// The markers of the snapshots that manifests and records were written for.
  static func markers(of objects: some Sequence<ObjectInfo>) -> Set<String> {
    Set(objects.lazy.compactMap { ObjectKey.marker(besides: $0.key) })
  }

  /// Asks for each key that listings lack.
  ///
  /// - Throws: `EngineError.shortListing` at the first that is there and was written more than a minute before `now`: younger ones may
  ///   have come while the listings were taken. `StoreError`.
  static func refute(_ unlisted: Set<String>, in store: any ObjectStore, at now: Timestamp) async throws {
    _ = try await concurrently(unlisted.sorted(), limit: 16) { key in
      if let there = try await store.head(key), now.seconds(since: there.modified) > 60 {
        throw EngineError.shortListing(lacks: key)
      }
    }
  }
}
