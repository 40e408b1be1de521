import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Engine

@Suite("Push to several repositories") struct JointPushTests {
  /// Pushes one path to repositories with their stores, and gives what became of each.
  private func push(
    _ path: String, to targets: [(world: World, store: any ObjectStore)], memory: Int = 0,
    ended: @escaping @Sendable (Int, Result<Push.Report, any Error>, Bool) -> Void = { _, _, _ in }
  ) async throws -> [Result<Push.Report, any Error>] {
    let resources = Resources(
      memory: memory, bufferSize: 1 << 17, threads: 2, connections: 4, uploads: targets.count)
    var request = Push.Request(path: path)
    (request.run, request.step, request.sizes) = ("demo", 1, World.sizes)
    var parts: [JointPush.Part] = []
    for target in targets {
      let repository = try await target.world.repository(in: target.store)
      parts.append(
        (Push(repository, resources: resources, progress: Progress(), grace: World.grace), request))
    }
    return try await JointPush(parts, progress: Progress()).run(ended: ended)
  }

  private func expectWhole(_ world: World, _ source: String, _ out: String) async throws {
    #expect(try await world.verify(.deep).damages.isEmpty)
    let snapshots = try await world.repository().snapshots().snapshots.filter { $0.step == 1 }
    #expect(snapshots.count == 1)
    for snapshot in snapshots {
      try await world.restore(snapshot, to: out)
      #expect(try Picture(out) == Picture(source))
    }
  }

  @Test("each repository gets what it lacks, and all restore the same bytes", arguments: [2, 3])
  func all(_ count: Int) async throws {
    let scratch = try Scratch()
    try makeCheckpoint(scratch)
    try makeCheckpoint(scratch, "before", change: 7)
    var worlds: [World] = []
    for _ in 0..<count { worlds.append(try await World()) }
    // The second one has most of it already, the others have nothing.
    try await worlds[1].push("\(scratch.path)/before", step: 0)
    let source = "\(scratch.path)/checkpoint-1"
    let reports = try await push(source, to: worlds.map { ($0, $0.memory) }).map { try $0.get() }
    #expect(Set(reports.map(\.snapshot.id)).count == 1 && !reports.contains { $0.wasPresent })
    #expect(reports[1].addedBytes < reports[0].addedBytes / 2)
    for (number, world) in worlds.enumerated() {
      try await expectWhole(world, source, "\(scratch.path)/out-\(number)")
    }
    let again = try await push(source, to: worlds.map { ($0, $0.memory) }).map { try $0.get() }
    #expect(again.allSatisfy { $0.wasPresent && $0.addedBytes == 0 })
  }

  @Test("a repository that dies at any request leaves the other one whole, and the next push completes it")
  func oneDies() async throws {
    let scratch = try Scratch()
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    var deaths = 0
    for calls in 1... {
      let (good, bad) = (try await World(), try await World())
      let told = Mutex<[Int: Bool]>([:])
      // Opening the repository is the first request.
      let results = try await push(source, to: [(bad, dying(bad.memory, after: calls)), (good, good.memory)])
      {
        number, result, _ in
        let isWhole = (try? result.get()) != nil
        #expect(told.withLock { $0.updateValue(isWhole, forKey: number) } == nil, "each is told of once")
      }
      let report = try results[1].get()
      #expect(!report.wasPresent)
      try await expectWhole(good, source, "\(scratch.path)/good-\(calls)")
      guard case .failure = results[0] else { break }
      deaths += 1
      #expect(told.withLock { $0 } == [0: false, 1: true])
      #expect(try await bad.verify(.quick).damages.isEmpty)
      let after = try await push(source, to: [(bad, bad.memory), (good, good.memory)]).map { try $0.get() }
      #expect(after[1].wasPresent)
      try await expectWhole(bad, source, "\(scratch.path)/bad-\(calls)")
    }
    #expect(deaths > 10)
  }

