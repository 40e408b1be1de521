import Checkpoints
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Differences of snapshots") struct SnapshotDiffTests {
  private func diff(_ world: World, _ a: Snapshot, _ b: Snapshot) async throws -> SnapshotDiff {
    let repository = try await world.repository()
    return SnapshotDiff(try await .init(a, in: repository), try await .init(b, in: repository))
  }

  @Test("what differs is named with both values, and what is the same is not")
  func changes() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    try scratch.write("checkpoint-1/args.json", #"{"lr": 1, "nested": {"a": [1], "b": 2}, "gone": true}"#)
    let a = try await world.push("\(scratch.path)/checkpoint-1") {
      $0.metrics = ["loss": 2, "same": 1]
      $0.environment = TrainingEnvironment(
        code: .init(directory: "/x", commit: "one"), packages: ["torch": "1"])
    }.snapshot
    try makeCheckpoint(scratch, "checkpoint-2", change: 1)
    try scratch.write("checkpoint-2/args.json", #"{"lr": 1.0, "nested": {"a": [1, 2], "b": 2}, "new": "x"}"#)
    try scratch.remove("checkpoint-2/small")
    try scratch.write("checkpoint-2/added", noise(1000, seed: 77))
    let b = try await world.push("\(scratch.path)/checkpoint-2", step: 2) {
      $0.metrics = ["loss": 1, "same": 1]
      $0.environment = TrainingEnvironment(
        code: .init(directory: "/x", commit: "two"), packages: ["torch": "2"])
    }.snapshot
    let found = try await diff(world, a, b)
    #expect(
      found.hyperparameters == [
        "args.json": [
          .init(name: "gone", before: .bool(true), after: nil),
          .init(name: "nested.a", before: .array([.integer(1)]), after: .array([.integer(1), .integer(2)])),
          .init(name: "new", before: nil, after: .string("x")),
        ]
      ])
    #expect(found.metrics == [.init(name: "loss", before: .integer(2), after: .integer(1))])
    #expect(found.versions == [.init(name: "torch", before: .string("1"), after: .string("2"))])
    #expect(
      found.environment == [.init(name: "code.commit", before: .string("one"), after: .string("two"))])
    let files = Dictionary(uniqueKeysWithValues: found.files.map { ($0.path, $0) })
    #expect(
      files.keys.sorted() == [
        "added", "args.json", "copy/of/weights.raw", "small/a", "small/b", "weights.raw",
      ])
    #expect(files["added"] == .init(path: "added", before: nil, after: 1000, newBytes: 1000))
    #expect(files["small/a"] == .init(path: "small/a", before: 1, after: nil, newBytes: 0))
    #expect(found.sameFiles == 3)
    let weights = try #require(files["weights.raw"])
    #expect(weights.newBytes < 160_000 && weights.newBytes >= 40_000)
    #expect(found.sharedBytes + found.files.reduce(0) { $0 + $1.newBytes } == found.bytesAfter)
  }

  @Test("a snapshot does not differ from itself")
  func itself() async throws {
    let world = try await World()
    let snapshot = try await world.push(fixtures + "/peft_lora/checkpoint-3").snapshot
    let found = try await diff(world, snapshot, snapshot)
    #expect(found.hyperparameters.isEmpty && found.versions.isEmpty && found.contents.isEmpty)
    #expect(found.files.isEmpty && found.sharedBytes == found.bytesAfter && found.environment.isEmpty)
  }

  @Test("checkpoints of other kinds differ in layout, use, parts and modules")
  func kinds() async throws {
    let world = try await World()
    let full = try await world.push(fixtures + "/hf_full/checkpoint-20").snapshot
    let adapter = try await world.push(fixtures + "/peft_lora/checkpoint-3", step: 2).snapshot
    let names = try await diff(world, full, adapter).contents.map(\.name)
    #expect(names.contains("layout") && names.contains("base") && names.contains("modules.lora"))
    try await world.memory.delete([adapter.record + "record.json"])
    #expect(try await diff(world, full, adapter).contents.contains { $0.name == "layout" })
  }
}
