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
    _ = try await repository.snapshots()
    // A copy that the store no longer backs shows which of the two was read.
    let copies = try #require(repository.cache?.get(MarkerCopies.name(ObjectKey.snapshots(of: "a"))))
    let (source, bytes) = try #require(MarkerCopies.decode(copies).first)
    let altered = String(decoding: bytes, as: UTF8.self).replacing("\"t\"", with: "\"u\"")
    repository.cache?.put(
      MarkerCopies.name(ObjectKey.snapshots(of: "a")),
      MarkerCopies.encode([.init(source: source, bytes: Array(altered.utf8))]))
    let second = try await commit(run: "a", step: 2)
    let listed = try await repository.snapshots().snapshots
    #expect(listed.map(\.key) == [first.key, second.key])
    #expect(listed.map(\.tags) == [["u"], ["t"]])
    #expect(
      try await repository.snapshots(of: "a").snapshots == listed, "the new one is kept beside the others")
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
