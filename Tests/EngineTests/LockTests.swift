import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Locks of snapshots") struct LockTests {
  private static let quarter = SnapshotLock.Request(seconds: 90 * 86_400, mode: .governance)

  @Test("a push locks packs, manifest, record and marker, also packs that earlier pushes stored")
  func locks() async throws {
    let (world, scratch) = (try await World(locks: true), try Scratch())
    try makeCheckpoint(scratch, "1")
    try makeCheckpoint(scratch, "2", change: 2)
    try await world.push("\(scratch.path)/1")
    let earlier = try await world.keys("packs/")
    let report = try await world.push("\(scratch.path)/2", step: 2) { $0.lock = Self.quarter }
    let lock = try #require(report.lock)
    let manifest = try await world.repository().manifest(of: report.snapshot)
    let packs = manifest.packs.map(\.key)
    #expect(!Set(packs).isDisjoint(with: earlier) && lock.lockedBefore == 0)
    let record = try await world.keys(report.snapshot.record)
    let needed = packs + record + [report.snapshot.manifest.key, report.snapshot.key]
    #expect(lock.objects == needed.count && record.count >= 3)
    for key in needed {
      let retention = try await world.memory.retention(of: key)
      #expect(
        retention == lock.retention && lock.retention.until.seconds(since: world.clock.now) >= 90 * 86_400)
    }
    // What only the first snapshot needs is free.
    for key in earlier where !packs.contains(key) {
      #expect(try await world.memory.retention(of: key) == nil)
    }
  }

  @Test("a push of what is there already lengthens its locks, and none is shortened")
  func presentIsLocked() async throws {
    let (world, scratch) = (try await World(locks: true), try Scratch())
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    try await world.push(source)
    let first = try await world.push(source) { $0.lock = Self.quarter }
    #expect(first.wasPresent && first.lock != nil)
    let second = try await world.push(source) { $0.lock = .init(seconds: 3600, mode: .governance) }
    #expect(second.lock?.lockedBefore == second.lock?.objects)
    #expect(try await world.memory.retention(of: second.snapshot.key) == first.lock?.retention)
  }

  @Test("where the place has no locks, nothing is stored")
  func withoutLocks() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let before = try await world.keys("")
    for isDryRun in [false, true] {
      await #expect(throws: EngineError.self) {
        try await world.push("\(scratch.path)/checkpoint-1") {
          $0.lock = Self.quarter
          $0.isDryRun = isDryRun
        }
      }
    }
    #expect(try await world.keys("") == before)
  }

  @Test(
    "a lock that is refused in part leaves the snapshot, names what is not locked, and the same push locks it"
  )
  func inPart() async throws {
    let (world, scratch) = (try await World(locks: true), try Scratch())
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    let store = FaultyStore(world.memory) { operation, key, _ in
      operation == .lock && key.hasPrefix("packs/")
        ? .before(.denied(operation: "lock", key: key, message: "no")) : nil
    }
    let error = await #expect(throws: EngineError.self) {
      try await world.push(source, in: store) { $0.lock = Self.quarter }
    }
    let packs = Set(try await world.keys("packs/"))
    guard case .notLocked(_, let locked, let failures) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(Set(failures.keys) == packs && locked >= 5)
    #expect(try await world.verify(.deep).damages.isEmpty)
    let again = try await world.push(source) { $0.lock = Self.quarter }
    #expect(again.wasPresent)
    for key in packs { #expect(try await world.memory.retention(of: key) != nil) }
  }

  @Test("a server that takes locks and forgets them is not believed")
  func forgotten() async throws {
    let (world, scratch) = (try await World(locks: true), try Scratch())
    try makeCheckpoint(scratch)
    let store = ForgettingStore(base: world.memory)
    await #expect(throws: EngineError.self) {
      try await world.push("\(scratch.path)/checkpoint-1", in: store) { $0.lock = Self.quarter }
    }
  }

  @Test(
    "a snapshot whose marker is locked is not thinned, so that it stands for one among those that are kept")
  func thinning() async throws {
    let (world, scratch) = (try await World(locks: true), try Scratch())
    for step in 1...4 {
      try makeCheckpoint(scratch, "\(step)", change: UInt64(step))
      try await world.push("\(scratch.path)/\(step)", step: step) { $0.lock = Self.quarter }
    }
    world.clock.advance(7200)
    var policy = RetentionPolicy()
    (policy.last, policy.thinAfter) = (3, 3600)
    for _ in 0..<3 {
      let report = try await world.prune(policy)
      #expect(report.thinned.isEmpty && Set(report.lockedSnapshots.map(\.snapshot.step)) == [1, 2, 3])
      #expect(try await world.repository().snapshots().snapshots.map(\.step) == [1, 2, 3, 4])
      world.clock.advance(86_401)
    }
    world.clock.advance(100 * 86_400)
    let report = try await world.prune(policy)
    #expect(report.thinned.map(\.step) == [2, 3] && report.lockedSnapshots.isEmpty)
    #expect(try await world.repository().snapshots().snapshots.map(\.step) == [2, 3, 4])
  }

  @Test("the rank that commits locks the snapshot of all")
  func ranks() async throws {
    let (world, scratch) = (try await World(locks: true), try Scratch())
    try makeCheckpoint(scratch)
    for rank in 0..<2 {
      var request = Push.Request(path: "\(scratch.path)/checkpoint-1")
      request.run = "demo"
      request.rank = .init(rank, of: 2, patience: 0)
      request.lock = Self.quarter
      let report = try await RankPush(
        try await world.repository(), resources: world.resources, progress: Progress(), grace: World.grace
      ).run(request)
      #expect((report.lock != nil) == (rank == 1))
    }
    for key in try await world.keys("packs/") + world.keys("snapshots/") {
      #expect(try await world.memory.retention(of: key) != nil)
    }
  }
}

/// A store that says that it locks and does not.
private struct ForgettingStore: ForwardingStore {
  let base: any ObjectStore

  func offersLocks() async throws -> Bool { true }
  func lock(_ key: String, _ retention: ObjectRetention) async throws -> Bool { true }
}
