import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Thinning") struct ThinningTests {
  private let world: World
  private let scratch: Scratch
  private static let day: Int64 = 86_401

  init() async throws { (world, scratch) = try await Self.prepare() }

  /// Three checkpoints that were pushed two hours ago, each with a log of its own that only training needs.
  private static func prepare() async throws -> (World, Scratch) {
    let (world, scratch) = (try await World(), try Scratch())
    for step in 1...3 {
      try makeCheckpoint(scratch, "\(step)", change: UInt64(step))
      try scratch.write("\(step)/events.out.tfevents.2", noise(90_000, seed: 50 + UInt64(step)))
      try await world.push("\(scratch.path)/\(step)", step: step) { $0.tags = ["t\(step)"] }
    }
    world.clock.advance(7200)
    return (world, scratch)
  }

  private var policy: RetentionPolicy {
    var policy = RetentionPolicy()
    policy.thinAfter = 3600
    return policy
  }

  private func snapshots() async throws -> [Snapshot] { try await world.repository().snapshots().snapshots }

  @Test(
    "old snapshots keep their weights bit for bit, their labels and record, and the rest is deleted later")
  func thins() async throws {
    let before = try await snapshots()
    let plan = try await Prune(
      try await world.repository(), policy: policy, run: nil, grace: World.grace
    ).plan()
    let report = try await world.prune(policy)
    #expect(report.thinned.map(\.step) == [1, 2] && plan.thinned == report.thinned)
    #expect(plan.condemnedBytes == report.condemnedBytes && report.condemnedBytes > 90_000)
    let after = try await snapshots()
    #expect(after.map(\.step) == [1, 2, 3] && after.map(\.isThinned) == [true, true, false])
    #expect(after.map(\.tags) == before.map(\.tags) && after.map(\.time) == before.map(\.time))
    #expect(after[2] == before[2] && after[0].id != before[0].id)
    world.clock.advance(Self.day)
    let second = try await world.prune(policy)
    #expect(second.thinned.isEmpty && second.deletedBytes == report.condemnedBytes)
    #expect(try await world.verify(.deep).damages.isEmpty)
    try await world.restore(after[0], to: "\(scratch.path)/out")
    let restored = try Picture("\(scratch.path)/out").entries
    let original = try Picture("\(scratch.path)/1").entries.filter {
      !$0.path.name.hasPrefix("events.")
    }
    #expect(restored == original)
    let record = try #require(try await ArchiveRecord.read(of: after[0], from: try await world.repository()))
    #expect(
      record.id == after[0].id && !record.resumable && record.remarks.contains { $0.contains(before[0].id) })
  }

  @Test("milestones, the best, what is young and what is incomplete stay whole")
  func spares() async throws {
    var listed = try await snapshots()
    listed[0].milestone = true
    listed[1].tags = ["best"]
    #expect(!policy.decide(listed, now: world.clock.now).contains { $0.thins })
    listed[0].milestone = false
    #expect(policy.decide(listed, now: world.clock.now).map(\.thins) == [true, false, false])
    listed[0].complete = false
    #expect(!policy.decide(listed, now: world.clock.now).contains { $0.thins })
    listed[0].complete = true
    listed[0].time = world.clock.now
    #expect(!policy.decide(listed, now: world.clock.now).contains { $0.thins })
    listed[0].time = listed[1].time
    listed[0].metrics = ["eval_loss": 1]
    #expect(policy.decide(listed, now: world.clock.now).map(\.thins) == [false, false, false])
    var best = policy
    best.ranking = Ranking(metric: "accuracy")
    #expect(best.decide(listed, now: world.clock.now).map(\.thins) == [true, false, false])
    best.best = [.init(count: 1, ranking: Ranking(metric: "eval_loss"))]
    #expect(best.decide(listed, now: world.clock.now).map(\.thins) == [false, false, false])
  }

  @Test("the newest that training can go on from stays whole, though weights alone are newer")
  func sparesTheWayBack() async throws {
    var listed = try await snapshots()
    #expect(policy.decide(listed, now: world.clock.now).map(\.thins) == [true, true, false])
    listed[2].layout = "hf_model"
    #expect(policy.decide(listed, now: world.clock.now).map(\.thins) == [true, false, false])
  }

  @Test("a prune that dies at whatever call while it thins loses nothing, and the next one ends the work")
  func dies() async throws {
    var calls = 0
    var hasDied = true
    while hasDied {
      let (world, scratch) = try await Self.prepare()
      do {
        try await world.prune(policy, in: dying(world.memory, after: calls))
        hasDied = false
      } catch {}
      let steps = try await world.repository().snapshots().snapshots.map(\.step)
      #expect(Set(steps) == [1, 2, 3], "after \(calls) calls")
      #expect(try await world.verify(.deep).damages.isEmpty, "after \(calls) calls")
      for _ in 0..<3 {
        try await world.prune(policy)
        world.clock.advance(Self.day)
      }
      let left = try await world.repository().snapshots().snapshots
      #expect(left.map(\.isThinned) == [true, true, false], "after \(calls) calls")
      #expect(try await world.verify(.deep).damages.isEmpty, "after \(calls) calls")
      try await world.restore(left[0], to: "\(scratch.path)/out")
      func weights(_ path: String) throws -> [Picture.Entry] {
        try Picture(path).entries.filter { $0.path.name.hasSuffix(".raw") }
      }
      #expect(
        try weights("\(scratch.path)/out") == weights("\(scratch.path)/1"), "after \(calls) calls")
      calls += 3
    }
    #expect(calls > 30, "the prune was cut in its middle")
  }
}
