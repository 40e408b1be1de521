import Glibc
import ObjectStore
import Platform
import Repository
import Testing

@testable import Engine

@Suite("Round trips") struct RoundTripTests {
  @Test("what was pushed comes back exactly, and pushing it again sends nothing")
  func exact() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    let pushed = try await world.push(source)
    #expect(pushed.addedBytes < pushed.snapshot.bytes, "equal files share their chunks")
    try await world.restore(pushed.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture(source))

    let again = try await world.push(source)
    #expect(again.wasPresent && again.addedBytes == 0 && again.snapshot == pushed.snapshot)
    #expect(try await world.keys("snapshots/").count == 1)
    #expect(try await world.memory.listUploads("").isEmpty)
  }

  @Test("a second checkpoint sends only the chunks that changed")
  func incremental() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch, "a")
    try makeCheckpoint(scratch, "b", change: 7)
    try await world.push("\(scratch.path)/a", step: 1)
    let second = try await world.push("\(scratch.path)/b", step: 2)
    // 100,000 bytes changed, in two chunks of 64 KiB at most and the one that they begin in.
    #expect((100_000...3 * 65_536).contains(second.addedBytes))
    try await world.restore(second.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/b"))
  }

  @Test("the same content with another link is another state of the snapshot, and its labels stay")
  func sameContentOtherTree() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    let first = try await world.push(source) {
      $0.tags = ["paper"]
      $0.isMilestone = true
    }
    unlink("\(source)/link")
    symlink("elsewhere", "\(source)/link")
    let second = try await world.push(source)
    #expect(!second.wasPresent && second.addedBytes == 0 && second.snapshot.id == first.snapshot.id)
    #expect(second.snapshot.tags == ["paper"] && second.snapshot.milestone)
    try await world.restore(second.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture(source))
  }

  @Test("a single file comes back as a file, under its own name in a directory or under a new one")
  func singleFile() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try scratch.write("weights.raw", noise(200_000, seed: 4))
    try scratch.write("directory/other", [1])
    let pushed = try await world.push("\(scratch.path)/weights.raw")
    #expect(pushed.snapshot.kind == .file)
    for (target, place) in [("/new.raw", "/new.raw"), ("/directory", "/directory/weights.raw")] {
      try await world.restore(pushed.snapshot, to: scratch.path + target)
      let file = try OpenFile(scratch.path + place)
      #expect(try file.bytes(at: 0, count: file.size) == noise(200_000, seed: 4))
    }
  }

  @Test("a sparse file keeps its holes, and its zeros cost little")
  func sparse() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try scratch.write("sparse/file", noise(5000, seed: 5))
    truncate("\(scratch.path)/sparse/file", 40 << 20)
    let holes = try OpenFile("\(scratch.path)/sparse/file").holes()
    try #require(!holes.isEmpty, "this file system has no holes")
    let pushed = try await world.push("\(scratch.path)/sparse")
    #expect(pushed.addedBytes < 3 << 16)
    let report = try await world.restore(pushed.snapshot, to: "\(scratch.path)/out")
    #expect(report.fetchedBytes < 1 << 17)
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/sparse"))
    #expect(try OpenFile("\(scratch.path)/out/file").holes() == holes)
  }

  @Test("a tree without files holds nothing to push")
  func nothing() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    mkdir("\(scratch.path)/empty", 0o700)
    await #expect(throws: EngineError.self) { try await world.push("\(scratch.path)/empty") }
    #expect(try await world.keys("packs/").isEmpty)
  }

  @Test("a dry run writes nothing and tells what a push would send")
  func dryRun() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let before = try await world.keys("")
    let plan = try await world.push("\(scratch.path)/checkpoint-1") { $0.isDryRun = true }
    #expect(try await world.keys("") == before)
    #expect(try await world.push("\(scratch.path)/checkpoint-1").addedBytes == plan.addedBytes)
  }

  @Test("the record keeps what the user adds, with secrets masked, and its own digests are right")
  func record() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    try scratch.write("args.json", Array(#"{"learning_rate": 0.1, "api_key": "sk-1234"}"#.utf8))
    try scratch.write("train.log", Array("step 1\n".utf8))
    let pushed = try await world.push("\(scratch.path)/checkpoint-1") {
      $0.attachments = [("\(scratch.path)/args.json", .hyperparameters), ("\(scratch.path)/train.log", .log)]
      $0.metrics = ["loss": 0.5]
      $0.note = "a note"
    }
    let record = try #require(
      try await ArchiveRecord.read(of: pushed.snapshot, from: try await world.repository()))
    #expect(record.hyperparameters["args.json"]?["learning_rate"]?.number == 0.1)
    #expect(record.files.map(\.name) == ["args.json", "train.log"])
    #expect(record.metrics == ["loss": 0.5] && record.note == "a note")
    for key in try await world.keys("records/") {
      let bytes = try await world.memory.get(key, limit: 1 << 20)
      #expect(!String(decoding: bytes, as: UTF8.self).contains("sk-1234"), "\(key)")
    }
    #expect(try await world.verify(.deep).damages.isEmpty)
    #expect(pushed.snapshot.metrics == ["loss": 0.5])
  }

  @Test("two checkpoints under one step are both kept, and it is said")
  func collision() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch, "a")
    try makeCheckpoint(scratch, "b", change: 1)
    let first = try await world.push("\(scratch.path)/a")
    let second = try await world.push("\(scratch.path)/b")
    #expect(second.warnings.contains { $0.contains(first.snapshot.id) })
    #expect(try await world.repository().snapshots().snapshots.count == 2)
  }

  @Test(
    "a file that changes or goes while it is read is named, and nothing is committed",
    arguments: ["grow", "touch", "replace", "remove"])
  func changed(_ how: String) async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let file = "\(scratch.path)/checkpoint-1/more.raw"
    // The first listing comes after the look at the files and before their reading.
    let racing = FaultyStore(world.memory) { operation, _, call in
      guard operation == .list, call == 1 else { return nil }
      switch how {
      case "grow": truncate(file, 600_000)
      case "touch": utimensat(AT_FDCWD, file, nil, 0)
      case "replace":
        try? scratch.write("checkpoint-1/other", noise(500_000, seed: 9))
        rename("\(scratch.path)/checkpoint-1/other", file)
      default: unlink(file)
      }
      return nil
    }
    let error = await #expect(throws: EngineError.self) {
      try await world.push("\(scratch.path)/checkpoint-1", in: racing)
    }
    switch error {
    case .changedWhileRead(let path)?: #expect(path.hasSuffix("more.raw") && how != "remove")
    case .vanished(let path)?: #expect(path.hasSuffix("more.raw") && how == "remove")
    default: Issue.record("\(String(describing: error))")
    }
    #expect(try await world.keys("snapshots/").isEmpty)
    #expect(try await world.memory.listUploads("").isEmpty)
  }
}
