import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

/// A marker with what policies and addresses look at.
private func snapshot(
  _ step: Int, run: String = "demo", id: String? = nil, age: Double = 0, complete: Bool = true,
  tags: [String] = [],
  milestone: Bool = false, metrics: [String: Double] = [:]
) -> Snapshot {
  let digits = String(step, radix: 16)
  return Snapshot(
    id: id ?? String(repeating: "a", count: 16 - digits.count) + digits, run: run, step: step,
    time: Timestamp(seconds: 1_700_000_000 - Int64(age)), kind: .directory, layout: "plain",
    complete: complete,
    files: 1, bytes: 1, addedBytes: 1, metrics: metrics, tags: tags, milestone: milestone, note: nil,
    manifest: .init(key: "manifests/x", sha256: "", size: 1))
}

private let now = Timestamp(seconds: 1_700_000_000)

@Suite("Retention") struct RetentionTests {
  /// A run of random snapshots, and a policy of random rules.
  fileprivate func random(_ generator: inout Seeded) -> ([Snapshot], RetentionPolicy) {
    let steps = Set(
      (0..<Int.random(in: 1...30, using: &generator)).map { _ in Int.random(in: 0...100, using: &generator) })
    let snapshots = steps.map { step in
      snapshot(
        step, age: Double.random(in: 0...1000, using: &generator),
        complete: Int.random(in: 0..<4, using: &generator) > 0,
        tags: Bool.random(using: &generator) ? ["t"] : [],
        milestone: Int.random(in: 0..<8, using: &generator) == 0,
        metrics: Bool.random(using: &generator) ? ["loss": Double.random(in: 0...9, using: &generator)] : [:])
    }
    func maybe<Value>(_ value: Value) -> Value? { Bool.random(using: &generator) ? value : nil }
    let policy = RetentionPolicy(
      last: maybe(3), best: maybe([.init(count: 2, ranking: Ranking())]) ?? [], every: maybe(10),
      within: maybe(300),
      tags: maybe(["t"]) ?? [])
    return (snapshots, policy)
  }

  @Test(
    "milestones and the newest complete snapshot stay, whatever the rules; more rules keep no less; the seed is printed"
  )
  func properties() {
    var generator = Seeded()
    for _ in 0..<500 {
      let (snapshots, policy) = random(&generator)
      let kept = policy.decide(snapshots, now: now).filter(\.keeps).map(\.snapshot)
      #expect(snapshots.filter(\.milestone).allSatisfy(kept.contains))
      let newest = snapshots.filter(\.complete).max { $0.step < $1.step }
      #expect(newest.map(kept.contains) != false, "\(policy)")
      #expect(!kept.isEmpty)
      var wider = policy
      wider.every = 7
      let more = wider.decide(snapshots, now: now).filter(\.keeps).map(\.snapshot)
      if policy.every == nil, !policy.isEmpty { #expect(kept.allSatisfy(more.contains), "\(policy)") }
    }
  }

  @Test(
    "of whole snapshots those stay that would stay without the broken ones, and of these what a rule names; the seed is printed"
  )
  func broken() {
    var generator = Seeded()
    for _ in 0..<300 {
      let (snapshots, policy) = random(&generator)
      let broken = Set(snapshots.filter { _ in Bool.random(using: &generator) }.map(\.key))
      func kept(_ decisions: [RetentionPolicy.Decision]) -> Set<String> {
        Set(decisions.filter(\.keeps).map(\.snapshot.key))
      }
      let decisions = policy.decide(snapshots, now: now, broken: broken)
      #expect(decisions.map(\.snapshot) == policy.decide(snapshots, now: now).map(\.snapshot))
      let alone = kept(policy.decide(snapshots.filter { !broken.contains($0.key) }, now: now))
      #expect(kept(decisions).subtracting(broken) == alone)
      #expect(
        kept(decisions).intersection(broken) == kept(policy.decide(snapshots, now: now)).intersection(broken))
      #expect(policy.decide(snapshots, now: now, broken: []) == policy.decide(snapshots, now: now))
    }
  }

