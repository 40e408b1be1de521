import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Engine

extension World {
  /// Copies this repository's snapshots to another.
  @discardableResult
  func copy(
    to target: World, from source: (any ObjectStore)? = nil, in store: (any ObjectStore)? = nil,
    choose: @Sendable ([Snapshot]) throws -> [Snapshot] = { $0 }
  ) async throws -> Copy.Report {
    try await Copy(
      from: try await repository(in: source), to: try await target.repository(in: store),
      resources: resources, progress: Progress(), grace: Self.grace, part: Self.sizes.part
    ).run(choose: choose)
  }
}

/// A store that copies nothing by itself.
private func plain(_ base: MemoryStore) -> FaultyStore<MemoryStore> {
  FaultyStore(base) { operation, _, _ in
    operation == .copyPart ? .before(.unsupported(operation: "copyPart")) : nil
  }
}

@Suite("Copy") struct CopyTests {
  /// Two checkpoints that share most of their bytes.
  private func two() async throws -> (World, Scratch) {
    let (world, scratch) = (try await World(), try Scratch())
    for step in 1...2 {
      try makeCheckpoint(scratch, "\(step)", change: UInt64(step))
      try await world.push("\(scratch.path)/\(step)", step: step) { $0.tags = ["t\(step)"] }
    }
    return (world, scratch)
  }

  private func expectAll(_ target: World, _ scratch: Scratch, _ name: String = "out") async throws {
    #expect(try await target.verify(.deep).damages.isEmpty)
    let snapshots = try await target.repository().snapshots().snapshots
    #expect(snapshots.map(\.step) == [1, 2])
    for snapshot in snapshots {
      let out = "\(scratch.path)/\(name)-\(snapshot.step)"
      try await target.restore(snapshot, to: out)
      #expect(try Picture(out) == Picture("\(scratch.path)/\(snapshot.step)"))
    }
  }

  @Test(
    "what was copied restores bit for bit, under the same names, and a second copy sends nothing",
    arguments: [true, false])
  func roundTrip(_ onServer: Bool) async throws {
    let (world, scratch) = try await two()
    let target = try await World()
    let first = try await world.copy(to: target, in: onServer ? nil : plain(target.memory))
    #expect(first.copied.map(\.step) == [1, 2] && first.damages.isEmpty && first.refused.isEmpty)
    // What came in parts can be copied by the server.
    let packs = try await world.memory.list("packs/").objects
    let inParts = packs.filter { $0.etag?.contains("-") == true }.reduce(0) { $0 + $1.size }
    #expect(inParts > 0 && first.serverBytes == (onServer ? inParts : 0))
    #expect(first.sentBytes == packs.reduce(0) { $0 + $1.size } - first.serverBytes)
    let sizes = { (world: World) in try await world.memory.list("packs/").objects.map { ($0.key, $0.etag) } }
    let (before, after) = (try await sizes(world), try await sizes(target))
    #expect(before.map(\.0) == after.map(\.0) && before.map(\.1) == after.map(\.1))
    #expect(try await world.keys("snapshots/") == target.keys("snapshots/"))
    #expect(try await target.memory.listUploads("").isEmpty)
    try await expectAll(target, scratch)

    let objects = try await target.memory.list("").objects
    let second = try await world.copy(to: target)
    #expect(second.copied.isEmpty && second.present.count == 2 && second.packs == 0)
    #expect(try await target.memory.list("").objects == objects)
    // What was copied is as good as pushed: a push finds all of it.
    #expect(try await target.push("\(scratch.path)/1", step: 1).wasPresent)
  }

  @Test("labels of what is there stay, and are told where they differ")
  func labels() async throws {
    let (world, _) = try await two()
    let target = try await World()
    try await world.copy(to: target)
    let repository = try await target.repository()
    let snapshot = try #require(try await repository.snapshots().snapshots.first)
    #expect(snapshot.tags == ["t1"])
    _ = try await Tagging(add: ["mine"]).apply(to: snapshot, in: repository)
    let again = try await world.copy(to: target)
    #expect(again.relabelled.map(\.step) == [1])
    #expect(try await repository.snapshots().snapshots.first?.tags == ["mine", "t1"])
  }

