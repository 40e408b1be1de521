import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Engine

@Suite("Prunes of what is locked") struct LockedPruneTests {
  private static let month = SnapshotLock.Request(seconds: 30 * 86_400, mode: .compliance)
  private static let month1 = ObjectRetention(
    mode: .compliance, until: Timestamp(seconds: 1_700_000_000 + 30 * 86_400))

  /// Two snapshots that share packs; the first has some of its own.
  private func two() async throws -> (World, Scratch, [Snapshot]) {
    let (world, scratch) = (try await World(locks: true), try Scratch())
    var snapshots: [Snapshot] = []
    for step in 1...2 {
      try makeCheckpoint(scratch, "\(step)", change: UInt64(step))
      if step == 1 { try scratch.write("1/own.raw", noise(500_000, seed: 77)) }
      snapshots.append(try await world.push("\(scratch.path)/\(step)", step: step).snapshot)
    }
    return (world, scratch, snapshots)
  }

  private func onlyIn(_ one: Snapshot, _ other: Snapshot, _ world: World) async throws -> [String] {
    let repository = try await world.repository()
    let others = Set(try await repository.manifest(of: other).packs.map(\.key))
    return try await repository.manifest(of: one).packs.map(\.key).filter { !others.contains($0) }
  }

  @Test(
    "a locked pack outlives its prune, which is no failure, stays condemned, and goes when its lock has ended"
  )
  func lockedPack() async throws {
    let (world, scratch, snapshots) = try await two()
    let own = try await onlyIn(snapshots[0], snapshots[1], world)
    let pack = try #require(own.first)
    try await world.memory.lock(pack, Self.month1)
    try await world.prune(RetentionPolicy(last: 1))
    world.clock.advance(86_401)
    for _ in 0..<2 {
      let report = try await world.prune(RetentionPolicy(last: 1))
      #expect(report.lockedObjects == 1 && report.lockedUntil == Self.month1.until && report.lockedBytes > 0)
      #expect(try await world.memory.head(pack) != nil)
      for other in own.dropFirst() { #expect(try await world.memory.head(other) == nil) }
    }
    // A push of the same content must not count on it.
    let again = try await world.push("\(scratch.path)/1", step: 1)
    #expect(try await !world.repository().manifest(of: again.snapshot).packs.map(\.key).contains(pack))
    world.clock.advance(31 * 86_400)
    let last = try await world.prune(RetentionPolicy(last: 5))
    #expect(last.lockedObjects == 0 && last.deletedObjects == 1)
    #expect(try await world.memory.head(pack) == nil)
    #expect(try await world.keys("deletions/").isEmpty)
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("a snapshot whose marker is locked stays whole, and all that it needs with it")
  func lockedMarker() async throws {
    let (world, scratch, _) = try await two()
    let pushed = try await world.push("\(scratch.path)/1", step: 1) { $0.lock = Self.month }
    for _ in 0..<3 {
      let report = try await world.prune(RetentionPolicy(last: 1))
      #expect(report.lockedSnapshots.map(\.snapshot.key) == [pushed.snapshot.key])
      #expect(report.forgotten.isEmpty && report.lockedObjects == 0 && report.condemnedObjects == 0)
      world.clock.advance(86_401)
    }
    #expect(try await world.verify(.deep).damages.isEmpty)
    try await world.restore(pushed.snapshot, to: "\(scratch.path)/out")
    let kept = try await world.repository().remove([pushed.snapshot]).locked
    #expect(
      kept.map(\.snapshot.key) == [pushed.snapshot.key] && kept.allSatisfy { $0.until > world.clock.now })
    world.clock.advance(31 * 86_400)
    let report = try await world.prune(RetentionPolicy(last: 1))
    #expect(report.lockedSnapshots.isEmpty && report.forgotten.map(\.step) == [1])
  }

  @Test("a marker that becomes a milestone while locks are asked for stays, and nothing of it is condemned")
  func lateMilestone() async throws {
    let (world, scratch, snapshots) = try await two()
    let repository = try await world.repository()
    let store = LateStore(base: world.memory) {
      _ = try? await Tagging(add: [], milestone: true, note: nil).apply(to: snapshots[0], in: repository)
    }
    let report = try await world.prune(RetentionPolicy(last: 1), in: store)
    #expect(report.condemnedObjects == 0 && report.lockedSnapshots.isEmpty)
    #expect(try await repository.snapshots().snapshots.map(\.step) == [1, 2])
    _ = scratch
  }

  @Test("what another prune carries out while locks are asked for is not deleted a second time")
  func lateDeletion() async throws {
    let (world, scratch, snapshots) = try await two()
    let own = try await onlyIn(snapshots[0], snapshots[1], world)
    try await world.prune(RetentionPolicy(last: 1))
    world.clock.advance(86_401)
    // Meanwhile another prune carries the record out, and a copy brings the packs back under their names.
    let record = try #require(try await world.keys("deletions/").first)
    let store = LateStore(base: world.memory) { try? await world.memory.delete([record]) }
    let report = try await world.prune(RetentionPolicy(last: 1), in: store)
    #expect(report.deletedObjects == 0)
    for pack in own { #expect(try await world.memory.head(pack) != nil) }
    _ = scratch
  }

  @Test("what a deletion record names and is needed again does not wait for what is locked beside it")
  func needed() async throws {
    let (world, scratch, snapshots) = try await two()
    let own = try await onlyIn(snapshots[0], snapshots[1], world)
    let pack = try #require(own.first)
    let shared = try #require(
      try await world.repository().manifest(of: snapshots[1]).packs.map(\.key).first)
    try await world.memory.lock(pack, Self.month1)
    try await world.repository().remove([snapshots[0]])
    _ = try await world.repository().condemn([pack, shared])
    world.clock.advance(86_401)
    let report = try await world.prune(RetentionPolicy(last: 1))
    #expect(report.spared == 1 && report.lockedObjects == 1)
    let condemned = Set(try await world.repository().deletions().records.flatMap(\.objects))
    #expect(condemned.contains(pack) && !condemned.contains(shared))
    #expect(try await world.verify(.deep).damages.isEmpty)
    _ = scratch
  }

  @Test("a deletion that is refused for another reason than a lock is an error, and what stays is condemned")
  func otherRefusal() async throws {
    let (world, scratch, snapshots) = try await two()
    let own = try await onlyIn(snapshots[0], snapshots[1], world)
    let pack = try #require(own.first)
    try await world.prune(RetentionPolicy(last: 1))
    world.clock.advance(86_401)
    let failure = StoreError.partial(failures: [pack: "access denied"])
    let store = FaultyStore(world.memory) { operation, key, _ in
      operation == .delete && key.hasPrefix("manifests/") ? .before(failure) : nil
    }
    await #expect(throws: failure) { try await world.prune(RetentionPolicy(last: 1), in: store) }
    let condemned = Set(try await world.repository().deletions().records.flatMap(\.objects))
    #expect(condemned.contains(pack))
    let again = try await world.push("\(scratch.path)/1", step: 1)
    #expect(try await !world.repository().manifest(of: again.snapshot).packs.map(\.key).contains(pack))
  }
}

/// A store in which somebody does something when the first lock is asked for.
private final class LateStore: ForwardingStore {
  let base: any ObjectStore
  private let other: @Sendable () async -> Void
  private let isDone = Mutex(false)

  init(base: any ObjectStore, _ other: @escaping @Sendable () async -> Void) {
    self.base = base
    self.other = other
  }

  func retention(of key: String) async throws -> ObjectRetention? {
    let isFirst = isDone.withLock { done in
      defer { done = true }
      return !done
    }
    if isFirst { await other() }
    return try await base.retention(of: key)
  }
}