  @Test("what is kept is what the single rules keep together, and what none names goes; the seed is printed")
  func union() {
    var generator = Seeded()
    for _ in 0..<300 {
      let (snapshots, policy) = random(&generator)
      func kept(_ policy: RetentionPolicy) -> Set<String> {
        Set(policy.decide(snapshots, now: now).filter(\.keeps).map(\.snapshot.key))
      }
      var single = [RetentionPolicy(tags: ["on nothing"])]
      if let last = policy.last { single.append(RetentionPolicy(last: last)) }
      if let every = policy.every { single.append(RetentionPolicy(every: every)) }
      if let within = policy.within { single.append(RetentionPolicy(within: within)) }
      if !policy.tags.isEmpty { single.append(RetentionPolicy(tags: policy.tags)) }
      single += policy.best.map { RetentionPolicy(best: [$0]) }
      if policy.isEmpty { single.append(RetentionPolicy()) }
      #expect(kept(policy) == single.reduce(into: []) { $0.formUnion(kept($1)) }, "\(policy)")

      let complete = snapshots.filter(\.complete).sorted { $0.step < $1.step }
      let always = Set((snapshots.filter(\.milestone) + complete.suffix(1)).map(\.key))
      let fallback = complete.isEmpty ? Set(snapshots.max { $0.step < $1.step }.map { [$0.key] } ?? []) : []
      for count in 1...4 {
        #expect(
          kept(RetentionPolicy(last: count))
            == always.union(fallback).union(complete.suffix(count).map(\.key)))
      }
      #expect(
        policy.decide(snapshots.shuffled(using: &generator), now: now) == policy.decide(snapshots, now: now))
    }
  }

  @Test("what no rule names goes, and each rule keeps just what it says")
  func rules() {
    let snapshots = (1...10).map {
      snapshot($0 * 100, age: Double(10 - $0) * 3600, metrics: ["loss": Double($0 % 5)])
    }
    func kept(_ policy: RetentionPolicy) -> [Int] {
      policy.decide(snapshots, now: now).filter(\.keeps).map(\.snapshot.step)
    }
    #expect(kept(RetentionPolicy(last: 3)) == [800, 900, 1000])
    #expect(kept(RetentionPolicy(every: 300)) == [300, 600, 900, 1000])
    #expect(kept(RetentionPolicy(within: 7200)) == [800, 900, 1000])
    #expect(kept(RetentionPolicy(best: [.init(count: 1, ranking: Ranking(metric: "loss"))])) == [1000])
    let worst = Ranking(metric: "loss", direction: .max)
    #expect(kept(RetentionPolicy(best: [.init(count: 2, ranking: worst)])) == [400, 900, 1000])
    #expect(kept(RetentionPolicy(tags: ["none"])) == [1000])
    #expect(kept(RetentionPolicy()).count == 10, "no rule at all keeps everything")
  }

  @Test("an incomplete snapshot takes no other's place")
  func incomplete() {
    let snapshots = [snapshot(1), snapshot(2), snapshot(3, complete: false)]
    let kept = RetentionPolicy(last: 1).decide(snapshots, now: now).filter(\.keeps).map(\.snapshot.step)
    #expect(kept == [2])
  }
}

extension RetentionTests {
  @Test("incomplete snapshots change nothing for the complete ones, whatever the rules; the seed is printed")
  func incompleteBesideOthers() {
    var generator = Seeded()
    for _ in 0..<500 {
      let (snapshots, policy) = random(&generator)
      let complete = snapshots.filter(\.complete)
      guard !complete.isEmpty else { continue }
      func kept(_ snapshots: [Snapshot]) -> [Snapshot] {
        policy.decide(snapshots, now: now).filter { $0.keeps && $0.snapshot.complete }.map(\.snapshot)
      }
      #expect(kept(snapshots) == kept(complete), "\(policy)")
    }
  }
}

@Suite("Addresses") struct AddressTests {
  private let snapshots = [
    snapshot(100, metrics: ["eval_loss": 0.5, "accuracy": 0.9]),
    snapshot(200, tags: ["paper"], metrics: ["eval_loss": 0.4, "accuracy": 0.8]),
    snapshot(300, complete: false, metrics: ["eval_loss": 0.1]),
    snapshot(100, run: "other", id: "bbbbbbbbbbbbbbbb"),
  ]

  private func step(_ text: String, best: Ranking = Ranking()) throws -> Int {
    try SnapshotAddress(text).resolve(in: snapshots, best: best).step
  }

  @Test("a snapshot is found by step, label, newest, best and the beginning of its id")
  func found() throws {
    #expect(try step("demo@100") == 100)
    #expect(try step("demo@paper") == 200)
    #expect(try step("demo@latest") == 200, "an incomplete one is not the latest")
    #expect(try step("demo@best") == 200, "nor the best")
    #expect(try step("demo@best", best: Ranking(metric: "accuracy", direction: .max)) == 100)
    #expect(try SnapshotAddress("bbbb").resolve(in: snapshots, best: Ranking()).run == "other")
    #expect(try SnapshotAddress("run@with@3").run == "run@with")
    // A letter that joins the @ behind it, and one that joins the @ before it.
    #expect(try SnapshotAddress("x\u{600}@3").run == "x\u{600}")
    #expect(try SnapshotAddress("x@\u{301}").run == "x")
  }

