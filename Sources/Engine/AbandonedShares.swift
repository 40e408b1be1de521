import ObjectStore
import Repository

/// What groups have left of which nothing was heard for the grace period.
enum AbandonedShares {
  /// The objects of such shares.
  ///
  /// Each group's folder is listed by itself too, since one young object that a listing lacks makes a living group look abandoned.
  ///
  /// - Throws: `EngineError.shortListing` where the two listings contradict each other, `StoreError`.
  static func find(in repository: Repository, grace: Double) async throws -> [ObjectInfo] {
    let listing = try await repository.store.list(ObjectKey.parts)
    let listed = Set(listing.objects.map(\.key))
    let abandoned = Pending.groups(listing.objects).filter { listing.now.seconds(since: $0.latest) > grace }
    var found: [ObjectInfo] = []
    for group in abandoned {
      let again = try await repository.store.list(group.group.folder).objects.filter {
        RankShare.parse($0.key)?.share.worldSize == group.worldSize
      }
      let unlisted = again.filter { !listed.contains($0.key) }
      if let old = unlisted.first(where: { ListingProof.isOld($0, at: listing.now) }) {
        throw EngineError.shortListing(lacks: old.key)
      }
      // A process of the group has just begun again.
      guard again.allSatisfy({ listing.now.seconds(since: $0.modified) > grace }) else { continue }
      found += again
    }
    return found
  }
}