  @Test("a copy takes what is chosen and no more")
  func chosen() async throws {
    let (world, _) = try await two()
    let target = try await World()
    let report = try await world.copy(to: target) { $0.filter { $0.tags == ["t2"] } }
    #expect(report.copied.map(\.step) == [2])
    let needed = try await target.repository().manifest(
      of: try #require(try await target.repository().snapshots().snapshots.first)
    ).packs.map(\.key)
    #expect(try await target.keys("packs/") == needed.sorted())
  }

  @Test("a copy that dies at any call loses nothing, and the next sends no whole pack again")
  func killed() async throws {
    let (world, scratch) = try await two()
    let all = try await world.memory.list("packs/").objects.reduce(0) { $0 + $1.size }
    var calls = 0
    var finished = false
    while !finished {
      let target = try await World()
      do {
        try await world.copy(to: target, in: dying(target.memory, after: calls))
        finished = true
      } catch is StoreError {}
      let there = try await target.memory.list("packs/").objects.reduce(0) { $0 + $1.size }
      #expect(try await target.verify(.deep).damages.isEmpty, "after \(calls) calls")
      let second = try await world.copy(to: target)
      #expect(second.sentBytes + second.serverBytes == all - there, "after \(calls) calls")
      try await expectAll(target, scratch, "out-\(calls)")
      calls += 1
    }
    #expect(calls > 30, "the test would not have tried much")
  }

  @Test("a prune of the target in the middle of a copy, at whatever call, costs it nothing")
  func pruneBeside() async throws {
    let (world, scratch) = try await two()
    var turn = 0
    var hasRun = true
    while hasRun {
      turn += 1
      // The target had the snapshots, and they were removed: what they needed is unused, and then condemned.
      let target = try await World()
      try await world.copy(to: target)
      try await target.repository().remove(try await target.repository().snapshots().snapshots)
      target.clock.advance(86_401)
      let racing = RacingStore(target.memory, at: turn) {
        _ = try? await target.prune(RetentionPolicy(last: 9))
      }
      try await world.copy(to: target, in: racing)
      for _ in 0..<2 {
        target.clock.advance(86_401)
        try await target.prune(RetentionPolicy(last: 9))
      }
      try await expectAll(target, scratch, "out-\(turn)")
      hasRun = await racing.hasRun
    }
    #expect(turn > 10)
  }

  @Test("copies and a push at once leave one whole target")
  func beside() async throws {
    let (world, scratch) = try await two()
    let target = try await World()
    async let first = world.copy(to: target)
    async let second = world.copy(to: target, in: plain(target.memory))
    async let pushed = target.push("\(scratch.path)/2", step: 2)
    _ = try await (first, second, pushed)
    try await expectAll(target, scratch)
  }

