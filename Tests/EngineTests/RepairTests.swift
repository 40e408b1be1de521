import Glibc
import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Repair") struct RepairTests {
  /// A pushed checkpoint and another repository that has a copy of it.
  private func pushed() async throws -> (World, World, Scratch) {
    let (world, other, scratch) = (try await World(), try await World(), try Scratch())
    try makeCheckpoint(scratch)
    try await world.push("\(scratch.path)/checkpoint-1")
    try await world.copy(to: other)
    return (world, other, scratch)
  }

  private func repair(
    _ world: World, from source: RepairSource, deep: Bool = false, in store: (any ObjectStore)? = nil
  ) async throws -> Repair.Report {
    try await Repair(
      try await world.repository(in: store), from: source, resources: world.resources, progress: Progress(),
      part: World.sizes.part
    ).run(deep: deep)
  }

  private func packs(_ world: World) async throws -> [String: [UInt8]] {
    var packs: [String: [UInt8]] = [:]
    for key in try await world.keys("packs/") { packs[key] = try await world.memory.get(key, limit: 1 << 30) }
    return packs
  }

  /// Does harm to every pack, each of another kind.
  private func harm(_ world: World, from kind: Int = 0) async throws {
    for (index, (key, bytes)) in try await packs(world).sorted(by: { $0.key < $1.key }).enumerated() {
      switch (index + kind) % 4 {
      case 0: try await world.memory.delete([key])
      case 1: try await world.damage(key, at: 100)
      case 2: try await world.memory.put(key, Payload(Array(bytes.dropLast(70))))
      default: try await world.damage(key, at: bytes.count - 55)
      }
    }
  }

  private func expectWhole(_ world: World, _ before: [String: [UInt8]], _ scratch: Scratch) async throws {
    #expect(try await packs(world) == before)
    #expect(try await world.verify(.quick).damages.isEmpty)
    #expect(try await world.verify(.deep).damages.isEmpty)
    let snapshot = try #require(try await world.repository().snapshots().snapshots.first)
    try await world.restore(snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
    #expect(try await world.memory.listUploads("").isEmpty)
  }

  @Test(
    "packs that are lost, flipped, short or without a table come back byte for byte from another repository",
    arguments: [0, 1])
  func fromRepository(_ kind: Int) async throws {
    let (world, other, scratch) = try await pushed()
    let before = try await packs(world)
    #expect(before.count == 3)
    try await harm(world, from: kind)
    let report = try await repair(world, from: .repository(try await other.repository()))
    #expect(report.remaining.isEmpty && Set(report.repaired.map(\.pack)) == Set(before.keys))
    #expect(report.repaired.allSatisfy { !$0.snapshots.isEmpty && !$0.files.isEmpty })
    world.clock.advance(60)
    try await expectWhole(world, before, scratch)
  }

  @Test("they come back from the checkpoint's files too, the table made anew", arguments: [0, 1])
  func fromDirectory(_ kind: Int) async throws {
    let (world, _, scratch) = try await pushed()
    let before = try await packs(world)
    try await harm(world, from: kind)
    let report = try await repair(world, from: .directory("\(scratch.path)/checkpoint-1"))
    #expect(report.remaining.isEmpty && report.repaired.count == before.count)
    world.clock.advance(60)
    try await expectWhole(world, before, scratch)
  }

  @Test("another repository that cut its packs in another way has the chunks all the same")
  func otherPacks() async throws {
    let (world, _, scratch) = try await pushed()
    let other = try await World()
    try await other.push("\(scratch.path)/checkpoint-1") { $0.sizes = .init(pack: 70_000, part: 30_000) }
    let before = try await packs(world)
    try await harm(world)
    let report = try await repair(world, from: .repository(try await other.repository()))
    #expect(report.remaining.isEmpty)
    world.clock.advance(60)
    try await expectWhole(world, before, scratch)
  }

  @Test("a rotten byte that keeps the ETag is found by a deep repair alone, and only its chunk is brought")
  func rotten() async throws {
    let (world, other, scratch) = try await pushed()
    let before = try await packs(world)
    let pack = try #require(before.keys.sorted().last)
    // The copy's ETag is what a rotten disk would go on to show; here the ledger vouches for the new one.
    try await world.damage(pack, at: 100)
    var (ledger, keys) = try await world.repository().ledger()
    ledger.proofs[pack] = .init(time: world.clock.now, etag: try await world.memory.head(pack)?.etag)
    try await world.repository().write(ledger, replacing: keys)
    let source = RepairSource.repository(try await other.repository())
    #expect(try await repair(world, from: source).repaired.isEmpty)
    world.clock.advance(60)
    let report = try await repair(world, from: source, deep: true)
    #expect(report.remaining.isEmpty && report.repaired.map(\.pack) == [pack])
    #expect((1...65_536).contains(report.repaired.first?.broughtBytes ?? 0))
    world.clock.advance(60)
    try await expectWhole(world, before, scratch)
  }

  @Test("a whole pack is never written to, whatever a listing says")
  func unharmed() async throws {
    let (world, other, _) = try await pushed()
    let before = try await packs(world)
    // The same bytes under another ETag, as in a bucket that was copied.
    for (key, bytes) in before { try await world.memory.put(key, Payload(bytes)) }
    let moved = try await world.memory.list("packs/").objects.filter { $0.etag?.contains("-") == false }
    let watched = FaultyStore(world.memory) { operation, key, _ in
      [.put, .beginMultipart, .delete].contains(operation) && key.hasPrefix("packs/")
        ? .before(.denied(operation: operation.rawValue, key: key, message: "no")) : nil
    }
    let report = try await repair(
      world, from: .repository(try await other.repository()), in: watched)
    #expect(report.repaired.isEmpty && report.remaining.isEmpty)
    #expect(!report.unharmed.isEmpty && report.unharmed.count <= moved.count)
    #expect(try await world.verify(.quick).damages.isEmpty)
  }

  @Test("with a part of the chunks, what can be had whole comes back and the rest is named")
  func half() async throws {
    let (world, _, scratch) = try await pushed()
    let before = try await packs(world)
    for key in before.keys { try await world.memory.delete([key]) }
    // The directory has lost one file and has another one changed at one byte.
    let root = "\(scratch.path)/checkpoint-1"
    unlink("\(root)/events.out.tfevents.1")
    var changed = noise(200_000, seed: 2)
    changed[150_000] ^= 1
    try scratch.write("checkpoint-1/more.raw", changed)
    let report = try await repair(world, from: .directory(root))
    let after = try await packs(world)
    #expect(!report.repaired.isEmpty && !report.remaining.isEmpty)
    #expect(report.repaired.count + report.remaining.count == before.count)
    #expect(Set(after.keys) == Set(report.repaired.map(\.pack)))
    for (key, bytes) in after { #expect(before[key] == bytes) }
    #expect(report.wantedFiles == ["events.out.tfevents.1", "more.raw"])
    #expect(report.remaining.flatMap(\.files).contains("more.raw"))
    #expect(Set(try await world.verify(.quick).damages.map(\.object)) == Set(report.remaining.map(\.object)))
  }

  @Test("a repair that dies at any call leaves no pack worse, and the next finishes")
  func killed() async throws {
    let scratch = try Scratch()
    try makeCheckpoint(scratch)
    var calls = 0
    var finished = false
    while !finished {
      let (world, other) = (try await World(), try await World())
      try await world.push("\(scratch.path)/checkpoint-1")
      try await world.copy(to: other)
      let before = try await packs(world)
      let damaged = Array(before.keys.sorted().prefix(2))
      try await world.memory.delete([damaged[0]])
      try await world.damage(damaged[1], at: 100)
      let source = RepairSource.repository(try await other.repository())
      do {
        _ = try await repair(world, from: source, in: dying(world.memory, after: calls))
        finished = true
      } catch is StoreError {}
      let left = try await packs(world)
      for (key, bytes) in before where key != damaged[0] && key != damaged[1] { #expect(left[key] == bytes) }
      world.clock.advance(60)
      #expect(try await repair(world, from: source, deep: true).remaining.isEmpty, "after \(calls) calls")
      #expect(try await packs(world) == before, "after \(calls) calls")
      calls += 1
    }
    #expect(calls > 20)
  }
}
