import ObjectStore
import Platform
import Repository
import TestSupport

/// Listings that silently lack something: a page that got lost, an end that was cut off, a gateway that forgets.
///
/// No command may lose anything by one, nor by many within less than a grace period. Only commands that read or prune meet them: that a
/// commit needs whole listings is a limit that docs/reliability.md names.
final class ShortListings: @unchecked Sendable {
  // Sendable because the scheduler runs everything on the main thread.

  private let scheduler: Scheduler
  private var random: Seeded
  /// When all listings lack everything of some snapshots, as if they had been removed whole.
  private let amnesia: ClosedRange<Timestamp>?
  /// Whether of snapshots with an odd id, or of those with an even one.
  private let isOdd: Bool
  /// How many listings of an actor stay whole: a look takes five, and only one of them is short.
  private var whole: [Int: Int] = [:]
  /// Whether any listing lacked anything so far.
  private(set) var hasShortened = false

  /// Its choices have a seed of their own, so that they leave the scheduler's as they were.
  init(seed: UInt64, scheduler: Scheduler) {
    self.scheduler = scheduler
    var random = Seeded(seed: ~seed)
    let start = Int64.random(in: 0..<48 * 3600, using: &random)
    let length = Int64.random(in: 0..<23 * 3600, using: &random)
    let from = scheduler.now.seconds + start
    amnesia =
      Bool.random(using: &random) ? Timestamp(seconds: from)...Timestamp(seconds: from + length) : nil
    isOdd = Bool.random(using: &random)
    self.random = random
  }

  /// What an actor gets of a listing.
  func shorten(_ listing: Listing, for actor: Int) -> Listing {
    guard scheduler.isFaulty else { return listing }
    var objects = listing.objects
    if let amnesia, amnesia.contains(listing.now) {
      objects.removeAll { isForgotten($0.key) }
      if objects.count < listing.objects.count { scheduler.count("list: forgot snapshots") }
    }
    whole[actor, default: 0] -= 1
    if !objects.isEmpty, whole[actor, default: 0] < 0, Int.random(in: 0..<100, using: &random) < 4 {
      whole[actor] = 4
      scheduler.count("list: short")
      let first = Int.random(in: 0..<objects.count, using: &random)
      let end = Bool.random(using: &random) ? objects.count : min(objects.count, first + 1)
      objects.removeSubrange(first..<end)
    }
    hasShortened = hasShortened || objects.count < listing.objects.count
    return Listing(objects: objects, now: listing.now)
  }

  private func isForgotten(_ key: String) -> Bool {
    guard let parsed = ObjectKey.parse(marker: ObjectKey.marker(besides: key) ?? key) else { return false }
    return (parsed.id.utf8.last ?? 0) & 1 == (isOdd ? 1 : 0)
  }
}
