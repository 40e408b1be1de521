import Glibc
import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Sources of a push") struct SourceTests {
  /// A checkpoint whose one large file is read in many batches.
  private func large() async throws -> (world: World, scratch: Scratch, file: String) {
    let (world, scratch) = (try await World(), try Scratch())
    try scratch.write("c/a.raw", [1])
    try scratch.write("c/big file\n.raw", noise(1_500_000, seed: 8))
    return (world, scratch, "\(scratch.path)/c/big file\n.raw")
  }

  private func change(_ file: String, _ how: String) {
    switch how {
    case "written to":
      let descriptor = open(file, O_WRONLY)
      pwrite(descriptor, "x", 1, 1_499_999)
      close(descriptor)
    case "appended to":
      let descriptor = open(file, O_WRONLY | O_APPEND)
      write(descriptor, "x", 1)
      close(descriptor)
    case "cut": truncate(file, 1_000_000)
    default:
      var times = [timespec(tv_sec: 5, tv_nsec: 0), timespec(tv_sec: 5, tv_nsec: 0)]
      utimensat(AT_FDCWD, file, &times, 0)
    }
  }

  @Test(
    "a file that changes when part of it is sent is an error that names it, and the next push is whole",
    arguments: ["written to", "appended to", "cut", "touched"])
  func changedWhile(_ how: String) async throws {
    let (world, scratch, file) = try await large()
    // The first part is sent when most of the file is still to be read.
    let store = FaultyStore(world.memory) { operation, _, call in
      if operation == .uploadPart, call == 1 { change(file, how) }
      return nil
    }
    let error = await #expect(throws: EngineError.self) {
      try await world.push("\(scratch.path)/c", in: store)
    }
    guard case .changedWhileRead(let path)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(path.hasSuffix("c/big file\\x0a.raw"))
    #expect(try await world.keys("snapshots/").isEmpty)
    #expect(try await world.memory.listUploads("").isEmpty)
    let pushed = try await world.push("\(scratch.path)/c")
    try await world.restore(pushed.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/c"))
  }

  @Test("what cannot be kept is said, and is an error where that was asked for")
  func skipped() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    mkfifo("\(scratch.path)/checkpoint-1/pipe", 0o600)
    await #expect(throws: EngineError.self) {
      try await world.push("\(scratch.path)/checkpoint-1") { $0.isStrict = true }
    }
    #expect(try await world.keys("packs/").isEmpty)
    let pushed = try await world.push("\(scratch.path)/checkpoint-1")
    #expect(pushed.warnings.contains { $0.hasPrefix("pipe ") })
  }

  @Test("a torn checkpoint is refused, and kept as incomplete where that was asked for")
  func incomplete() async throws {
    let world = try await World()
    let torn = fixtures + "/broken/optimizer_truncated_half"
    let error = await #expect(throws: EngineError.self) { try await world.push(torn) }
    guard case .incomplete(_, let defects)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(!defects.isEmpty)
    let pushed = try await world.push(torn) { $0.allowsIncomplete = true }
    #expect(!pushed.snapshot.complete)
    let snapshots = try await world.repository().snapshots().snapshots
    #expect(throws: EngineError.self) {
      try SnapshotAddress("demo@latest").resolve(in: snapshots, best: Ranking())
    }
    let record = try await ArchiveRecord.read(of: pushed.snapshot, from: try await world.repository())
    #expect(record?.complete == false && record?.remarks.isEmpty == false)
  }

  @Test("run names that no key can hold are refused before anything is read", arguments: ["", " ", "a\tb"])
  func badRun(_ run: String) async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    await #expect(throws: EngineError.self) {
      try await world.push("\(scratch.path)/checkpoint-1") { $0.run = run }
    }
    #expect(try await world.keys("packs/").isEmpty)
  }

  @Test("a step of any size is found again")
  func greatSteps() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    for step in [0, 999_999_999_999, 1_000_000_000_000, Int.max] {
      let pushed = try await world.push("\(scratch.path)/checkpoint-1", step: step).snapshot
      let snapshots = try await world.repository().snapshots()
      #expect(snapshots.unreadable.isEmpty)
      #expect(
        try SnapshotAddress("demo@\(step)").resolve(in: snapshots.snapshots, best: Ranking()) == pushed)
    }
  }
}
