import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Engine

/// A store some of whose objects are in an archive class.
private final class FrozenStore: ForwardingStore {
  private struct State {
    var frozen: Set<String> = []
    var asked: [String: Int] = [:]
  }
  let base: any ObjectStore
  private let state = Mutex(State())
  /// What a thaw is refused with.
  let refusal: StoreError?

  init(_ base: MemoryStore, refusal: StoreError? = nil) { (self.base, self.refusal) = (base, refusal) }

  func freeze(_ keys: [String]) { state.withLock { $0.frozen.formUnion(keys) } }
  /// Brings everything back that was asked for.
  func thawAsked() { state.withLock { $0.frozen.subtract($0.asked.keys) } }
  /// How often each object was asked for.
  var asked: [String: Int] { state.withLock { $0.asked } }

  func archiveState(of key: String) -> ArchiveState {
    state.withLock { state in
      guard state.frozen.contains(key) else { return ArchiveState(.readable, storageClass: "GLACIER") }
      return ArchiveState(state.asked[key] == nil ? .frozen : .thawing, storageClass: "GLACIER")
    }
  }
  func thaw(_ key: String, _ request: ThawRequest) throws -> ArchiveState {
    if let refusal { throw refusal }
    state.withLock { $0.asked[key, default: 0] += 1 }
    return archiveState(of: key)
  }
  private func require(_ key: String) throws {
    guard state.withLock({ $0.frozen.contains(key) }) else { return }
    throw StoreError.refused(
      operation: "read", key: key, status: 403, code: "InvalidObjectState", message: "in the archive")
  }

  func get(_ key: String, limit: Int) async throws -> [UInt8] {
    try require(key)
    return try await base.get(key, limit: limit)
  }
  func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    try require(key)
    try await base.read(key, at: offset, into: target)
  }
}

@Suite("Packs in an archive class") struct ThawTests {
  private let world: World
  private let scratch: Scratch
  private let snapshot: Snapshot
  /// Every other pack.
  private let some: [String]
  private var source: String { "\(scratch.path)/checkpoint-1" }
  private var target: String { "\(scratch.path)/out" }

  init() async throws {
    world = try await World()
    scratch = try Scratch()
    try makeCheckpoint(scratch)
    snapshot = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    let packs = try await world.keys(ObjectKey.packs)
    some = packs.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
    #expect(!some.isEmpty && some.count < packs.count)
  }

  private func restore(
    from store: FrozenStore, _ wish: ThawWish = ThawWish(),
    sleep: @escaping @Sendable (Double) async throws -> Void = { _ in }
  ) async throws -> Restore.Report {
    var surroundings = world.surroundings
    surroundings.sleep = sleep
    let repository = try await Repository.open(in: store, cacheRoot: nil, surroundings: surroundings)
    return try await Restore(repository, resources: world.resources, progress: Progress())
      .run(snapshot, to: target, options: .init(thaw: wish))
  }

  /// The report of the error that some work ends with.
  private func frozen(_ work: () async throws -> Void) async throws -> ThawReport? {
    do { try await work() } catch EngineError.frozen(let report) { return report }
    return nil
  }

  @Test("a restore brings what can be had, asks for each frozen pack once, and goes on when it is run again")
  func restoreEnds() async throws {
    let store = FrozenStore(world.memory)
    store.freeze(some)
    let report = try #require(try await frozen { _ = try await restore(from: store) })
    #expect(report.packs == some.count && report.classes == ["GLACIER"] && report.minutes == 180...300)
    #expect(store.asked == Dictionary(uniqueKeysWithValues: some.map { ($0, 1) }))
    #expect(Restore.remains(of: snapshot, at: target) != nil)
    store.thawAsked()
    let second = try await restore(from: store)
    #expect(second.resumedBytes > 0 && second.fetchedBytes > 0)
    #expect(try Picture(target) == Picture(source))
  }

  @Test("a restore that waits looks until all packs are there, asks for none twice, and ends whole")
  func restoreWaits() async throws {
    let store = FrozenStore(world.memory)
    store.freeze(some)
    let looks = Mutex(0)
    let told = Mutex<[ThawReport]>([])
    let wish = ThawWish(waits: true) { report in told.withLock { $0.append(report) } }
    _ = try await restore(from: store, wish) { seconds in
      guard seconds == ThawWish.interval else { return }
      let turn = looks.withLock { looks in
        looks += 1
        return looks
      }
      if turn == 3 { store.thawAsked() }
    }
    #expect(looks.withLock { $0 } == 3 && told.withLock { $0.map(\.packs) } == [some.count])
    #expect(store.asked.values.allSatisfy { $0 == 1 })
    #expect(try Picture(target) == Picture(source))
  }

  @Test(
    "a deep verify reads all other packs, counts the frozen ones as neither read nor damaged, and waits if told to"
  )
  func verify() async throws {
    let store = FrozenStore(world.memory)
    store.freeze(some)
    var surroundings = world.surroundings
    surroundings.sleep = { _ in store.thawAsked() }
    let repository = try await Repository.open(in: store, cacheRoot: nil, surroundings: surroundings)
    func run(_ wish: ThawWish) async throws -> Verify.Report {
      try await Verify(repository, resources: world.resources, progress: Progress(), thaw: wish).run(.deep)
    }
    let first = try await run(ThawWish())
    #expect(first.damages.isEmpty && first.frozen?.packs == some.count && first.coveredSince == nil)
    #expect(first.readPacks == first.packs - some.count)
    let second = try await run(ThawWish(waits: true))
    #expect(second.damages.isEmpty && second.frozen == nil && second.readPacks == second.packs)
    #expect(second.coveredSince != nil)
  }

  @Test("resume asks for the newest snapshot's packs and takes no older one in its place")
  func resume() async throws {
    let store = FrozenStore(world.memory)
    store.freeze(some)
    try makeCheckpoint(scratch, "checkpoint-0", change: 9)
    let wish = ThawWish()
    let resume = Resume("demo", in: "\(scratch.path)/runs", progress: Progress(), thaw: wish) { _ in }
    let report = try await frozen {
      _ = try await resume.run { (try await world.repository(in: store), world.resources) }
    }
    #expect(report?.packs == some.count)
  }

  @Test("where a store takes no such request, that is the error")
  func refused() async throws {
    let error = StoreError.denied(operation: "thaw", key: "x", message: "not by this policy")
    let store = FrozenStore(world.memory, refusal: error)
    store.freeze(some)
    await #expect(throws: error) { try await restore(from: store) }
  }

  @Test("when packs come is said for the slowest of them, and not where one's class is unknown")
  func times() {
    let states = ["GLACIER", "DEEP_ARCHIVE"].map { ArchiveState(.thawing, storageClass: $0) }
    #expect(ThawReport(states, ThawRequest()).minutes == 720...720)
    #expect(ThawReport(states, ThawRequest(tier: .expedited)).minutes == nil)
    #expect(ThawReport(states + [ArchiveState(.thawing)], ThawRequest()).minutes == nil)
  }
}