  @Test("a failure is told while the other push goes on")
  func toldAtOnce() async throws {
    let scratch = try Scratch()
    try makeCheckpoint(scratch)
    let (good, bad) = (try await World(), try await World())
    let told = Mutex(false)
    let slow = FaultyStore(good.memory) { operation, key, _ in
      // The marker is the last object of all.
      if operation == .put, key.hasPrefix("snapshots/") { #expect(told.withLock { $0 }) }
      return nil
    }
    let results = try await push(
      "\(scratch.path)/checkpoint-1", to: [(good, slow), (bad, dying(bad.memory, after: 2))]
    ) { number, _, othersGoOn in
      if number == 1 {
        #expect(othersGoOn)
        told.withLock { $0 = true }
      }
    }
    #expect(throws: Never.self) { try results[0].get() }
    #expect(throws: (any Error).self) { try results[1].get() }
  }

  @Test(
    "a push that is cancelled while the last parts are under way ends, and leaves no upload",
    .timeLimit(.minutes(1)))
  func cancelled() async throws {
    let scratch = try Scratch()
    // One pack of several parts: while a second one waits for the first, nobody reads on.
    try scratch.write("checkpoint-1/weights.raw", noise(100_000, seed: 3))
    let (first, second) = (try await World(), try await World())
    let stuck = StuckStore(base: second.memory)
    let source = "\(scratch.path)/checkpoint-1"
    let done = Mutex<[Int]>([])
    let task = Task {
      try await push(source, to: [(first, first.memory), (second, stuck)], memory: 1 << 30) { number, _, _ in
        done.withLock { $0.append(number) }
      }
    }
    while !done.withLock({ $0.contains(0) }) { try await Task.sleep(for: .milliseconds(1)) }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(done.withLock { $0 } == [0])
    #expect(try await second.memory.listUploads("").isEmpty && stuck.waits > 0)
    try await expectWhole(first, source, "\(scratch.path)/first")
  }

  @Test("what is wrong with the checkpoint is one error for all, and told of none of them")
  func torn() async throws {
    let scratch = try Scratch()
    try makeCheckpoint(scratch)
    let (first, second) = (try await World(), try await World())
    let path = "\(scratch.path)/checkpoint-1/more.raw"
    let changing = FaultyStore(first.memory) { operation, _, _ in
      // While packs are compared the file grows.
      if operation == .list { _ = try? scratch.write("checkpoint-1/more.raw", noise(200_001, seed: 9)) }
      return nil
    }
    await #expect {
      _ = try await push("\(scratch.path)/checkpoint-1", to: [(first, changing), (second, second.memory)]) {
        _, _, _ in Issue.record("no repository is at fault")
      }
    } throws: { error in
      if case .changedWhileRead(path)? = error as? EngineError { true } else { false }
    }
    for world in [first, second] {
      #expect(try await world.keys("snapshots/").isEmpty)
      #expect(try await world.memory.listUploads("").isEmpty)
    }
  }

  @Test(
    "a push that counted on packs which a prune condemns meanwhile starts over; the other is not concerned"
  )
  func condemned() async throws {
    let scratch = try Scratch()
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    let (first, second) = (try await World(), try await World())
    try await first.push(source, step: 0)
    let condemning = CondemningStore(
      base: first.memory, repository: try await first.repository(), packs: try await first.keys("packs/"))
    let reports = try await push(source, to: [(first, condemning), (second, second.memory)])
      .map { try $0.get() }
    #expect(reports[0].addedBytes > 0)
    try await expectWhole(second, source, "\(scratch.path)/second")
    first.clock.advance(Int64(World.grace) + 60)
    try await first.prune(RetentionPolicy(last: 9))
    try await expectWhole(first, source, "\(scratch.path)/first")
  }

  @Test("many rounds with few buffers end: no upload waits for what another one holds")
  func fewBuffers() async throws {
    let scratch = try Scratch()
    for round in 0..<20 {
      let worlds = [try await World(), try await World(), try await World()]
      for file in 0..<12 {
        try scratch.write("many/\(file).raw", noise(90_000 + 7000 * file, seed: UInt64(round * 100 + file)))
      }
      try await worlds[1].push("\(scratch.path)/many", step: 0)
      try scratch.write("many/3.raw", noise(150_000, seed: UInt64(5000 + round)))
      let results = try await push("\(scratch.path)/many", to: worlds.map { ($0, $0.memory) })
      #expect(results.allSatisfy { (try? $0.get()) != nil })
    }
  }
}

/// A store in which a prune condemns packs at the moment when a push that relies on them writes its manifest.
private final class CondemningStore: ForwardingStore {
  let base: any ObjectStore
  private let repository: Repository
  private let packs: [String]
  private let isDone = Mutex(false)

  init(base: any ObjectStore, repository: Repository, packs: [String]) {
    self.base = base
    self.repository = repository
    self.packs = packs
  }

  func put(_ key: String, _ payload: Payload) async throws -> String? {
    if key.hasPrefix("manifests/"), !isDone.withLock({ $0 }) {
      isDone.withLock { $0 = true }
      _ = try await repository.condemn(packs)
    }
    return try await base.put(key, payload)
  }
}

/// A store that completes no upload before its task is cancelled.
private final class StuckStore: ForwardingStore {
  let base: any ObjectStore
  private let count = Mutex(0)
  /// How many completions have waited.
  var waits: Int { count.withLock { $0 } }

  init(base: any ObjectStore) { self.base = base }

  func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    count.withLock { $0 += 1 }
    try await Task.sleep(for: .seconds(3600))
    return try await base.complete(upload, parts)
  }
}
