import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Engine

@Suite("Listings that silently lack something") struct ListingTests {
  /// Three snapshots, of which a prune has forgotten the first a grace period ago: the next one deletes, forgets and condemns.
  private func due() async throws -> (World, Scratch, [Snapshot]) {
    let (world, scratch) = (try await World(), try Scratch())
    for step in 1...3 {
      try makeCheckpoint(scratch, "\(step)", change: UInt64(step))
      try await world.push("\(scratch.path)/\(step)", step: step)
    }
    let snapshots = try await world.repository().snapshots().snapshots
    world.clock.advance(100)
    try await world.prune(RetentionPolicy(last: 2))
    world.clock.advance(86_401)
    return (world, scratch, snapshots)
  }

  /// A store whose `look`-th listings, counted for each prefix, lack what `isLost` says of those whose prefix is one of `prefixes`.
  private func forgetful(
    _ world: World, _ prefixes: [String], looks: ClosedRange<Int>,
    isLost: @escaping @Sendable (String) -> Bool
  ) -> FaultyStore<MemoryStore> {
    let counts = Mutex<[String: Int]>([:])
    return FaultyStore(world.memory) { operation, prefix, _ in
      guard operation == .list, prefixes.contains(prefix) else { return nil }
      let look = counts.withLock { counts in
        counts[prefix, default: 0] += 1
        return counts[prefix, default: 0]
      }
      return looks.contains(look) ? .omit(isLost) : nil
    }
  }

  private func expectShort(_ key: String, _ work: () async throws -> Void) async {
    let error = await #expect(throws: EngineError.self) { try await work() }
    guard case .shortListing(key) = error else {
      Issue.record("\(String(describing: error)) instead of a listing without \(key)")
      return
    }
  }

