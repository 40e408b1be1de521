import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Prune") struct PruneTests {
  /// Three checkpoints that share most of their bytes.
  private func three() async throws -> (World, Scratch) {
    let (world, scratch) = (try await World(), try Scratch())
    for step in 1...3 {
      try makeCheckpoint(scratch, "\(step)", change: UInt64(step))
      try await world.push("\(scratch.path)/\(step)", step: step)
    }
    return (world, scratch)
  }

  @Test("snapshots go at once, bytes after the grace period, and what is shared stays")
  func phases() async throws {
    let (world, scratch) = try await three()
    let before = try await world.keys("packs/").count
    let first = try await world.prune(RetentionPolicy(last: 1))
    #expect(first.forgotten.map(\.step) == [1, 2] && first.condemnedBytes > 0 && first.deletedObjects == 0)
    #expect(try await world.keys("packs/").count == before)
    let early = try await world.prune(RetentionPolicy(last: 1))
    #expect(early.deletedObjects == 0 && early.waiting == first.condemnedObjects)

    world.clock.advance(86_401)
    let second = try await world.prune(RetentionPolicy(last: 1))
    #expect(second.deletedObjects == first.condemnedObjects && second.deletedBytes == first.condemnedBytes)
    #expect(try await world.keys("deletions/").isEmpty)
    let left = try #require(try await world.repository().snapshots().snapshots.first)
    try await world.restore(left, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/3"))
  }

  @Test(
    "a snapshot that cannot be restored takes no other's place, whether its pack is lost or was found damaged"
  )
  func broken() async throws {
    for isLost in [true, false] {
      let (world, scratch) = try await three()
      let repository = try await world.repository()
      let snapshots = try await repository.snapshots().snapshots
      let older = Set(try await repository.manifest(of: snapshots[1]).packs.map(\.key))
      let own = try await repository.manifest(of: snapshots[2]).packs.map(\.key)
      let pack = try #require(own.first { !older.contains($0) })
      if isLost {
        try await world.memory.delete([pack])
      } else {
        try await world.damage(pack, at: 3)
        _ = try await world.verify(.deep)
      }
      let report = try await world.prune(RetentionPolicy(last: 1))
      #expect(report.broken.map(\.step) == [3] && report.forgotten.map(\.step) == [1])
      let left = try await repository.snapshots().snapshots
      #expect(left.map(\.step) == [2, 3])
      try await world.restore(left[0], to: "\(scratch.path)/out")
      #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/2"))
    }
  }

  @Test("what lies among the markers and is none keeps nothing from being pruned, and is told of")
  func strays() async throws {
    let (world, _) = try await three()
    let marker = try #require(try await world.keys("snapshots/").first)
    let copy = try await world.memory.get(marker, limit: 1 << 20)
    let strays = ["snapshots/demo/.DS_Store", String(marker.dropLast(5)) + " (1).json"]
    for key in strays { try await world.memory.put(key, Payload(copy)) }
    let listing = try await world.repository().snapshots()
    #expect(Set(listing.strays) == Set(strays) && listing.unreadable.isEmpty)
    #expect(try await world.prune(RetentionPolicy(last: 1)).forgotten.map(\.step) == [1, 2])
    let report = try await world.verify(.deep)
    #expect(report.damages.isEmpty && Set(report.strays) == Set(strays))
  }

  @Test("a deletion record that cannot be read is found by a verify, since it stops pushes and prunes")
  func unreadableDeletions() async throws {
    let (world, scratch) = try await three()
    try await world.prune(RetentionPolicy(last: 1))
    let key = try #require(try await world.keys("deletions/").first)
    try await world.damage(key, at: 0)
    #expect(try await world.verify(.quick).damages.map(\.object) == [key])
    await #expect(throws: FormatError.self) { try await world.push("\(scratch.path)/1", step: 1) }
    try await world.memory.delete([key])
    try await world.push("\(scratch.path)/1", step: 1)
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("runs whose names differ in their bytes alone are two runs, for pushes, addresses and prunes")
  func spellings() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    let spellings = ["caf\u{e9}", "cafe\u{301}"]
    try makeCheckpoint(scratch)
    for (number, run) in spellings.enumerated() {
      for step in [1, 2 + number] {
        let pushed = try await world.push("\(scratch.path)/checkpoint-1", step: step) { $0.run = run }
        #expect(!pushed.wasPresent)
      }
    }
    try await world.prune(RetentionPolicy(last: 1))
    let repository = try await world.repository()
    let listed = try await repository.snapshots().snapshots
    #expect(listed.byRun().map(\.snapshots.count) == [1, 1])
    for (number, run) in spellings.enumerated() {
      let found = try SnapshotAddress("\(run)@latest").resolve(in: listed, best: Ranking())
      #expect(found.step == 2 + number && found.belongs(to: run))
      #expect(try await repository.snapshots(of: run).snapshots == [found])
    }
  }

  @Test("a push between the phases never relies on what is condemned")
  func pushBetween() async throws {
    let (world, scratch) = try await three()
    try await world.prune(RetentionPolicy(last: 1))
    let again = try await world.push("\(scratch.path)/1", step: 1)
    #expect(again.addedBytes > 0)
    world.clock.advance(86_401)
    try await world.prune(RetentionPolicy(last: 5))
    #expect(try await world.verify(.deep).damages.isEmpty)
    try await world.restore(again.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/1"))
  }

  @Test("a prune in the middle of a push, at whatever call, costs the push nothing that it commits")
  func pushBeside() async throws {
    var turn = 0
    var hasRun = true
    while hasRun {
      turn += 1
      let (world, scratch) = try await three()
      // What only step 2 needs becomes unused while a push of the same content is under way.
      let racing = RacingStore(world.memory, at: turn) {
        _ = try? await world.prune(RetentionPolicy(last: 1))
      }
      let pushed = try await world.push("\(scratch.path)/2", step: 9, in: racing)
      for _ in 0..<2 {
        world.clock.advance(86_401)
        try await world.prune(RetentionPolicy(last: 5))
      }
      #expect(try await world.verify(.deep).damages.isEmpty, "turn \(turn)")
      try await world.restore(pushed.snapshot, to: "\(scratch.path)/out")
      #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/2"), "turn \(turn)")
      hasRun = await racing.hasRun
    }
    #expect(turn > 10)
  }

  @Test(
    "a push that stands still for days at whatever call, while prunes come and go, commits nothing that they took"
  )
  func stoppedPush() async throws {
    var turn = 0
    var hasRun = true
    var harmed: [Int] = []
    while hasRun {
      turn += 1
      let (world, scratch) = try await three()
      let racing = RacingStore(world.memory, at: turn) {
        for policy in [RetentionPolicy(last: 1), RetentionPolicy(last: 5)] {
          _ = try? await world.prune(policy)
          world.clock.advance(86_401)
        }
      }
      _ = try? await world.push("\(scratch.path)/2", step: 9, in: racing)
      if try await !world.verify(.deep).damages.isEmpty { harmed.append(turn) }
      hasRun = await racing.hasRun
    }
    // The marker itself, sent days after the last look, is beyond what a push can see.
    #expect(harmed == [turn - 1], "harmed at \(harmed) of \(turn - 1) calls")
  }

  @Test("the labels of a push that committed the same content meanwhile stay")
  func labelsBeside() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    let racing = RacingStore(world.memory, at: 6) {
      _ = try? await world.push(source) {
        $0.isMilestone = true
        $0.tags = ["paper"]
      }
    }
    let pushed = try await world.push(source, in: racing)
    #expect(await racing.hasRun)
    #expect(pushed.snapshot.id == (try await world.repository().snapshots().snapshots.map(\.id)).first)
    let marker = try #require(try await world.repository().snapshots().snapshots.first)
    #expect(marker.milestone && marker.tags == ["paper"])
  }

  @Test("a push whose snapshot is removed meanwhile does not say that it is there", arguments: 1...10)
  func removedBeside(_ turn: Int) async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    let first = try await world.push(source).snapshot
    let racing = RacingStore(world.memory, at: turn) { _ = try? await world.repository().remove([first]) }
    try await world.push(source, in: racing)
    #expect(await racing.hasRun)
    let left = try await world.repository().snapshots().snapshots
    #expect(left.map(\.id) == [first.id])
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("remains of a push that died go when they are older than the grace period, not before")
  func remains() async throws {
    let (world, scratch) = try await three()
    let pack = "packs/weights/00/00000000000000000000000000000000"
    try await world.memory.put(pack, Payload(noise(100, seed: 1)))
    _ = try await world.memory.beginMultipart("packs/weights/11/11111111111111111111111111111111")
    let keep = RetentionPolicy(last: 9)
    #expect(try await world.prune(keep).condemnedObjects == 0)
    #expect(try await world.memory.listUploads("").count == 1)
    world.clock.advance(86_401)
    let later = try await world.prune(keep)
    #expect(later.condemnedObjects == 1 && later.abortedUploads == 1)
    world.clock.advance(86_401)
    #expect(try await world.prune(keep).deletedObjects == 1)
    #expect(try await world.memory.head(pack) == nil)
    _ = scratch
  }

  @Test("what is condemned and needed again is spared, and the rest of its record goes")
  func spared() async throws {
    let (world, scratch) = try await three()
    let remains = "packs/weights/00/00000000000000000000000000000000"
    try await world.memory.put(remains, Payload(noise(100, seed: 1)))
    let living = try await world.keys("packs/") + world.keys("manifests/") + world.keys("records/")
    _ = try await world.repository().condemn(living)
    world.clock.advance(86_401)
    let report = try await world.prune(RetentionPolicy(last: 9))
    #expect(report.spared == living.count - 1 && report.deletedObjects == 1)
    #expect(try await world.memory.head(remains) == nil)
    #expect(try await world.verify(.deep).damages.isEmpty)
    _ = scratch
  }

  @Test("records and manifests of what was forgotten go with its packs, and nothing is left behind")
  func everything() async throws {
    let (world, scratch) = try await three()
    let snapshots = try await world.repository().snapshots().snapshots
    try await world.prune(RetentionPolicy(last: 1))
    for snapshot in snapshots {
      #expect(try await world.memory.head(snapshot.manifest.key) != nil, "not before the grace period")
    }
    world.clock.advance(86_401)
    try await world.prune(RetentionPolicy(last: 1))
    for snapshot in snapshots.dropLast() {
      #expect(try await world.memory.head(snapshot.manifest.key) == nil)
      #expect(try await world.keys(snapshot.record).isEmpty)
    }
    let left = try #require(snapshots.last)
    let needed = try await world.repository().manifest(of: left).packs.map(\.key).sorted()
    #expect(try await world.keys("packs/") == needed)
    #expect(try await world.keys("records/").allSatisfy { $0.hasPrefix(left.record) })
    _ = scratch
  }

  @Test(
    "metadata that cannot be read stops every deletion",
    arguments: ["manifest", "lost manifest", "deletions"])
  func unreadable(_ what: String) async throws {
    let (world, scratch) = try await three()
    try await world.prune(RetentionPolicy(last: 2))
    let left = try #require(try await world.repository().snapshots().snapshots.last)
    switch what {
    case "manifest": try await world.damage(left.manifest.key, at: 30)
    case "lost manifest": try await world.memory.delete([left.manifest.key])
    default: try await world.memory.put("deletions/broken.json", Payload([1]))
    }
    let before = try await world.keys("")
    world.clock.advance(1_000_000)
    await #expect(throws: (any Error).self) { try await world.prune(RetentionPolicy(last: 1)) }
    #expect(try await world.keys("") == before)
    _ = scratch
  }

  @Test("a prune of one run leaves the others alone")
  func oneRun() async throws {
    let (world, scratch) = try await three()
    for step in 1...3 {
      try await world.push("\(scratch.path)/\(step)", step: step) { $0.run = "other" }
    }
    let prune = Prune(
      try await world.repository(), policy: RetentionPolicy(last: 1), run: "other", grace: World.grace)
    #expect(try await prune.run().forgotten.map(\.address) == ["other@1", "other@2"])
    #expect(try await world.repository().snapshots(of: "demo").snapshots.count == 3)
    world.clock.advance(86_401)
    _ = try await prune.run()
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("a plan changes nothing and foretells the prune")
  func plan() async throws {
    let (world, scratch) = try await three()
    let before = try await world.keys("")
    let prune = Prune(
      try await world.repository(), policy: RetentionPolicy(last: 2), run: nil, grace: World.grace)
    let plan = try await prune.plan()
    #expect(try await world.keys("") == before)
    let report = try await prune.run()
    #expect(plan.decisions == report.decisions && plan.condemnedBytes == report.condemnedBytes)
    _ = scratch
  }

  @Test("a plan foretells what goes now, of each kind, and what is marked for later")
  func planOfEverything() async throws {
    let (world, scratch) = try await three()
    try await world.prune(RetentionPolicy(last: 2))
    world.clock.advance(86_401)
    // Abandoned before the grace period: an upload and a rank's share. Within it: another prune's record.
    _ = try await world.memory.beginMultipart("packs/weights/aa/\(String(repeating: "a", count: 32))")
    try scratch.write("node/shard.raw", noise(9_000, seed: 7))
    var request = Push.Request(path: "\(scratch.path)/node")
    (request.run, request.step, request.rank) = ("demo", 9, .init(0, of: 2, patience: 0))
    _ = try await RankPush(
      try await world.repository(), resources: world.resources, progress: Progress(), grace: World.grace
    ).run(request)
    world.clock.advance(86_401)
    _ = try await world.repository().condemn(["packs/weights/bb/\(String(repeating: "b", count: 32))"])

    let before = try await world.keys("")
    let prune = Prune(
      try await world.repository(), policy: RetentionPolicy(last: 1), run: nil, grace: World.grace)
    let plan = try await prune.plan()
    #expect(try await world.keys("") == before)
    #expect(try await world.memory.listUploads("packs/").count == 1)
    #expect(plan.abortedUploads == 1 && plan.abandonedShares == 1 && plan.abandonedBytes > 0)
    #expect(plan.deletedObjects > 0 && plan.deletedBytes > 0 && plan.waiting == 1)
    #expect(plan.condemnedObjects > 0)

    let report = try await prune.run()
    #expect(plan.decisions == report.decisions)
    #expect(plan.abortedUploads == report.abortedUploads)
    #expect(plan.abandonedShares == report.abandonedShares && plan.abandonedBytes == report.abandonedBytes)
    #expect(plan.deletedObjects == report.deletedObjects && plan.deletedBytes == report.deletedBytes)
    #expect(plan.condemnedObjects == report.condemnedObjects && plan.condemnedBytes == report.condemnedBytes)
    #expect(plan.waiting == report.waiting && plan.spared == report.spared)
    let again = try await prune.plan()
    #expect(again.condemnedObjects == 0, "what is marked already is not marked again")
  }

  @Test("a plan tells the rest where uploads may not be listed")
  func planWithoutUploads() async throws {
    let (world, scratch) = try await three()
    let reader = FaultyStore(world.memory) { operation, key, _ in
      operation == .listUploads ? .before(.denied(operation: "list", key: key, message: "no")) : nil
    }
    let plan = try await Prune(
      try await world.repository(in: reader), policy: RetentionPolicy(last: 1), run: nil, grace: World.grace
    ).plan()
    #expect(plan.abortedUploads == nil && plan.forgotten.count == 2 && plan.condemnedObjects > 0)
    _ = scratch
  }

  @Test("a deletion record that names anything but packs, manifests and records removes nothing of it")
  func hostileRecord() async throws {
    let (world, scratch) = try await three()
    let record =
      #"{"format":1,"created":"2020-01-01T00:00:00Z","objects":["ckbackup.json","snapshots/x","../y"]}"#
    try await world.memory.put("deletions/01ARZ3NDEKTSV4RRFFQ69G5FAV.json", Payload(Array(record.utf8)))
    world.clock.advance(86_401)
    try await world.prune(RetentionPolicy(last: 5))
    #expect(try await world.memory.head("ckbackup.json") != nil)
    _ = scratch
  }
}

/// Runs something else before its call number `turn`.
actor RacingStore: ObjectStore {
  nonisolated let name = "racing:"
  private let base: any ObjectStore
  private let turn: Int
  private let other: @Sendable () async -> Void
  private var calls = 0
  private(set) var hasRun = false

  init(_ base: any ObjectStore, at turn: Int, _ other: @escaping @Sendable () async -> Void) {
    self.base = base
    self.turn = turn
    self.other = other
  }

  private func step() async {
    calls += 1
    guard calls == turn else { return }
    hasRun = true
    await other()
  }

  func put(_ key: String, _ payload: Payload) async throws -> String? {
    await step()
    return try await base.put(key, payload)
  }
  func get(_ key: String, limit: Int) async throws -> [UInt8] {
    await step()
    return try await base.get(key, limit: limit)
  }
  func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    try await base.read(key, at: offset, into: target)
  }
  func head(_ key: String) async throws -> ObjectInfo? { try await base.head(key) }
  func list(_ prefix: String) async throws -> Listing {
    await step()
    return try await base.list(prefix)
  }
  func delete(_ keys: [String]) async throws { try await base.delete(keys) }
  func beginMultipart(_ key: String) async throws -> MultipartUpload { try await base.beginMultipart(key) }
  func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    await step()
    return try await base.uploadPart(upload, number: number, offset: offset, payload, md5: md5)
  }
  func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    await step()
    return try await base.complete(upload, parts)
  }
  func abort(_ upload: MultipartUpload) async throws { try await base.abort(upload) }
  func listUploads(_ prefix: String) async throws -> [PendingUpload] { try await base.listUploads(prefix) }
}
