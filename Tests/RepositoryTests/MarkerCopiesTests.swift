import FoundationEssentials
import ObjectStore
import Platform
import TestSupport
import Testing

@testable import Repository

@Suite("Copies of markers") struct MarkerCopiesTests {
  private let scratch: Scratch
  private let store = MemoryStore()
  private let repository: Repository

  init() async throws {
    scratch = try Scratch()
    repository = try await openRepository(in: store, cacheRoot: scratch.path)
  }

  /// Commits a snapshot of a run.
  @discardableResult
  private func commit(run: String, step: Int = 1) async throws -> Snapshot {
    var manifest = try sampleManifest()
    (manifest.run, manifest.step) = (run, step)
    let snapshot = sampleSnapshot(of: manifest, at: try await repository.write(manifest))
    try await repository.write(snapshot)
    return snapshot
  }

  private func path(run: String) -> String {
    let name = MarkerCopies.name(ObjectKey.snapshots(of: run))
    return "\(scratch.path)/\(repository.info.id)/\(MetadataCache.fileName(name))"
  }

  private func content(run: String) throws -> Data { try Data(contentsOf: URL(filePath: path(run: run))) }

  @Test("what is listed as it was before comes from the cache, and only what is new from the store")
  func spares() async throws {
    let first = try await commit(run: "a")
    let counting = FaultyStore(store) { _, _, _ in nil }
    let repository = try await reopened(counting)
    _ = try await repository.snapshots()
    let second = try await commit(run: "a", step: 2)
    let before = counting.calls(.get)
    let listed = try await repository.snapshots().snapshots
    #expect(listed.map(\.key) == [first.key, second.key])
    #expect(counting.calls(.get) == before + 1)
    #expect(try await repository.snapshots(of: "a").snapshots == listed)
    #expect(counting.calls(.get) == before + 1, "the new one is kept beside the others")
  }

  private func reopened(_ store: any ObjectStore) async throws -> Repository {
    try await Repository.open(in: store, cacheRoot: scratch.path, surroundings: .system)
  }

  @Test("what a store answers and did not list is kept by no cache: another one may stand under the same id")
  func forged() async throws {
    let snapshot = try await commit(run: "a")
    let lying = FaultyStore(store) { operation, key, _ in
      operation == .get && key.hasPrefix("snapshots/") ? .flip(at: 40) : nil
    }
    _ = try await reopened(lying).snapshots()
    #expect(repository.cache?.get(MarkerCopies.name(ObjectKey.snapshots(of: "a"))) == nil)
    #expect(try await repository.snapshots().snapshots == [snapshot])
  }

  @Test("markers that were fetched before a listing fails need not be fetched again")
  func goesOn() async throws {
    for step in 1...40 { try await commit(run: "a", step: step) }
    let failing = FaultyStore(store) { operation, key, call in
      operation == .get && key.hasPrefix("snapshots/") && call > 30
        ? .before(.unreachable(endpoint: "", reason: "")) : nil
    }
    let broken = try await reopened(failing)
    await #expect(throws: StoreError.self) { try await broken.snapshots() }
    let counting = FaultyStore(store) { _, _, _ in nil }
    let whole = try await reopened(counting)
    let before = counting.calls(.get)
    #expect(try await whole.snapshots().snapshots.count == 40)
    #expect(counting.calls(.get) - before < 30)
  }

  @Test("the copies of an older marker, or of another run's, do not pass for the newer one")
  func misplaced() async throws {
    var snapshot = try await commit(run: "a")
    try await commit(run: "b")
    _ = try await repository.snapshots()
    let old = try content(run: "a")
    snapshot.tags = ["newer"]
    try await repository.write(snapshot)
    #expect(try await repository.snapshots(of: "a").snapshots == [snapshot])
    #expect(try content(run: "a") != old)
    for foreign in [old, try content(run: "b")] {
      try foreign.write(to: URL(filePath: path(run: "a")))
      #expect(try await repository.snapshots(of: "a").snapshots == [snapshot])
    }
  }

  @Test("a copy whose bytes are another snapshot's marker is not believed, whatever it is said to be")
  func mislabelled() async throws {
    let (mine, other) = (try await commit(run: "a"), try await commit(run: "a", step: 2))
    let objects = try await store.list(ObjectKey.snapshots).objects
    let sources = objects.compactMap(MarkerCopies.source)
    var bodies: [[UInt8]] = []
    for object in objects { bodies.append(try await store.get(object.key, limit: 1 << 20)) }
    repository.cache?.put(
      MarkerCopies.name(ObjectKey.snapshots(of: "a")),
      MarkerCopies.encode(zip(sources, bodies.reversed()).map { .init(source: $0, bytes: $1) }))
    #expect(try await repository.snapshots().snapshots == [mine, other])
  }

  @Test("what is removed from the store is gone, whatever the cache holds")
  func removed() async throws {
    let (mine, other) = (try await commit(run: "a"), try await commit(run: "a", step: 2))
    _ = try await repository.snapshots()
    try await store.delete([mine.key])
    #expect(try await repository.snapshots().snapshots == [other])
  }

  @Test("copies that are cut or flipped are read as far as they go; the seed is printed")
  func damaged() {
    let copies = (0..<5).map {
      MarkerCopies.Copy(source: "snapshots/a/\($0) e 3", bytes: [UInt8](repeating: 7, count: $0))
    }
    let whole = MarkerCopies.encode(copies)
    let read = MarkerCopies.decode(whole)
    #expect(read.count == 5 && copies.allSatisfy { read[$0.source] == $0.bytes })
    for count in whole.indices {
      let part = MarkerCopies.decode(Array(whole.prefix(count)))
      #expect(part.allSatisfy { read[$0.key] == $0.value })
    }
    var generator = Seeded()
    for _ in 0..<200 {
      var bytes = whole
      bytes[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      #expect(MarkerCopies.decode(bytes).values.reduce(0) { $0 + $1.count } < whole.count)
    }
  }
}
