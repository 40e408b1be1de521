import Glibc
import ObjectStore
import Platform
import Repository
import TestSupport
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

  @Test("names of any bytes, deep paths, odd modes and times before 1970 come back")
  func oddEntries() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    let root = try OpenDirectory(scratch.path)
    let deep = (0..<60).map { "directory-\($0)" }.joined(separator: "/")
    let names: [[UInt8]] = [
      Array("c/".utf8) + [0xff, 0xfe, 0x0a], Array("c/\u{301}".utf8), Array("c/ü".utf8),
      Array("c/u\u{308}".utf8), Array("c/-rf *".utf8), Array("c/\(deep)/file".utf8), Array("c/\\".utf8),
      Array("c/".utf8) + [0xc3] + Array("/inner".utf8), Array("c/.hidden".utf8),
    ]
    for (index, name) in names.enumerated() {
      let path = try RelativePath(name)
      let file = try root.openForWriting(path, flags: O_CREAT)
      try file.write(name, at: index * 1000)
      try file.setPermissions([0, 0o111, 0o777, 0o400, 0o644, 0o750][index % 6])
      try root.setModified(path, Timestamp(nanoseconds: Int64(index - 3) * 1_000_000_000 - 1))
    }
    try root.makeLink(RelativePath(Array("c/".utf8) + [0xfe]), target: [0xff, 0x2f, 0x0a])
    let pushed = try await world.push("\(scratch.path)/c")
    try await world.restore(pushed.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/c"))
    #expect(try await world.push("\(scratch.path)/out").wasPresent)
  }

  @Test("a checkpoint whose files are all empty comes back, with no pack at all")
  func emptyFiles() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    for name in ["c/a", "c/b/c", "c/b/d"] { try scratch.write(name, []) }
    let pushed = try await world.push("\(scratch.path)/c")
    try await world.restore(pushed.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/c"))
    #expect(try await world.keys("packs/").isEmpty)
    #expect(try await world.verify(.deep).damages.isEmpty)
    #expect(try await world.push("\(scratch.path)/c").wasPresent)
  }

  @Test("random trees come back, and each push sends no chunk twice; the seed is printed")
  func randomTrees() async throws {
    var generator = Seeded()
    let world = try await World()
    for round in 0..<3 {
      let scratch = try Scratch()
      for file in 0..<Int.random(in: 1...150, using: &generator) {
        // Few different sizes and contents, so that files share chunks within a push and between pushes.
        let size = [0, 1, 4095, 65_536, 65_537, 200_000][
          min(5, Int.random(in: 0...40, using: &generator) / 7)]
        let seed = UInt64.random(in: 0..<9, using: &generator)
        try scratch.write("c/\(file % 7)/\(file)", noise(size, seed: seed))
      }
      let before = try await world.memory.list(ObjectKey.packs).objects.reduce(0) { $0 + $1.size }
      let pushed = try await world.push("\(scratch.path)/c", step: round)
      let after = try await world.memory.list(ObjectKey.packs).objects.reduce(0) { $0 + $1.size }
      #expect(
        (0...(64 << 10)).contains(after - before - pushed.addedBytes), "a pack is its chunks and a table")
      try await world.restore(pushed.snapshot, to: "\(scratch.path)/out")
      #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/c"), "round \(round)")
      #expect(try await world.push("\(scratch.path)/c", step: round).wasPresent)
    }
    let chunks = try await ids(in: world)
    #expect(chunks.count == Set(chunks).count)
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  /// The chunks of all packs, by their tables.
  private func ids(in world: World) async throws -> [ChunkID] {
    let repository = try await world.repository()
    var ids: [ChunkID] = []
    for pack in try await world.memory.list(ObjectKey.packs).objects {
      ids += try await repository.table(ofPack: pack.key, size: pack.size).entries.map(\.id)
    }
    return ids
  }

  @Test("two pushes of one checkpoint at once leave one snapshot that is whole")
  func twins() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    async let first = world.push(source)
    async let second = world.push(source)
    let snapshots = [try await first.snapshot, try await second.snapshot]
    #expect(snapshots[0].id == snapshots[1].id)
    #expect(try await world.repository().snapshots().snapshots.count == 1)
    #expect(try await world.verify(.deep).damages.isEmpty)
    for (index, snapshot) in snapshots.enumerated() {
      try await world.restore(snapshot, to: "\(scratch.path)/out-\(index)")
      #expect(try Picture("\(scratch.path)/out-\(index)") == Picture(source))
    }
  }

  @Test("a second checkpoint sends only the chunks that changed")
  func incremental() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch, "a")
    try makeCheckpoint(scratch, "b", change: 7)
    try await world.push("\(scratch.path)/a", step: 1)
    let second = try await world.push("\(scratch.path)/b", step: 2)
    // 40,000 bytes changed: part of a chunk of 64 KiB and the last one.
    #expect((40_000...2 * 65_536).contains(second.addedBytes))
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
    truncate("\(scratch.path)/sparse/file", 8 << 20)
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

  @Test("a dry run of what is there already changes no label")
  func dryRunPresent() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let pushed = try await world.push("\(scratch.path)/checkpoint-1")
    let plan = try await world.push("\(scratch.path)/checkpoint-1") {
      $0.isDryRun = true
      $0.tags = ["new"]
    }
    #expect(plan.wasPresent && plan.addedBytes == 0)
    #expect(try await world.repository().snapshots().snapshots == [pushed.snapshot])
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
      case "grow": truncate(file, 300_000)
      case "touch": utimensat(AT_FDCWD, file, nil, 0)
      case "replace":
        _ = try? scratch.write("checkpoint-1/other", noise(200_000, seed: 9))
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
