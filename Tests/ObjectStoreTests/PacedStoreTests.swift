import Digests
import Platform
import Synchronization
import TestSupport
import Testing

@testable import ObjectStore

/// A clock that goes on as far as those who wait for it say.
private final class Line: Sendable {
  private let time = Mutex(100.0)
  var now: Double { time.withLock { $0 } }
  func wait(_ seconds: Double) { time.withLock { $0 += seconds } }
}

@Suite("Limits of transfers") struct PacedStoreTests {
  private func store(_ line: Line, up: Int?, down: Int?) -> PacedStore {
    PacedStore(MemoryStore(), up: up, down: down, now: { line.now }, sleep: { line.wait($0) })
  }

  private func read(_ store: PacedStore, _ count: Int) async throws {
    let buffer = Buffer(copying: [UInt8](repeating: 0, count: count))
    try await store.read("a", at: 0, into: WritableSlice(buffer, 0..<count))
  }

  @Test("each transfer waits for the one before it as long as that takes at the rate")
  func pace() async throws {
    let line = Line()
    let store = store(line, up: 1000, down: 500)
    for _ in 0..<5 { try await store.put("a", Payload([UInt8](repeating: 1, count: 2000))) }
    #expect(line.now == 100 + 4 * 2)
    let upload = try await store.beginMultipart("b")
    _ = try await store.uploadPart(upload, number: 1, offset: 0, Payload([1]), md5: MD5.hash([1]))
    #expect(line.now == 100 + 5 * 2)
    for _ in 0..<3 { try await read(store, 1000) }
    #expect(line.now == 110 + 2 * 2, "the two directions have nothing to do with each other")
    // What a whole object takes is not known before: the next transfer waits for it.
    _ = try await store.get("a", limit: 5000)
    #expect(line.now == 116)
    try await read(store, 1)
    #expect(line.now == 120)
  }

  @Test("time in which nothing was sent is not made up for, and a direction without a limit does not wait")
  func idle() async throws {
    let line = Line()
    let store = store(line, up: 1000, down: nil)
    try await store.put("a", Payload([UInt8](repeating: 1, count: 1000)))
    line.wait(60)
    for _ in 0..<2 { try await store.put("a", Payload([UInt8](repeating: 1, count: 1000))) }
    #expect(line.now == 161)
    for _ in 0..<5 { try await read(store, 1000) }
    #expect(line.now == 161)
  }

  @Test("what the store behind says of itself is what a slowed one says")
  func words() async throws {
    struct Odd: ForwardingStore {
      let base: any ObjectStore = MemoryStore()
      let hasOpaqueETags = true
      func offersLocks() async throws -> Bool { true }
      func keepsOldVersions() async throws -> Bool { true }
    }
    let slowed = PacedStore(Odd(), up: 1000, down: nil)
    #expect(slowed.hasOpaqueETags && slowed.name == Odd().name)
    #expect(try await slowed.offersLocks())
    #expect(try await slowed.keepsOldVersions())
  }

  @Test("a slowed store holds the contract of stores", arguments: Probe.all)
  func contract(_ probe: Probe) async throws {
    let line = Line()
    let slowed = store(line, up: 1 << 30, down: 1 << 30)
    let suite = ProbeSuite(slowed, base: "base", partSize: 10_000, rounds: 20)
    guard suite.probes.contains(where: { $0.name == probe.name }) else { return }
    let result = try await suite.run(probe)
    #expect(result.outcome == .holds, "\(result.detail)")
  }
}