  /// All but the first snapshot, which was forgotten, restore, and what `gone` names is gone.
  private func expectWhole(_ world: World, _ scratch: Scratch, _ left: [Snapshot]) async throws {
    #expect(try await world.verify(.deep).damages.isEmpty)
    for snapshot in left {
      try await world.restore(snapshot, to: "\(scratch.path)/out-\(snapshot.step)")
      #expect(
        try Picture("\(scratch.path)/out-\(snapshot.step)") == Picture("\(scratch.path)/\(snapshot.step)"))
    }
  }

  @Test(
    "a marker that is not listed and answers stops a prune before it deletes, forgets or condemns",
    arguments: 1...3)
  func shortMarkers(_ look: Int) async throws {
    let (world, scratch, snapshots) = try await due()
    let before = try await world.keys("")
    let store = forgetful(world, ["snapshots/"], looks: look...look) { $0 == snapshots[2].key }
    await expectShort(snapshots[2].key) { try await world.prune(RetentionPolicy(last: 1), in: store) }
    switch look {
    case 1: #expect(try await world.keys("") == before, "nothing was deleted")
    case 2:
      #expect(try await world.keys("snapshots/") == snapshots.dropFirst().map(\.key), "nothing was forgotten")
    default: #expect(try await world.keys("deletions/").isEmpty, "nothing was condemned")
    }
    try await expectWhole(world, scratch, look == 3 ? [snapshots[2]] : Array(snapshots.dropFirst()))
  }

  @Test("a marker that is too young to prove anything is looked for again, and is known then")
  func youngMarker() async throws {
    let (world, scratch, _) = try await due()
    let young = try await world.push("\(scratch.path)/1", step: 1).snapshot
    let before = try await world.keys("")
    let once = forgetful(world, ["snapshots/"], looks: 1...1) { $0 == young.key }
    _ = try await Prune(
      try await world.repository(in: once), policy: RetentionPolicy(last: 5), run: nil, grace: World.grace
    ).plan()
    let twice = forgetful(world, ["snapshots/"], looks: 1...2) { $0 == young.key }
    await expectShort(young.key) { try await world.prune(RetentionPolicy(last: 5), in: twice) }
    #expect(try await world.keys("") == before)
    let known = forgetful(world, ["snapshots/"], looks: 2...3) { $0 == young.key }
    await expectShort(young.key) { try await world.prune(RetentionPolicy(last: 5), in: known) }
    let listedAgain = forgetful(world, ["snapshots/"], looks: 2...2) { $0 == young.key }
    try await world.prune(RetentionPolicy(last: 5), in: listedAgain)
    try await world.restore(young, to: "\(scratch.path)/out")
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("a plan says so too")
  func shortPlan() async throws {
    let (world, scratch, snapshots) = try await due()
    let store = forgetful(world, ["snapshots/"], looks: 1...1) { $0 > snapshots[1].key }
    let prune = Prune(
      try await world.repository(in: store), policy: RetentionPolicy(last: 1), run: nil, grace: World.grace)
    await expectShort(snapshots[2].key) { _ = try await prune.plan() }
    _ = scratch
  }

  @Test("a record alone, without its manifest, is enough to ask for the marker")
  func recordAlone() async throws {
    let (world, scratch, snapshots) = try await due()
    let name = snapshots[2].key.dropFirst("snapshots/".count).dropLast(".json".count)
    let store = forgetful(world, ["snapshots/", "manifests/"], looks: 1...9) { $0.contains(name) }
    await expectShort(snapshots[2].key) { try await world.prune(RetentionPolicy(last: 1), in: store) }
    try await expectWhole(world, scratch, Array(snapshots.dropFirst()))
  }

  @Test(
    "what one look showed and the next does not is asked for, though nothing else of it is listed",
    arguments: 2...3)
  func secondLook(_ look: Int) async throws {
    let (world, scratch, snapshots) = try await due()
    let name = snapshots[2].key.dropFirst("snapshots/".count).dropLast(".json".count)
    let store = forgetful(world, ["snapshots/", "manifests/", "records/"], looks: look...look) {
      $0.contains(name)
    }
    await expectShort(snapshots[2].key) { try await world.prune(RetentionPolicy(last: 1), in: store) }
    #expect(try await world.keys("deletions/").isEmpty)
    try await expectWhole(world, scratch, [snapshots[2]])
  }

  @Test(
    "a snapshot of which nothing at all is listed is condemned at most, and spared by the next whole look")
  func twoPhases() async throws {
    let (world, scratch, snapshots) = try await due()
    let name = snapshots[2].key.dropFirst("snapshots/".count).dropLast(".json".count)
    let store = forgetful(world, ["snapshots/", "manifests/", "records/"], looks: 1...9) { $0.contains(name) }
    let first = try await world.prune(RetentionPolicy(last: 5), in: store)
    #expect(first.condemnedObjects > 0)
    try await expectWhole(world, scratch, Array(snapshots.dropFirst()))
    world.clock.advance(86_401)
    let second = try await world.prune(RetentionPolicy(last: 5))
    #expect(second.spared == first.condemnedObjects && second.deletedObjects == 0)
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("what is condemned by a short listing is not deleted by another that lacks the marker alone")
  func shortAgain() async throws {
    let (world, scratch, snapshots) = try await due()
    let name = snapshots[2].key.dropFirst("snapshots/".count).dropLast(".json".count)
    let all = forgetful(world, ["snapshots/", "manifests/", "records/"], looks: 1...9) { $0.contains(name) }
    try await world.prune(RetentionPolicy(last: 5), in: all)
    world.clock.advance(86_401)
    let markers = forgetful(world, ["snapshots/"], looks: 1...9) { $0.contains(name) }
    await expectShort(snapshots[2].key) { try await world.prune(RetentionPolicy(last: 5), in: markers) }
    try await expectWhole(world, scratch, Array(snapshots.dropFirst()))
  }

  @Test("what this machine saw at its last prune is asked for, though nothing of it is listed")
  func remembered() async throws {
    let (world, scratch, snapshots) = try await due()
    func prune(_ store: any ObjectStore) async throws -> Prune.Report {
      let repository = try await Repository.open(
        in: store, cacheRoot: "\(scratch.path)/cache", surroundings: world.surroundings)
      return try await Prune(repository, policy: RetentionPolicy(last: 5), run: nil, grace: World.grace).run()
    }
    _ = try await prune(world.memory)
    world.clock.advance(100)
    let before = try await world.keys("")
    let name = snapshots[2].key.dropFirst("snapshots/".count).dropLast(".json".count)
    let store = forgetful(world, ["snapshots/", "manifests/", "records/"], looks: 1...9) { $0.contains(name) }
    await expectShort(snapshots[2].key) { _ = try await prune(store) }
    #expect(try await world.keys("") == before)
    // What somebody else has removed is only asked for, once.
    try await world.repository().remove([snapshots[2]])
    #expect(try await prune(world.memory).condemnedObjects > 0)
    let counting = FaultyStore(world.memory) { _, _, _ in nil }
    _ = try await prune(counting)
    #expect(counting.calls(.head) == 2, "each of two looks asks for the condemned manifest's marker")
  }

  @Test(
    "a pack or manifest that a snapshot needs and that is not listed, though it is there, stops a prune",
    arguments: ["packs/", "manifests/"])
  func shortPacks(_ prefix: String) async throws {
    let (world, scratch, snapshots) = try await due()
    let manifest = try await world.repository().manifest(of: snapshots[2])
    let lost = prefix == "packs/" ? try #require(manifest.packs.map(\.key).min()) : snapshots[2].manifest.key
    let store = forgetful(world, [prefix], looks: 2...2) { $0 == lost }
    await expectShort(lost) { try await world.prune(RetentionPolicy(last: 5), in: store) }
    try await expectWhole(world, scratch, Array(snapshots.dropFirst()))
  }

  /// Prunes all but the `last` snapshots on a store that `racing` makes for each turn, until the turn lies behind the prune's calls.
  private func atEveryCall(
    last: Int, _ racing: (_ turn: Int, World, Scratch, [Snapshot]) -> RacingStore
  ) async throws {
    var turn = 0
    var hasRun = true
    while hasRun {
      turn += 1
      let (world, scratch, snapshots) = try await due()
      let store = racing(turn, world, scratch, snapshots)
      try await world.prune(RetentionPolicy(last: last), in: store)
      #expect(try await world.verify(.deep).damages.isEmpty, "turn \(turn)")
      hasRun = await store.hasRun
    }
    #expect(turn > 10)
  }

  @Test("a push that commits at whatever call of a prune is no short listing")
  func committedMeanwhile() async throws {
    try await atEveryCall(last: 1) { turn, world, scratch, _ in
      // Content that was pushed, forgotten and condemned before, so that an old manifest of it is listed.
      RacingStore(world.memory, at: turn) {
        _ = try? await world.push("\(scratch.path)/1", step: 1)
        world.clock.advance(600)
      }
    }
  }

  @Test(
    "a snapshot that is removed and pushed again a few calls later is no short listing", arguments: [1, 2, 4])
  func pushedAgain(_ gap: Int) async throws {
    try await atEveryCall(last: 5) { turn, world, scratch, snapshots in
      let removing = RacingStore(world.memory, at: turn) {
        _ = try? await world.repository().remove([snapshots[2]])
      }
      return RacingStore(removing, at: turn + gap) {
        _ = try? await world.push("\(scratch.path)/3", step: 3)
      }
    }
  }

  @Test("a verify reports a marker that answers and that the listing lacks")
  func verify() async throws {
    let (world, scratch, snapshots) = try await due()
    let store = forgetful(world, ["snapshots/"], looks: 1...1) { $0 == snapshots[2].key }
    let report = try await Verify(
      try await world.repository(in: store), resources: world.resources, progress: Progress()
    ).run(.quick)
    #expect(report.damages.map(\.object) == [snapshots[2].key])
    _ = scratch
  }

  @Test("shares of a living group stay where a listing lacks its young objects")
  func shares() async throws {
    let (world, group) = (try await World(), RankGroup(run: "demo", step: 7, name: "job"))
    let shares = (0..<2).map { RankShare(group: group, rank: $0, worldSize: 2) }
    try await world.memory.put(shares[0].part, Payload([1]))
    world.clock.advance(86_401)
    try await world.memory.put(shares[1].part, Payload([1]))
    world.clock.advance(100)
    let store = forgetful(world, ["parts/"], looks: 1...1) { $0 == shares[1].part }
    await expectShort(shares[1].part) { try await world.prune(RetentionPolicy(last: 1), in: store) }
    #expect(try await world.keys("parts/").count == 2)
    world.clock.advance(86_401)
    #expect(try await world.prune(RetentionPolicy(last: 1)).abandonedShares == 2)
  }
}
