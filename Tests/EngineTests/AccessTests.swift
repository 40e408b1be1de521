import Glibc
import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

/// A store as credentials see it that may do only what `allows` says.
private func restricted(
  _ base: MemoryStore, allows: @escaping @Sendable (StoreOperation, String) -> Bool
) -> FaultyStore<MemoryStore> {
  FaultyStore(base) { operation, key, _ in
    allows(operation, key)
      ? nil : .before(.denied(operation: operation.rawValue, key: key, message: "not by this policy"))
  }
}

private let reading: Set<StoreOperation> = [.get, .read, .head, .list]
private let writing: Set<StoreOperation> = [.put, .beginMultipart, .uploadPart, .complete]
private let pushed = [ObjectKey.packs, ObjectKey.manifests, ObjectKey.records, ObjectKey.snapshots]

/// The policies of docs/security.md.
private func pushOnly(_ operation: StoreOperation, _ key: String) -> Bool {
  reading.contains(operation) || writing.contains(operation) && pushed.contains(where: key.hasPrefix)
    || (operation == .put || operation == .delete) && key.hasPrefix(ObjectKey.parts)
}
private func restoreOnly(_ operation: StoreOperation, _ key: String) -> Bool { reading.contains(operation) }

@Suite("Credentials that may not do everything") struct AccessTests {
  @Test("a push needs no right to delete, to abort or list uploads, nor to write anything but what it pushes")
  func push() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    let store = restricted(world.memory, allows: pushOnly)
    let first = try await world.push(source, in: store)
    #expect(first.addedBytes > 0)
    #expect(try await world.push(source, in: store).snapshot.id == first.snapshot.id)
    try await world.restore(first.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture(source))
    #expect(store.calls(.delete) == 0)
  }

  @Test("pushes of many processes need the right to delete shares and no other")
  func ranks() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let store = restricted(world.memory, allows: pushOnly)
    for turn in 0..<2 {
      for rank in 0..<2 {
        var request = Push.Request(path: "\(scratch.path)/checkpoint-1")
        request.run = "demo"
        request.rank = .init(rank, of: 2, patience: 0)
        let push = RankPush(
          try await world.repository(in: store), resources: world.resources, progress: Progress(),
          grace: World.grace)
        if case .awaiting = try await push.run(request).outcome { #expect(turn == 0 && rank == 0) }
      }
    }
    #expect(try await world.keys("parts/").isEmpty)
    #expect(try await world.repository().snapshots().snapshots.count == 1)
  }

  @Test("a push without the right to abort that fails in the middle is finished by the next")
  func interrupted() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    let failing = FaultyStore(world.memory) { operation, key, call in
      if operation == .uploadPart, call > 2 { return .before(.full(detail: "quota")) }
      return pushOnly(operation, key)
        ? nil : .before(.denied(operation: operation.rawValue, key: key, message: "no"))
    }
    await #expect(throws: StoreError.full(detail: "quota")) { try await world.push(source, in: failing) }
    let second = try await world.push(source, in: restricted(world.memory, allows: pushOnly))
    try await world.restore(second.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture(source))
  }

  @Test("credentials that push can neither remove nor prune, and what they try leaves every snapshot whole")
  func destroying() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let snapshot = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    let store = restricted(world.memory, allows: pushOnly)
    await #expect(throws: StoreError.self) { try await world.repository(in: store).remove([snapshot]) }
    var policy = RetentionPolicy()
    policy.last = 1
    try makeCheckpoint(scratch, "checkpoint-2", change: 1)
    try await world.push("\(scratch.path)/checkpoint-2", step: 2)
    await #expect(throws: StoreError.self) { try await world.prune(policy, in: store) }
    #expect(try await world.verify(.deep).damages.isEmpty)
    #expect(try await world.repository().snapshots().snapshots.count == 2)
  }

  @Test("a restore and a deep verify need nothing but reading")
  func restore() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let snapshot = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    let repository = try await world.repository(in: restricted(world.memory, allows: restoreOnly))
    _ = try await Restore(repository, resources: world.resources, progress: Progress())
      .run(snapshot, to: "\(scratch.path)/out", options: .init())
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
    let report = try await Verify(repository, resources: world.resources, progress: Progress()).run(.deep)
    #expect(report.damages.isEmpty && report.ledgerFailure != nil)
    await #expect(throws: StoreError.self) {
      try await world.push(
        "\(scratch.path)/checkpoint-1", step: 9, in: restricted(world.memory, allows: restoreOnly))
    }
  }

  @Test("restored files have the permissions they had, never a set-id bit, whatever the umask")
  func permissions() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    for mode: mode_t in [0o000, 0o400, 0o600, 0o640, 0o755, 0o4755, 0o2711, 0o1644] {
      let path = try scratch.write("run/\(String(mode, radix: 8))", [UInt8](repeating: 1, count: 100_000))
      chmod(path, mode)
    }
    chmod("\(scratch.path)/run", 0o700)
    let snapshot = try await world.push("\(scratch.path)/run").snapshot
    try await world.restore(snapshot, to: "\(scratch.path)/out")
    let root = try OpenDirectory("\(scratch.path)/out")
    for name in try root.names().map({ String(decoding: $0, as: UTF8.self) }) {
      let mode = try #require(UInt32(name, radix: 8))
      #expect(try root.status(of: RelativePath(name)).permissions == mode & 0o777, "\(name)")
    }
    #expect(try root.names().count == 8)
    #expect(try OpenDirectory(scratch.path).status(of: RelativePath("out")).permissions == 0o700)
  }
}
