import FoundationEssentials
import ObjectStore
import Platform
import Synchronization
import TestSupport
import Testing

@testable import Repository

@Suite("Repositories") struct RepositoryTests {
  @Test("a place that holds something else is refused, and so is a second repository")
  func occupied() async throws {
    let store = MemoryStore()
    try await store.put("other.txt", Payload([1]))
    await #expect(throws: FormatError.occupied(place: store.name, example: "other.txt")) {
      try await openRepository(in: store)
    }
    let fresh = MemoryStore()
    _ = try await openRepository(in: fresh)
    await #expect(throws: FormatError.exists(place: fresh.name)) { try await openRepository(in: fresh) }
    let keys = try await fresh.list("").objects.map(\.key)
    #expect(keys == ["README.txt", "ckbackup.json", "recover.py"])
  }

  @Test("no repository, a newer one and an impossible one are three errors")
  func opening() async throws {
    let store = MemoryStore()
    func open() async throws -> Repository {
      try await Repository.open(in: store, cacheRoot: nil, surroundings: .system)
    }
    await #expect(throws: FormatError.noRepository(place: store.name)) { try await open() }
    let id = String(repeating: "0", count: 32)
    for (text, isNewer) in [
      (#"{"format":2,"anything":true}"#, true), (#"{"format":1}"#, false), ("{", false),
      (#"{"format":1,"id":"\#(id)","created":"2026-01-01T00:00:00Z","chunk_size":1}"#, false),
    ] {
      try await store.put("ckbackup.json", Payload(Array(text.utf8)))
      let error = await #expect(throws: FormatError.self) { try await open() }
      if case .newerFormat? = error { #expect(isNewer) } else { #expect(!isNewer) }
    }
  }

  @Test("a marker that says something else than its key is unreadable, and spares the others")
  func markers() async throws {
    let store = MemoryStore()
    let repository = try await openRepository(in: store)
    let manifest = try sampleManifest()
    let reference = try await repository.write(manifest)
    let snapshot = sampleSnapshot(of: manifest, at: reference)
    try await repository.write(snapshot)
    let bytes = try await store.get(snapshot.key, limit: 1 << 20)
    try await store.put(ObjectKey.marker(run: manifest.run, step: 13, id: manifest.id), Payload(bytes))
    let listing = try await repository.snapshots()
    #expect(listing.snapshots == [snapshot] && listing.unreadable.count == 1)
    #expect(try await repository.manifest(of: snapshot) == manifest)
  }

  @Test("a cached copy is believed only as far as digests go")
  func cache() async throws {
    let scratch = try Scratch()
    let place = scratch.path
    let store = MemoryStore()
    let repository = try await openRepository(in: store, cacheRoot: place)
    let manifest = try sampleManifest()
    let reference = try await repository.write(manifest)
    let snapshot = sampleSnapshot(of: manifest, at: reference)
    #expect(try await repository.manifest(of: snapshot) == manifest)

    let folder = "\(place)/\(repository.info.id)"
    let files = try FileManager.default.contentsOfDirectory(atPath: folder)
    #expect(!files.isEmpty)
    for file in files {
      try Data([UInt8](repeating: 7, count: 500)).write(to: URL(filePath: "\(folder)/\(file)"))
    }
    #expect(try await repository.manifest(of: snapshot) == manifest, "a damaged copy is passed over")

    try await store.put(reference.key, Payload(Array("gone".utf8)))
    let listed = try await store.head(reference.key)
    await #expect(throws: FormatError.self, "a verify looks at the store, whatever the cache holds") {
      try await repository.manifest(of: snapshot, listed: listed)
    }
    await #expect(throws: FormatError.missing(object: reference.key)) {
      try await repository.manifest(of: snapshot, listed: nil)
    }
  }

  @Test("no marker is written that nothing could read again", arguments: [("run", -5), ("", 1)])
  func unreadableMarker(_ run: String, _ step: Int) async throws {
    let store = MemoryStore()
    let repository = try await openRepository(in: store)
    var manifest = try sampleManifest()
    manifest.run = run
    manifest.step = step
    let snapshot = sampleSnapshot(of: manifest, at: .init(key: "manifests/x", sha256: "", size: 1))
    await #expect(throws: FormatError.self) { try await repository.write(snapshot) }
    #expect(try await store.list("snapshots/").objects.isEmpty)
  }

  @Test("of two proofs the later counts, and coverage is as old as the oldest")
  func ledger() async throws {
    var ledger = Ledger(proofs: [
      "a": .init(time: Timestamp(seconds: 10), etag: nil),
      "b": .init(time: Timestamp(seconds: 20), etag: "x"),
    ])
    ledger.merge(Ledger(proofs: ["a": .init(time: Timestamp(seconds: 5), etag: nil, damaged: true)]))
    #expect(ledger.coveredSince(["a", "b"]) == Timestamp(seconds: 10) && ledger.damaged.isEmpty)
    ledger.merge(Ledger(proofs: ["a": .init(time: Timestamp(seconds: 30), etag: nil, damaged: true)]))
    #expect(ledger.coveredSince(["a", "b"]) == nil && ledger.damaged == ["a"])
    #expect(ledger.coveredSince(["b", "c"]) == nil)
    let whole = Ledger(proofs: ["a": .init(time: Timestamp(seconds: 30), etag: nil)])
    ledger.merge(whole)
    #expect(ledger.damaged == ["a"], "in one second damage wins, whichever is merged into which")
    var other = whole
    other.merge(ledger)
    #expect(other.damaged == ["a"])

    let repository = try await openRepository(in: MemoryStore())
    try await repository.write(
      Ledger(proofs: ["p": .init(time: Timestamp(seconds: 1), etag: nil)]), replacing: [])
    let (read, keys) = try await repository.ledger()
    #expect(read.proofs.keys.sorted() == ["p"] && keys.count == 1)
    try await repository.write(ledger, replacing: keys)
    #expect(try await repository.ledger().ledger == ledger)
  }

  @Test("a ledger's objects merge, and one that cannot be read costs only its own proofs")
  func damagedLedger() async throws {
    let store = MemoryStore()
    let repository = try await openRepository(in: store)
    for pack in ["packs/a", "packs/b"] {
      try await repository.write(
        Ledger(proofs: [pack: .init(time: Timestamp(seconds: 1), etag: nil)]), replacing: [])
    }
    try await store.put("ledger/broken.json", Payload(Array(#"{"format":1,"packs":{"packs/c":{}}}"#.utf8)))
    let (ledger, keys) = try await repository.ledger()
    #expect(ledger.proofs.keys.sorted() == ["packs/a", "packs/b"] && keys.count == 2)
    try await repository.write(ledger, replacing: keys)
    #expect(try await store.list("ledger/").objects.count == 2, "what nobody could read is left alone")

    try await store.put("ledger/newer.json", Payload(Array(#"{"format":2,"packs":{}}"#.utf8)))
    await #expect(throws: FormatError.self, "damage that a newer program has found is not passed over") {
      try await repository.ledger()
    }
  }

  @Test("a deletion record is as old as the store says, whatever it says of itself")
  func age() async throws {
    let time = Mutex(Timestamp(seconds: 1_700_000_000))
    let store = MemoryStore(now: { time.withLock { $0 } })
    let repository = try await openRepository(in: store)
    let record = #"{"format":1,"created":"1999-01-01T00:00:00Z","objects":["packs/a"]}"#
    try await store.put("deletions/x.json", Payload(Array(record.utf8)))
    time.withLock { $0 = Timestamp(seconds: 1_700_000_100) }
    let (records, now) = try await repository.deletions()
    #expect(records.map(\.objects) == [["packs/a"]])
    #expect(records.map { now.seconds(since: $0.written) } == [100])
    try await store.put("deletions/x.json", Payload(Array(record.replacing("1,", with: "2,").utf8)))
    await #expect(throws: FormatError.newerFormat(object: "deletions/x.json", format: 2)) {
      try await repository.deletions()
    }
  }

  @Test("what answers everything with a page is no store, and no store with a damaged repository")
  func signInPage() async throws {
    let memory = MemoryStore()
    _ = try await openRepository(in: memory)
    try await memory.put(ObjectKey.repository, Payload(Array("<html></html>".utf8)))
    let page = StoreError.notS3(endpoint: "e", detail: "an HTML page")
    let portal = FaultyStore(memory) { operation, _, _ in operation == .list ? .before(page) : nil }
    await #expect(throws: page) {
      try await Repository.open(in: portal, cacheRoot: nil, surroundings: .system)
    }
    await #expect(throws: FormatError.self) {
      try await Repository.open(in: memory, cacheRoot: nil, surroundings: .system)
    }
  }

  @Test("what is condemned must be known for sure: a damaged record is an error")
  func deletions() async throws {
    let store = MemoryStore()
    let repository = try await openRepository(in: store)
    _ = try await repository.condemn(["packs/b", "packs/a"])
    #expect(try await repository.deletions().records.first?.objects == ["packs/a", "packs/b"])
    try await store.put("deletions/x.json", Payload([1]))
    await #expect(throws: FormatError.self) { try await repository.deletions() }
  }

  @Test("work on many items keeps their order, is bounded, and ends at the first error")
  func concurrency() async throws {
    let results = try await concurrently(Array(0..<50), limit: 7) { item in
      try await Task.sleep(for: .microseconds((item * 37) % 11 * 100))
      return item * 2
    }
    #expect(results == (0..<50).map { $0 * 2 })
    struct Stop: Error {}
    await #expect(throws: Stop.self) {
      _ = try await concurrently(Array(0..<1000), limit: 4) { item in
        if item == 10 { throw Stop() }
        try await Task.sleep(for: .milliseconds(item > 10 ? 10_000 : 0))
      }
    }
  }
}