  @Test("the label best beats the metrics")
  func bestLabel() throws {
    let labelled = snapshots + [snapshot(400, tags: ["best"])]
    #expect(try SnapshotAddress("demo@best").resolve(in: labelled, best: Ranking()).step == 400)
  }

  @Test("an incomplete snapshot is never the best, be it labelled so or the only one with a metric")
  func incompleteIsNotBest() throws {
    let labelled = snapshots + [snapshot(500, complete: false, tags: ["best"])]
    #expect(try SnapshotAddress("demo@best").resolve(in: labelled, best: Ranking()).step == 200)
    #expect(try SnapshotAddress("demo@500").resolve(in: labelled, best: Ranking()).step == 500)
    let alone = [snapshot(1, complete: false, tags: ["best"], metrics: ["eval_loss": 0.1])]
    for name in ["best", "latest"] {
      #expect(throws: EngineError.self) {
        try SnapshotAddress("demo@\(name)").resolve(in: alone, best: Ranking())
      }
    }
  }

  @Test("what names nothing, or several, is an error that says what there is")
  func errors() throws {
    for text in ["demo@7", "demo@nothing", "nobody@100", "cccc", "other@best"] {
      #expect(throws: EngineError.self, "\(text)") { try step(text) }
    }
    #expect(throws: EngineError.self) { try step("aaaa") }
    for text in ["", "demo", "@1", "demo@", "aaa", "xyz1", "aaaaaaaaaaaaaaaaa"] {
      #expect(throws: EngineError.self, "\(text)") { try SnapshotAddress(text) }
    }
  }
}

@Suite("Ranking") struct RankingTests {
  @Test(
    "small is good where the name says so",
    arguments: [
      ("eval_loss", Ranking.Direction.min), ("perplexity", .min), ("wer", .min), ("accuracy", .max),
      ("answer", .max),
      ("bleu", .max), ("loss_scale_ok", .min),
    ])
  func direction(_ name: String, _ direction: Ranking.Direction) {
    #expect(Ranking(metric: name).chosen(for: [])?.direction == direction)
  }

  @Test("NAME, NAME:min and NAME:max are read, anything else after the colon is not")
  func parsing() {
    #expect(Ranking("f1:max") == Ranking(metric: "f1", direction: .max))
    #expect(Ranking("f1") == Ranking(metric: "f1"))
    #expect(Ranking("f1:most") == nil)
  }

  @Test("equal values are ordered newest first, and what lacks the metric is left out")
  func ties() {
    let snapshots = [snapshot(1, metrics: ["loss": 1]), snapshot(2, metrics: ["loss": 1]), snapshot(3)]
    #expect(Ranking().order(snapshots).map(\.step) == [2, 1])
  }
}

@Suite("Labels") struct LabelTests {
  @Test("labels are letters, digits, dots, dashes and underscores, and latest is taken")
  func valid() {
    #expect(["paper", "v1.0-rc_2", "best"].allSatisfy(Tagging.isValid))
    #expect(
      ["", "latest", "a b", "ü", "a/b", String(repeating: "x", count: 65)].allSatisfy { !Tagging.isValid($0) }
    )
  }

  @Test("changes are written to the marker and nowhere else")
  func apply() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let snapshot = try await world.push("\(scratch.path)/checkpoint-1") { $0.tags = ["old"] }.snapshot
    let before = try await world.keys("")
    let changed = try await Tagging(add: ["new"], remove: ["old"], milestone: true)
      .apply(to: snapshot, in: try await world.repository())
    #expect(changed.tags == ["new"] && changed.milestone)
    #expect(try await world.keys("") == before)
    #expect(try await world.repository().snapshots().snapshots == [changed])
  }

  @Test("the label best moves: one snapshot of a run has it")
  func best() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch, "a")
    try makeCheckpoint(scratch, "b", change: 1)
    try makeCheckpoint(scratch, "c", change: 2)
    try await world.push("\(scratch.path)/a", step: 1) { $0.tags = ["best", "x"] }
    try await world.push("\(scratch.path)/b", step: 2) { $0.tags = ["best"] }
    func labelled() async throws -> [Int] {
      try await world.repository().snapshots().snapshots.filter { $0.tags.contains("best") }.map(\.step)
    }
    #expect(try await labelled() == [2])
    let first = try #require(try await world.repository().snapshots().snapshots.first)
    _ = try await Tagging(add: ["best"]).apply(to: first, in: try await world.repository())
    #expect(try await labelled() == [1])
  }
}
