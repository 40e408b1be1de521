import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Engine

/// Lets so many calls pass and fails all after them, as a process that dies does: in turn before and after the work of the first.
func dying(_ base: MemoryStore, after calls: Int) -> FaultyStore<MemoryStore> {
  let count = Mutex(0)
  return FaultyStore(base) { operation, _, _ in
    let number = count.withLock { count in
      count += 1
      return count
    }
    let error = StoreError.unreachable(endpoint: "test", reason: "it died at \(operation.rawValue)")
    if number <= calls { return nil }
    return number == calls + 1 && calls % 2 == 0 ? .after(error) : .before(error)
  }
}

@Suite("Interrupted commands") struct InterruptionTests {
  @Test("a push that dies at any call loses nothing, and the next sends at most one pack again")
  func push() async throws {
    let scratch = try Scratch()
    try makeCheckpoint(scratch)
    let source = "\(scratch.path)/checkpoint-1"
    let picture = try Picture(source)
    let whole = try await World().push(source).addedBytes
    var calls = 0
    var finished = false
    while !finished {
      let world = try await World()
      do {
        try await world.push(source, in: dying(world.memory, after: calls))
        finished = true
      } catch is StoreError {}
      let stored = try await world.memory.list("packs/").objects.reduce(0) { $0 + $1.size }
      let second = try await world.push(source)
      // A pack holds its table besides its chunks: a few hundred bytes.
      #expect(second.addedBytes <= max(0, whole - stored) + 4096, "after \(calls) calls")
      #expect(try await world.verify(.deep).damages.isEmpty, "after \(calls) calls")
      let out = "\(scratch.path)/out-\(calls)"
      try await world.restore(second.snapshot, to: out)
      #expect(try Picture(out) == picture, "after \(calls) calls")
      calls += 1
    }
    #expect(calls > 15, "the test would not have tried much")
  }

  @Test("a push that dies beside another snapshot leaves that one as it was")
  func bystander() async throws {
    let scratch = try Scratch()
    try makeCheckpoint(scratch, "a")
    try makeCheckpoint(scratch, "b", change: 3)
    let picture = try Picture("\(scratch.path)/a")
    for calls in 0..<25 {
      let world = try await World()
      let first = try await world.push("\(scratch.path)/a", step: 1)
      _ = try? await world.push("\(scratch.path)/b", step: 2, in: dying(world.memory, after: calls))
      #expect(try await world.verify(.deep).damages.isEmpty)
      try await world.restore(first.snapshot, to: "\(scratch.path)/out-\(calls)")
      #expect(try Picture("\(scratch.path)/out-\(calls)") == picture)
    }
  }

  @Test("a prune that dies at any call leaves what it keeps whole, and later ones finish")
  func prune() async throws {
    let scratch = try Scratch()
    for step in 1...3 { try makeCheckpoint(scratch, "\(step)", change: UInt64(step)) }
    let picture = try Picture("\(scratch.path)/3")
    let policy = RetentionPolicy(last: 1)
    var calls = 0
    var finished = false
    while !finished {
      let world = try await World()
      for step in 1...3 { try await world.push("\(scratch.path)/\(step)", step: step) }
      finished = true
      for _ in 0..<2 {
        do { try await world.prune(policy, in: dying(world.memory, after: calls)) } catch is StoreError {
          finished = false
        }
        world.clock.advance(100_000)
      }
      for _ in 0..<3 {
        try await world.prune(policy)
        world.clock.advance(100_000)
      }
      let left = try await world.repository().snapshots().snapshots
      #expect(left.map(\.step) == [3], "after \(calls) calls")
      #expect(try await world.verify(.deep).damages.isEmpty)
      #expect(try await world.verify(.quick).unusedBytes == 0, "after \(calls) calls")
      #expect(try await world.keys("manifests/").count == 1)
      #expect(try await world.keys("deletions/").isEmpty)
      let out = "\(scratch.path)/out-\(calls)"
      try await world.restore(try #require(left.first), to: out)
      #expect(try Picture(out) == picture)
      calls += 1
    }
    #expect(calls > 8)
  }

  @Test("a cancelled push ends and leaves no upload open")
  func cancelled() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let started = Mutex(false)
    let watched = FaultyStore(world.memory) { operation, _, _ in
      if operation == .uploadPart { started.withLock { $0 = true } }
      return nil
    }
    let task = Task { try await world.push("\(scratch.path)/checkpoint-1", in: watched) }
    while !started.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(1)) }
    task.cancel()
    _ = try? await task.value
    #expect(try await world.memory.listUploads("").isEmpty)
  }
}