  @Test("a cancelled copy ends and leaves no upload open", arguments: [StoreOperation.uploadPart, .copyPart])
  func cancelled(_ last: StoreOperation) async throws {
    let (world, _) = try await two()
    let target = try await World()
    let started = Mutex(false)
    let watched = FaultyStore(target.memory) { operation, _, _ in
      if operation == last { started.withLock { $0 = true } }
      return operation == .copyPart && last != .copyPart ? .before(.unsupported(operation: "copyPart")) : nil
    }
    let task = Task { try await world.copy(to: target, in: watched) }
    while !started.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(1)) }
    task.cancel()
    _ = try? await task.value
    #expect(try await target.memory.listUploads("").isEmpty)
  }

  @Test("what the target has condemned is copied under other names, and both outlive the deletion")
  func condemned() async throws {
    let (world, scratch) = try await two()
    let target = try await World()
    try await world.copy(to: target)
    try await target.repository().remove(try await target.repository().snapshots().snapshots)
    target.clock.advance(86_401)
    #expect(try await target.prune(RetentionPolicy(last: 9)).condemnedObjects > 0)
    #expect(try await world.copy(to: target).copied.count == 2)
    target.clock.advance(86_401)
    #expect(try await target.prune(RetentionPolicy(last: 9)).deletedObjects > 0)
    try await expectAll(target, scratch)
    #expect(try await world.copy(to: target).present.count == 2)
  }

  @Test("damaged snapshots are named and left out, and the others are copied")
  func damaged() async throws {
    let (world, scratch) = try await two()
    let manifests = try await world.repository().manifests(of: world.repository().snapshots().snapshots)
    let packs = try manifests.map { Set(try $0.manifest.get().packs.map(\.key)) }
    let pack = try #require(packs[1].subtracting(packs[0]).first)
    try await world.damage(pack, at: 5)
    let target = try await World()
    let report = try await world.copy(to: target, in: plain(target.memory))
    #expect(report.copied.map(\.step) == [1] && report.refused.map(\.step) == [2])
    #expect(report.damages.map(\.object) == [pack])
    #expect(report.damages.first?.snapshots.count == 1)
    #expect(try await target.repository().snapshots().snapshots.map(\.step) == [1])
    #expect(try await target.memory.head(pack) == nil)
    #expect(try await target.verify(.deep).damages.isEmpty)
    try await world.memory.delete([pack])
    #expect(try await world.copy(to: target).damages.map(\.kind) == [.missing])
    _ = scratch
  }

  @Test("a record or manifest that is damaged keeps its snapshot out", arguments: ["record", "manifest"])
  func damagedMetadata(_ kind: String) async throws {
    let (world, _) = try await two()
    let snapshot = try #require(try await world.repository().snapshots().snapshots.first)
    let key = kind == "record" ? snapshot.record + "SHA256SUMS" : snapshot.manifest.key
    try await world.damage(key, at: 12)
    let report = try await world.copy(to: try await World())
    #expect(report.copied.map(\.step) == [2] && report.refused.map(\.step) == [1])
    #expect(report.damages.map(\.object) == [key])
  }

  @Test("a bit that flips on the way is read again")
  func transit() async throws {
    let (world, scratch) = try await two()
    let target = try await World()
    let faulty = FaultyStore(world.memory) { operation, _, call in
      operation == .read && call % 4 == 3 ? .flip(at: 9) : nil
    }
    let report = try await world.copy(to: target, from: faulty, in: plain(target.memory))
    #expect(report.refused.isEmpty && faulty.calls(.read) > 8)
    try await expectAll(target, scratch)
  }

  @Test("an answer in which every chunk is wrong is read again chunk by chunk, in the buffers that it has")
  func manyWrong() async throws {
    let (world, target, scratch) = (try await World(), try await World(), try Scratch())
    for number in 1...40 { try scratch.write("1/\(number).bin", noise(1000, seed: UInt64(number))) }
    try await world.push("\(scratch.path)/1")
    // The pack's end is read first, then all chunks at once.
    let faulty = FaultyStore(world.memory) { operation, _, call in
      operation == .read && call == 2 ? .flipEvery(500) : nil
    }
    let report = try await world.copy(to: target, from: faulty, in: plain(target.memory))
    #expect(report.refused.isEmpty && report.damages.isEmpty)
    #expect(faulty.calls(.read) == 2 + 40)
    #expect(try await target.verify(.deep).damages.isEmpty)
  }

  @Test("a snapshot that is damaged in the target is made whole by a copy, with its labels there")
  func heals() async throws {
    let (world, scratch) = try await two()
    let target = try await World()
    try await world.copy(to: target)
    let repository = try await target.repository()
    let snapshot = try #require(try await repository.snapshots().snapshots.first)
    _ = try await Tagging(add: ["mine"], remove: ["t1"]).apply(to: snapshot, in: repository)
    try await target.memory.delete([try #require(try await target.keys("packs/weights/").first)])
    target.clock.advance(60)
    try await world.copy(to: target)
    try await expectAll(target, scratch)
    #expect(try await repository.snapshots().snapshots.first?.tags == ["mine"])
  }

  @Test("a target that takes only shorter chunks is refused")
  func chunkSize() async throws {
    let (world, _) = try await two()
    let memory = MemoryStore()
    _ = try await Repository.create(in: memory, chunkSize: 1 << 17, surroundings: world.surroundings)
    let other = try await world.repository(in: memory)
    let copy = Copy(
      from: other, to: try await world.repository(), resources: world.resources, progress: Progress(),
      grace: World.grace)
    await #expect(throws: EngineError.self) { try await copy.run() }
    // Longer ones are no harm.
    let back = Copy(
      from: try await world.repository(), to: other, resources: world.resources, progress: Progress(),
      grace: World.grace, part: World.sizes.part)
    #expect(try await back.run().copied.count == 2)
    _ = try await Verify(other, resources: world.resources, progress: Progress()).run(.deep)
  }
}
