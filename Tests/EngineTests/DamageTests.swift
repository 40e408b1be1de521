import Glibc
import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Damage") struct DamageTests {
  private func pushed() async throws -> (World, Scratch, Snapshot) {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    return (world, scratch, try await world.push("\(scratch.path)/checkpoint-1").snapshot)
  }

  @Test("a flipped byte is found by a deep verify, never given out, and healed by the next push")
  func flipped() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let pack = try #require(try await world.keys("packs/training/").first)
    try await world.damage(pack, at: 1000)
    let report = try await world.verify(.deep)
    #expect(report.damages.map(\.object) == [pack])
    #expect(report.damages.first?.snapshots == [snapshot.label])
    #expect(report.damages.first?.files == ["events.out.tfevents.1"])
    await #expect(throws: EngineError.self) { try await world.restore(snapshot, to: "\(scratch.path)/out") }
    #expect(access("\(scratch.path)/out", F_OK) != 0)

    let healed = try await world.push("\(scratch.path)/checkpoint-1")
    #expect(!healed.wasPresent && healed.addedBytes > 0)
    #expect(try await world.verify(.deep).damages.isEmpty)
    try await world.restore(healed.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
  }

  @Test("since when every byte was read is not told while a pack is missing or a manifest cannot be read")
  func notCovered() async throws {
    let (world, scratch, snapshot) = try await pushed()
    #expect(try await world.verify(.deep).coveredSince != nil)
    let pack = try #require(try await world.keys("packs/training/").first)
    let bytes = try await world.memory.get(pack, limit: 1 << 30)
    try await world.memory.delete([pack])
    for depth in [Verify.Depth.quick, .deep] {
      let report = try await world.verify(depth)
      #expect(report.coveredSince == nil && report.faultyPacks == 1, "\(depth)")
    }
    try await world.memory.put(pack, Payload(bytes))
    let whole = try await world.verify(.deep)
    #expect(whole.coveredSince != nil && whole.faultyPacks == 0)
    try await world.memory.delete([snapshot.manifest.key])
    let blind = try await world.verify(.deep)
    #expect(blind.coveredSince == nil && blind.unusedBytes == 0, "nobody knows what the manifest needed")
    _ = scratch
  }

  @Test("what the damage does not touch can still be restored")
  func partial() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let pack = try #require(try await world.keys("packs/training/").first)
    try await world.memory.delete([pack])
    try await world.restore(
      snapshot, to: "\(scratch.path)/weights", options: .init(selection: Selection(part: .weights)))
    #expect(access("\(scratch.path)/weights/copy/of/weights.raw", F_OK) == 0)
    #expect(access("\(scratch.path)/weights/events.out.tfevents.1", F_OK) != 0)
  }

  @Test(
    "lost, shortened and replaced packs are found from listings alone",
    arguments: ["lost", "short", "replaced"])
  func listings(_ kind: String) async throws {
    let (world, _, snapshot) = try await pushed()
    let pack = try #require(try await world.keys("packs/weights/").first)
    let bytes = try await world.memory.get(pack, limit: 1 << 30)
    switch kind {
    case "lost": try await world.memory.delete([pack])
    case "short": try await world.memory.put(pack, Payload(Array(bytes.dropLast())))
    default: try await world.memory.put(pack, Payload(noise(bytes.count, seed: 9)))
    }
    let report = try await world.verify(.quick)
    #expect(report.damages.map(\.object) == [pack])
    #expect(report.damages.first?.snapshots == [snapshot.label])
  }

  @Test(
    "lost and damaged manifests are found and never restored from, and the next push heals them",
    arguments: [true, false])
  func manifest(_ isLost: Bool) async throws {
    let (world, scratch, snapshot) = try await pushed()
    let key = snapshot.manifest.key
    if isLost { try await world.memory.delete([key]) } else { try await world.damage(key, at: 20) }
    #expect(try await world.verify(.quick).damages.map(\.object) == [key])
    await #expect(throws: FormatError.self) { try await world.restore(snapshot, to: "\(scratch.path)/out") }
    let healed = try await world.push("\(scratch.path)/checkpoint-1")
    #expect(!healed.wasPresent && healed.addedBytes == 0, "the packs were all there")
    #expect(try await world.verify(.deep).damages.isEmpty)
    try await world.restore(healed.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
  }

  @Test("a lost pack is sent again by the next push, without a verify in between")
  func lostPack() async throws {
    let (world, scratch, _) = try await pushed()
    let pack = try #require(try await world.keys("packs/weights/").first)
    try await world.memory.delete([pack])
    let healed = try await world.push("\(scratch.path)/checkpoint-1")
    #expect(!healed.wasPresent && healed.addedBytes > 0)
    #expect(try await world.verify(.deep).damages.isEmpty)
    try await world.restore(healed.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
  }

  @Test("damage that a verify found is told by quick ones too, until a deep one finds the pack good again")
  func remembered() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let pack = try #require(try await world.keys("packs/training/").first)
    try await world.damage(pack, at: 1000)
    #expect(try await world.verify(.deep).damages.count == 1)
    let quick = try await world.verify(.quick)
    #expect(quick.damages.map(\.object) == [pack] && quick.coveredSince == nil)
    // The right bytes come back from elsewhere, and the store gives them an ETag of its own.
    try await world.damage(pack, at: 1000)
    #expect(try await world.verify(.quick).damages.map(\.object) == [pack], "nobody has read them yet")
    world.clock.advance(60)
    let deep = try await world.verify(.deep)
    #expect(deep.damages.isEmpty && deep.coveredSince == world.clock.now)
    #expect(try await world.verify(.quick).damages.isEmpty)
    try await world.restore(snapshot, to: "\(scratch.path)/out")
  }

  @Test("a damaged table is found although every chunk is right")
  func table() async throws {
    let (world, _, _) = try await pushed()
    let pack = try #require(try await world.keys("packs/weights/").first)
    let size = try #require(try await world.memory.head(pack)).size
    try await world.damage(pack, at: size - 60)
    #expect(try await world.verify(.deep).damages.map(\.object) == [pack])
  }

  @Test("a budget reads what was read longest ago first, and all of it in turn")
  func budget() async throws {
    let (world, _, _) = try await pushed()
    let packs = try await world.keys("packs/").count
    #expect(packs > 2)
    var rounds = 1
    while try await world.verify(.budget(1)).coveredSince == nil {
      world.clock.advance(60)
      rounds += 1
      try #require(rounds <= packs)
    }
    #expect(rounds == packs)
  }

  @Test("a budget that does not reach a replaced pack leaves it under suspicion")
  func suspicion() async throws {
    let (world, _, _) = try await pushed()
    // Those that came in parts: a pack that was put as a whole has the same ETag again.
    let packs = try await world.memory.list("packs/").objects.filter { $0.etag?.contains("-") == true }
    try #require(packs.count > 1)
    for pack in packs {
      // The same bytes under another ETag, as in a bucket that was copied.
      try await world.memory.put(pack.key, Payload(try await world.memory.get(pack.key, limit: 1 << 30)))
    }
    var suspects = packs.count
    for _ in try await world.keys("packs/") {
      world.clock.advance(60)
      let left = try await world.verify(.budget(1)).damages.count
      #expect(
        left == suspects || left == suspects - 1, "each reads one pack, which may be one that nobody suspects"
      )
      suspects = left
    }
    #expect(suspects == 0)
    #expect(try await world.verify(.quick).damages.isEmpty)
  }

  @Test("a transient flip on the way is read again and does no harm")
  func transit() async throws {
    let (world, scratch, snapshot) = try await pushed()
    let faulty = FaultyStore(world.memory) { operation, _, call in
      operation == .read && call == 2 ? .flip(at: 5) : nil
    }
    let restore = Restore(
      try await world.repository(in: faulty), resources: world.resources, progress: Progress())
    _ = try await restore.run(snapshot, to: "\(scratch.path)/out", options: .init())
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
  }

  @Test("records that are damaged or missing are found")
  func records() async throws {
    let (world, _, snapshot) = try await pushed()
    try await world.memory.delete([snapshot.record + "MD5SUMS"])
    #expect(try await world.verify(.quick).damages.map(\.object) == [snapshot.record + "MD5SUMS"])
  }

  @Test("whoever may only read learns what is damaged all the same")
  func readOnly() async throws {
    let (world, _, _) = try await pushed()
    let pack = try #require(try await world.keys("packs/training/").first)
    try await world.damage(pack, at: 1000)
    let readOnly = FaultyStore(world.memory) { operation, key, _ in
      operation == .put ? .before(.denied(operation: "put", key: key, message: "no")) : nil
    }
    let report = try await Verify(
      try await world.repository(in: readOnly), resources: world.resources, progress: Progress()
    ).run(.deep)
    #expect(report.damages.map(\.object) == [pack] && report.ledgerFailure != nil)
  }

  @Test("a lost description is told, and written anew where the repository's other objects are")
  func description() async throws {
    let (world, _, _) = try await pushed()
    try await world.memory.delete(["ckbackup.json"])
    await #expect(throws: FormatError.self) { try await world.repository() }
    await #expect(throws: FormatError.self) {
      try await Repository.create(in: world.memory, chunkSize: 1 << 16, surroundings: world.surroundings)
    }
    _ = try await Repository.create(
      in: world.memory, chunkSize: 1 << 16, surroundings: world.surroundings, recreate: true)
    #expect(try await world.verify(.deep).damages.isEmpty)
    await #expect(throws: FormatError.self, "a whole one is left alone") {
      try await Repository.create(
        in: world.memory, chunkSize: 1 << 16, surroundings: world.surroundings, recreate: true)
    }
  }

  @Test("a description that is newer, or cannot be read at the moment, is not written anew")
  func keptDescription() async throws {
    let (world, _, _) = try await pushed()
    func recreate(in store: any ObjectStore) async throws {
      _ = try await Repository.create(
        in: store, chunkSize: 1 << 16, surroundings: world.surroundings, recreate: true)
    }
    let whole = try await world.memory.get("ckbackup.json", limit: 1 << 20)
    let failing = FaultyStore(world.memory) { operation, _, _ in
      operation == .get ? .before(.transient(operation: "get", detail: "500", retryAfter: nil)) : nil
    }
    await #expect(throws: StoreError.self) { try await recreate(in: failing) }
    #expect(try await world.memory.get("ckbackup.json", limit: 1 << 20) == whole)
    let newer = Array(#"{"format": 2}"#.utf8)
    try await world.memory.put("ckbackup.json", Payload(newer))
    await #expect(throws: FormatError.newerFormat(object: "ckbackup.json", format: 2)) {
      try await recreate(in: world.memory)
    }
    #expect(try await world.memory.get("ckbackup.json", limit: 1 << 20) == newer)
  }

  @Test("a marker that cannot be read stops every deletion")
  func marker() async throws {
    let (world, _, snapshot) = try await pushed()
    try await world.memory.put(snapshot.key, Payload(Array("{".utf8)))
    world.clock.advance(1_000_000)
    await #expect(throws: EngineError.self) { try await world.prune(RetentionPolicy(last: 1)) }
    #expect(try await world.keys("deletions/").isEmpty)
    #expect(try await !world.keys("packs/").isEmpty)
  }
}
