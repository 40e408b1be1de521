import Checkpoints
import Glibc
import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Restore") struct RestoreTests {
  private func pushed() async throws -> (World, Scratch, Snapshot) {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    return (world, scratch, try await world.push("\(scratch.path)/checkpoint-1").snapshot)
  }

  @Test("what an interrupted restore of more files left is not part of a restore of fewer")
  func otherSelection() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let failing = FaultyStore(world.memory) { operation, _, call in
      operation == .read && call > 4 ? .before(.unreachable(endpoint: "test", reason: "gone")) : nil
    }
    let broken = Restore(
      try await world.repository(in: failing), resources: world.resources, progress: Progress())
    await #expect(throws: StoreError.self) {
      _ = try await broken.run(snapshot, to: "\(scratch.path)/out", options: .init())
    }
    try await world.restore(
      snapshot, to: "\(scratch.path)/out", options: .init(selection: Selection(include: ["small"])))
    #expect(
      try Picture("\(scratch.path)/out").entries.map(\.path.display) == ["small", "small/a", "small/b"])
  }

  @Test("a rank that no process of the snapshot had is refused; where nothing is known of them it is not")
  func noSuchRank() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let path = try scratch.copy("ds_zero3_bf16", as: "zero")
    let ranked = try await world.push(path, step: 4).snapshot
    func restore(_ snapshot: Snapshot, _ rank: Int) async throws {
      try await world.restore(
        snapshot, to: "\(scratch.path)/out-\(snapshot.step)-\(rank)",
        options: .init(selection: Selection(rank: rank)))
    }
    try await restore(ranked, 1)
    do {
      try await restore(ranked, 2)
      Issue.record("rank 2 of 2 was restored")
    } catch EngineError.noSuchRank(let rank, let worldSize) {
      #expect(rank == 2 && worldSize == 2)
    }
    #expect(access("\(scratch.path)/out-4-2", F_OK) != 0)
    try await restore(snapshot, 99)
  }

  @Test("an interrupted restore goes on with what it had written")
  func resume() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let failing = FaultyStore(world.memory) { operation, _, call in
      operation == .read && call > 3 ? .before(.unreachable(endpoint: "test", reason: "gone")) : nil
    }
    let broken = Restore(
      try await world.repository(in: failing), resources: world.resources, progress: Progress())
    await #expect(throws: StoreError.self) {
      _ = try await broken.run(snapshot, to: "\(scratch.path)/out", options: .init())
    }
    #expect(access("\(scratch.path)/out", F_OK) != 0)
    let report = try await world.restore(snapshot, to: "\(scratch.path)/out")
    #expect(report.resumedBytes > 0 && report.fetchedBytes < snapshot.bytes)
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
  }

  @Test("what an interrupted replacement left of the old tree is never built upon")
  func replacedTree() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let left = ".out.ckbackup-\(snapshot.id).done"
    try scratch.write("\(left)/more.raw", noise(500_000, seed: 77))
    link("\(scratch.path)/\(left)/more.raw", "\(scratch.path)/precious")
    try await world.restore(snapshot, to: "\(scratch.path)/out", options: .init(overwrite: true))
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
    #expect(access("\(scratch.path)/\(left)", F_OK) != 0)
    let precious = try OpenFile("\(scratch.path)/precious")
    #expect(try precious.bytes(at: 0, count: precious.size) == noise(500_000, seed: 77))
  }

  @Test("a file that appears at the target meanwhile is not replaced")
  func appeared() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try scratch.write("weights.raw", noise(200_000, seed: 4))
    let snapshot = try await world.push("\(scratch.path)/weights.raw").snapshot
    let racing = FaultyStore(world.memory) { operation, _, call in
      if operation == .read, call == 1 { _ = try? scratch.write("out.raw", [1, 2, 3]) }
      return nil
    }
    let restore = Restore(
      try await world.repository(in: racing), resources: world.resources, progress: Progress())
    await #expect(throws: EngineError.self) {
      _ = try await restore.run(snapshot, to: "\(scratch.path)/out.raw", options: .init())
    }
    #expect(try OpenFile("\(scratch.path)/out.raw").size == 3)
  }

  @Test("a restored record holds nothing of an interrupted restore of the files")
  func recordAlone() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let left = ".out.ckbackup-\(snapshot.id)"
    try scratch.write("\(left)/more.raw", [1])
    try await world.restore(
      snapshot, to: "\(scratch.path)/out", options: .init(selection: Selection(part: .record)))
    let names = try Picture("\(scratch.path)/out").entries.map(\.path.display)
    #expect(names.contains("record.json") && !names.contains("more.raw"))
  }

  @Test("a target that holds something is replaced only when asked, in one step, whatever it holds")
  func overwrite() async throws {
    let (world, scratch, snapshot) = try await pushed()
    try scratch.write("out/precious/file", [1])
    var odd =
      Array("\(scratch.path)/out/name-".utf8).map(CChar.init(bitPattern:)) + [CChar(bitPattern: 0xff), 0]
    mkdir(&odd, 0o700)
    await #expect(throws: EngineError.self) { try await world.restore(snapshot, to: "\(scratch.path)/out") }
    #expect(access("\(scratch.path)/out/precious/file", F_OK) == 0)
    try await world.restore(snapshot, to: "\(scratch.path)/out", options: .init(overwrite: true))
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
    let names = try Picture(scratch.path).entries.map(\.path.display)
    #expect(!names.contains { $0.hasPrefix(".") }, "nothing hidden is left")
  }

  @Test("a target may have the longest name that a file system takes, in any script")
  func longNames() async throws {
    let (world, scratch, snapshot) = try await pushed()
    for name in [String(repeating: "x", count: 255), String(repeating: "日", count: 85), "a\u{301}b"] {
      try await world.restore(snapshot, to: "\(scratch.path)/\(name)")
      #expect(try Picture("\(scratch.path)/\(name)") == Picture("\(scratch.path)/checkpoint-1"))
    }
  }

  @Test("two restores to one target are refused while the first is at work")
  func busy() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let partial = "\(scratch.path)/.out.ckbackup-\(snapshot.id)"
    mkdir(partial, 0o700)
    let other = try OpenDirectory(partial)
    try #require(flock(other.descriptor, LOCK_EX) == 0)
    let error = await #expect(throws: EngineError.self) {
      try await world.restore(snapshot, to: "\(scratch.path)/out")
    }
    guard case .targetBusy? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    flock(other.descriptor, LOCK_UN)
    try await world.restore(snapshot, to: "\(scratch.path)/out")
  }

  @Test("a selection that leaves nothing, and a target without a name, are refused and make nothing")
  func refused() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let before = try Picture(scratch.path)
    await #expect(throws: EngineError.self) {
      try await world.restore(
        snapshot, to: "\(scratch.path)/out", options: .init(selection: Selection(include: ["none"])))
    }
    for target in ["\(scratch.path)/.", "\(scratch.path)/..", "/"] {
      await #expect(throws: EngineError.self) { try await world.restore(snapshot, to: target) }
    }
    await #expect(throws: (any Error).self) {
      try await world.restore(
        snapshot, to: "\(scratch.path)/out", options: .init(seed: "\(scratch.path)/no seed"))
    }
    #expect(try Picture(scratch.path) == before)
  }

  @Test("remains that were changed meanwhile are not believed")
  func changedRemains() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let partial = ".out.ckbackup-\(snapshot.id)"
    try scratch.write("\(partial)/more.raw", noise(200_000, seed: 99))
    try scratch.write("\(partial)/small/a", [2])
    try scratch.write("\(partial)/weights.raw", [1, 2, 3])
    try scratch.write("\(partial)/empty/is a directory", [1])
    try scratch.write("\(partial)/foreign", [1])
    try await world.restore(snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
  }

  @Test("a seed spares the fetching of what it has")
  func seed() async throws {
    let (world, scratch, snapshot) = try await pushed()
    try makeCheckpoint(scratch, "older", change: 5)
    let report = try await world.restore(
      snapshot, to: "\(scratch.path)/out", options: .init(seed: "\(scratch.path)/older"))
    #expect(report.seededBytes > 380_000 && report.fetchedBytes < 200_000)
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
  }

  @Test(
    "globs match paths, their directories, and names where they hold no slash",
    arguments: [
      ("*.raw", ["copy/of/weights.raw", "more.raw", "weights.raw"]), ("copy", ["copy/of/weights.raw"]),
      ("copy/*", ["copy/of/weights.raw"]), ("small/?", ["small/a", "small/b"]),
      ("/small", ["small/a", "small/b"]),
      ("small/", ["small/a", "small/b"]), ("w*/x", []), ("/of", []), ("**/of", ["copy/of/weights.raw"]),
      ("./more.raw", ["more.raw"]), ("**/*.raw", ["copy/of/weights.raw", "more.raw", "weights.raw"]),
      ("c*/**/w*", ["copy/of/weights.raw"]),
    ])
  func globs(_ glob: String, _ expected: [String]) throws {
    let selection = Selection(include: [glob])
    let paths = ["copy/of/weights.raw", "empty", "more.raw", "small/a", "small/b", "weights.raw"]
    let chosen = try paths.filter {
      selection.contains(try RelativePath($0), fileClass: .weights, owners: RankFiles([]))
    }
    #expect(chosen == expected)
  }
}
