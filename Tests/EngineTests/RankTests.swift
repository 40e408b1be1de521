import Digests
import Glibc
import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Engine

@Suite("Many processes, one checkpoint") struct RankTests {
  private static let names = ["model-0.raw", "model-1.raw", "model-2.raw", "optimizer.raw", "a/more.raw"]

  /// A checkpoint that all processes see.
  func makeShared(_ scratch: Scratch, _ name: String = "checkpoint-7", seed: UInt64 = 0) throws
    -> String
  {
    for (index, file) in Self.names.enumerated() {
      try scratch.write("\(name)/\(file)", noise(50_000 + index * 7_000, seed: seed + UInt64(index)))
    }
    symlink("model-0.raw", "\(scratch.path)/\(name)/link")
    return "\(scratch.path)/\(name)"
  }

  func push(
    _ world: World, _ path: String, _ rank: Int, of size: Int, step: Int = 7, group: String = "job",
    patience: Double = 0, in store: (any ObjectStore)? = nil, change: (inout Push.Request) -> Void = { _ in }
  ) async throws -> RankPush.Report {
    var request = Push.Request(path: path)
    request.run = "demo"
    request.step = step
    request.sizes = World.sizes
    request.rank = .init(rank, of: size, group: group, patience: patience)
    change(&request)
    return try await RankPush(
      try await world.repository(in: store), resources: world.resources, progress: Progress(),
      grace: World.grace
    ).run(request)
  }

  func committed(_ report: RankPush.Report) -> Snapshot? {
    if case .committed(let snapshot) = report.outcome { snapshot } else { nil }
  }

  func awaited(_ report: RankPush.Report) -> [Int]? {
    if case .awaiting(let ranks) = report.outcome { ranks } else { nil }
  }

  @Test("processes that see the same files share the work, and make one snapshot with all of them")
  func shared() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try makeShared(scratch)
    let reports = try await concurrently(Array(0..<4), limit: 4) { rank in
      try await push(world, path, rank, of: 4, patience: 60)
    }
    let snapshots = reports.compactMap(committed)
    #expect(!snapshots.isEmpty && Set(snapshots.map(\.key)).count == 1)
    #expect(reports.reduce(0) { $0 + $1.files } == Self.names.count, "each file is sent by one of them")
    #expect(reports.allSatisfy { $0.files <= 2 })
    let listed = try await world.repository().snapshots().snapshots
    #expect(listed.count == 1 && listed[0].files == Self.names.count && listed[0].complete)
    try await world.restore(listed[0], to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture(path))
    #expect(try await world.keys("parts/").isEmpty, "the shares are gone")
    #expect(try await world.verify(.deep).damages.isEmpty)

    // The same checkpoint pushed by one process has the same name.
    #expect(try await world.push(path, step: 7).wasPresent)
  }

  @Test("processes with disks of their own bring their own files; what several have is kept once")
  func separate() async throws {
    let scratch = try Scratch()
    let world = try await World()
    for rank in 0..<3 {
      try scratch.write("node-\(rank)/shard-\(rank).raw", noise(90_000, seed: UInt64(rank)))
      try scratch.write("node-\(rank)/common.json", "{}")
    }
    for rank in 0..<2 {
      let report = try await push(world, "\(scratch.path)/node-\(rank)", rank, of: 3)
      #expect(awaited(report) == Array(rank + 1..<3))
      #expect(try await world.repository().snapshots().snapshots.isEmpty, "no snapshot before all are there")
    }
    let snapshot = try #require(committed(try await push(world, "\(scratch.path)/node-2", 2, of: 3)))
    #expect(snapshot.files == 4)
    try await world.restore(snapshot, to: "\(scratch.path)/out")
    for rank in 0..<3 {
      #expect(try scratch.read("out/shard-\(rank).raw") == noise(90_000, seed: UInt64(rank)))
    }
  }

  @Test("a process that is run again after the commit finds its files there and sends nothing")
  func again() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try makeShared(scratch)
    for rank in 0..<2 { _ = try await push(world, path, rank, of: 2) }
    let report = try await push(world, path, 1, of: 2, change: { $0.tags = ["late"] })
    guard case .present(let snapshot) = report.outcome else { Issue.record("\(report.outcome)"); return }
    #expect(report.addedBytes == 0 && snapshot.tags == ["late"])
    #expect(try await world.keys("parts/").isEmpty)
  }

  @Test(
    "whichever call to the store a process dies before or after, pushing it again makes the snapshot",
    arguments: [0, 1])
  func deaths(_ victim: Int) async throws {
    let scratch = try Scratch()
    let path = try makeShared(scratch)
    var calls = 0
    var finished = false
    while !finished {
      let world = try await World()
      do {
        _ = try await push(world, path, victim, of: 2, in: dying(world.memory, after: calls))
        finished = true
      } catch is StoreError {}
      _ = try await push(world, path, 1 - victim, of: 2)
      let last = try await push(world, path, victim, of: 2)
      #expect(awaited(last) == nil, "after \(calls) calls: \(last.outcome)")
      let snapshots = try await world.repository().snapshots().snapshots
      #expect(snapshots.count == 1, "after \(calls) calls")
      if let snapshot = snapshots.first {
        let out = "\(scratch.path)/out-\(calls)"
        try await world.restore(snapshot, to: out)
        #expect(try Picture(out) == Picture(path), "after \(calls) calls")
      }
      calls += 1
    }
    #expect(calls > 15, "the test would not have tried much")
  }

  @Test(
    "the last process dies at any call of the join: nothing is committed by halves, and any process finishes it"
  )
  func lastDeath() async throws {
    let scratch = try Scratch()
    let path = try makeShared(scratch)
    var calls = 0
    var finished = false
    while !finished {
      let world = try await World()
      _ = try await push(world, path, 0, of: 2)
      do {
        _ = try await push(world, path, 1, of: 2, in: dying(world.memory, after: calls))
        finished = true
      } catch is StoreError {}
      for snapshot in try await world.repository().snapshots().snapshots {
        #expect(snapshot.files == Self.names.count)
      }
      #expect(try await world.verify(.deep).damages.isEmpty, "after \(calls) calls")
      let other = try await push(world, path, 0, of: 2)
      let again = try await push(world, path, 1, of: 2)
      #expect(awaited(other) == nil || awaited(again) == nil, "after \(calls) calls")
      #expect(try await world.repository().snapshots().snapshots.count == 1, "after \(calls) calls")
      calls += 1
    }
    #expect(calls > 25, "the test would not have tried much")
  }

  @Test("files of two saves under one path are never joined")
  func disagreement() async throws {
    let scratch = try Scratch()
    let world = try await World()
    for rank in 0..<2 {
      try scratch.write("node-\(rank)/state.json", "{\"epoch\": \(rank)}")
      try scratch.write("node-\(rank)/shard-\(rank).raw", noise(9_000, seed: UInt64(rank)))
    }
    _ = try await push(world, "\(scratch.path)/node-0", 0, of: 2)
    await #expect(throws: EngineError.self) { try await push(world, "\(scratch.path)/node-1", 1, of: 2) }
    #expect(try await world.repository().snapshots().snapshots.isEmpty)

    // The first process pushes again, now of the second save.
    try scratch.write("node-0/state.json", "{\"epoch\": 1}")
    #expect(committed(try await push(world, "\(scratch.path)/node-0", 0, of: 2)) != nil)
  }

  @Test("a snapshot of other content that has this process's files too is not taken for the group's")
  func resemblance() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try makeShared(scratch)
    let other = try makeShared(scratch, "other")
    try scratch.write("other/optimizer.raw", noise(71_000, seed: 99))
    try await world.push(other, step: 7)
    for rank in 0..<3 { #expect(awaited(try await push(world, path, rank, of: 4)) == Array(rank + 1..<4)) }
    #expect(committed(try await push(world, path, 3, of: 4)) != nil)
    #expect(try await world.repository().snapshots().snapshots.count == 2)
  }

  @Test("groups of other names and sizes keep apart")
  func groups() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try makeShared(scratch)
    #expect(awaited(try await push(world, path, 0, of: 2, group: "first")) == [1])
    #expect(awaited(try await push(world, path, 1, of: 2, group: "second")) == [0])
    #expect(awaited(try await push(world, path, 1, of: 3, group: "first")) == [0, 2])
    #expect(committed(try await push(world, path, 1, of: 2, group: "first")) != nil)
  }

  @Test("what one process does not see may be another's; what nobody has is refused, or kept and marked")
  func incomplete() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let source = try scratch.copy("hf_sharded/checkpoint-4", as: "node-0/checkpoint-4")
    let other = try scratch.copy("hf_sharded/checkpoint-4", as: "node-1/checkpoint-4")
    let shard = "model-00002-of-00003.safetensors"
    try scratch.remove("node-0/checkpoint-4/\(shard)")
    for name in ["optimizer.pt", "model-00001-of-00003.safetensors", "trainer_state.json"] {
      try scratch.remove("node-1/checkpoint-4/\(name)")
    }
    _ = try await push(world, source, 0, of: 2, step: 4)
    let snapshot = try #require(committed(try await push(world, other, 1, of: 2, step: 4)))
    #expect(snapshot.complete && snapshot.layout == "hf_trainer" && snapshot.metrics["loss"] != nil)

    try scratch.remove("node-1/checkpoint-4/\(shard)")
    _ = try await push(world, source, 0, of: 2, step: 5)
    await #expect(throws: EngineError.self) { try await push(world, other, 1, of: 2, step: 5) }
    let kept = try await push(world, other, 1, of: 2, step: 5, change: { $0.allowsIncomplete = true })
    #expect(committed(kept)?.complete == false)
  }

  @Test("what waits is listed with the ranks that are awaited, and a prune clears it after the grace period")
  func pending() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try makeShared(scratch)
    _ = try await push(world, path, 2, of: 4, group: "job 7")
    var pending = try await Pending.load(try await world.repository())
    #expect(pending.groups.map(\.stored) == [[2]] && pending.groups.map(\.absent) == [[0, 1, 3]])
    #expect(pending.groups.map(\.name) == ["job 7"])
    #expect(!pending.packs.isEmpty)
    try await world.prune(RetentionPolicy())
    pending = try await Pending.load(try await world.repository())
    #expect(pending.groups.count == 1, "it may be under way")
    world.clock.advance(Int64(World.grace) + 10)
    #expect(try await world.prune(RetentionPolicy()).abandonedShares == 1)
    world.clock.advance(Int64(World.grace) + 10)
    try await world.prune(RetentionPolicy())
    #expect(try await world.keys("parts/").isEmpty)
    #expect(try await world.keys("packs/").isEmpty)
  }

  @Test("a share whose packs a prune has condemned is asked for again, and never committed")
  func condemned() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try makeShared(scratch)
    _ = try await push(world, path, 0, of: 2)
    let packs = try await world.keys("packs/")
    _ = try await world.repository().condemn(packs)
    #expect(awaited(try await push(world, path, 1, of: 2)) == [0])
    #expect(committed(try await push(world, path, 0, of: 2)) != nil)
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("damaged and made-up shares are asked for again")
  func hostile() async throws {
    let scratch = try Scratch()
    let path = try makeShared(scratch)
    let world = try await World()
    _ = try await push(world, path, 0, of: 2)
    for key in try await world.keys("parts/") where !key.contains("/view-") {
      let bytes = try await world.memory.get(key, limit: 1 << 30)
      for damage in [[UInt8](), Array("{}".utf8), Array(bytes.dropLast(3))] {
        try await world.memory.put(key, Payload(damage))
        let other = try await World()
        for copied in try await world.keys("parts/") + world.keys("packs/") {
          try await other.memory.put(
            copied, Payload(try await world.memory.get(copied, limit: 1 << 30)))
        }
        #expect(awaited(try await push(other, path, 1, of: 2)) == [0], "\(key)")
      }
      try await world.memory.put(key, Payload(bytes))
    }
  }

  @Test("who has another time of a file that all have finds the snapshot when it pushes again")
  func otherTimes() async throws {
    let scratch = try Scratch()
    let world = try await World()
    for rank in 0..<2 {
      try scratch.write("node-\(rank)/shard-\(rank).raw", noise(9_000, seed: UInt64(rank)))
      try scratch.write("node-\(rank)/common.json", "{}")
      let time = timespec(tv_sec: 1_600_000_000 + rank, tv_nsec: 0)
      utimensat(AT_FDCWD, "\(scratch.path)/node-\(rank)/common.json", [time, time], 0)
    }
    for rank in 0..<2 { _ = try await push(world, "\(scratch.path)/node-\(rank)", rank, of: 2) }
    for rank in 0..<2 {
      let report = try await push(world, "\(scratch.path)/node-\(rank)", rank, of: 2)
      guard case .present = report.outcome else { Issue.record("\(rank): \(report.outcome)"); continue }
    }
    #expect(try await world.keys("parts/").isEmpty)
  }

  @Test("a snapshot that lost a pack is whole again when its processes push again")
  func healing() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try makeShared(scratch)
    for rank in 0..<2 { _ = try await push(world, path, rank, of: 2) }
    try await world.memory.delete([try #require(try await world.keys("packs/").first)])
    #expect(awaited(try await push(world, path, 0, of: 2)) == [1])
    #expect(committed(try await push(world, path, 1, of: 2)) != nil)
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("a process that sees nothing takes part all the same, whatever the step has already")
  func nothingSeen() async throws {
    let scratch = try Scratch()
    let world = try await World()
    try scratch.write("node-0/shard.raw", noise(9_000, seed: 1))
    mkdir("\(scratch.path)/node-1", 0o755)
    let paths = (0..<2).map { "\(scratch.path)/node-\($0)" }
    #expect(awaited(try await push(world, paths[0], 0, of: 2)) == [1])
    #expect(committed(try await push(world, paths[1], 1, of: 2)) != nil)

    world.clock.advance(60)
    try scratch.write("node-0/shard.raw", noise(9_000, seed: 2))
    #expect(awaited(try await push(world, paths[1], 1, of: 2, group: "next")) == [0])
    let second = try #require(committed(try await push(world, paths[0], 0, of: 2, group: "next")))
    try await world.restore(second, to: "\(scratch.path)/out")
    #expect(try scratch.read("out/shard.raw") == noise(9_000, seed: 2))
  }

  @Test("processes none of which sees a file make no snapshot")
  func allEmpty() async throws {
    let scratch = try Scratch()
    let world = try await World()
    _ = try await push(world, scratch.path, 0, of: 2)
    await #expect(throws: EngineError.self) { try await push(world, scratch.path, 1, of: 2) }
    #expect(try await world.repository().snapshots().snapshots.isEmpty)
  }

  @Test("a share that its process replaces while the former one is joined is in a snapshot or waits")
  func replacedBeside() async throws {
    var turn = 0
    var hasRun = true
    while hasRun {
      turn += 1
      let scratch = try Scratch()
      let world = try await World()
      for rank in 0..<2 {
        try scratch.write("old-\(rank)/shard-\(rank).raw", noise(9_000, seed: UInt64(rank)))
        try scratch.write("new-\(rank)/shard-\(rank).raw", noise(9_000, seed: UInt64(rank + 10)))
      }
      _ = try await push(world, "\(scratch.path)/old-1", 1, of: 2)
      // It dies, or is very slow, as soon as its share is whole.
      let isWhole = Mutex(false)
      let dying = FaultyStore(world.memory) { operation, key, _ in
        if isWhole.withLock({ $0 }) { return .before(.unreachable(endpoint: "test", reason: "it died")) }
        if operation == .put, key.hasSuffix("/part.json") { isWhole.withLock { $0 = true } }
        return nil
      }
      let racing = RacingStore(world.memory, at: turn) {
        world.clock.advance(1)
        _ = try? await push(world, "\(scratch.path)/new-1", 1, of: 2, in: dying)
      }
      let first = try await push(world, "\(scratch.path)/old-0", 0, of: 2, in: racing)
      hasRun = await racing.hasRun
      guard hasRun, committed(first) != nil, isWhole.withLock({ $0 }) else { continue }
      let snapshots = try await world.repository().snapshots().snapshots
      let manifests = try await world.repository().manifests(of: snapshots)
      let digest = SHA256.hash(noise(9_000, seed: 11))
      let isIn = try manifests.contains { try $0.manifest.get().files.contains { $0.sha256 == digest } }
      let second = try await push(world, "\(scratch.path)/new-0", 0, of: 2)
      #expect(isIn || committed(second) != nil, "turn \(turn): \(second.outcome)")
    }
    #expect(turn > 20)
  }

  @Test("a clock that is set back does not make a process wait longer")
  func clockSetBack() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try makeShared(scratch)
    var surroundings = world.surroundings
    let slept = Mutex(0.0)
    surroundings.sleep = { seconds in
      world.clock.advance(-3600)
      let sum = slept.withLock { sum in
        sum += seconds
        return sum
      }
      if sum > 100 { throw CancellationError() }
    }
    var request = Push.Request(path: path)
    request.run = "demo"
    request.step = 7
    request.rank = .init(0, of: 2, patience: 30)
    let repository = try await Repository.open(in: world.memory, cacheRoot: nil, surroundings: surroundings)
    let push = RankPush(repository, resources: world.resources, progress: Progress(), grace: World.grace)
    #expect(awaited(try await push.run(request)) == [1])
    #expect(abs(slept.withLock { $0 } - 30) < 1)
  }

  @Test("views that are too large or tell of impossible sizes end nothing")
  func hostileViews() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try makeShared(scratch)
    let other = RankShare(group: .init(run: "demo", step: 7, name: "job"), rank: 1, worldSize: 2)
    let view = RankView(
      try (0..<3).map { .init(path: try RelativePath("f\($0)"), size: .max, modified: Timestamp(seconds: 1)) }
    )
    try await world.memory.put(other.view(view.digest), Payload(try view.encode(group: "job")))
    #expect(awaited(try await push(world, path, 0, of: 2)) == [1])
    try await world.memory.put(other.view(view.digest), Payload([UInt8](repeating: 0, count: 65 << 20)))
    #expect(awaited(try await push(world, path, 0, of: 2)) == [1])
  }

  @Test("a part whose manifest's digest is no digest is none")
  func hostileDigest() async throws {
    let scratch = try Scratch()
    let world = try await World()
    _ = try await push(world, try makeShared(scratch), 0, of: 2)
    let share = RankShare(group: .init(run: "demo", step: 7, name: "job"), rank: 0, worldSize: 2)
    let repository = try await world.repository()
    var part = try #require(try await repository.part(of: share))
    part.snapshot.manifest.sha256 = "../../../../dev/zero"
    try await repository.write(part, of: share)
    #expect(try await repository.part(of: share) == nil)
  }
}
