import FoundationEssentials
import ObjectStore
import Platform
import TestSupport
import Testing

@testable import Repository

@Suite("Markers") struct SnapshotTests {
  /// A repository that holds one snapshot.
  private func committed() async throws -> (store: MemoryStore, repository: Repository, snapshot: Snapshot) {
    let store = MemoryStore()
    let repository = try await openRepository(in: store)
    let manifest = try sampleManifest()
    let snapshot = sampleSnapshot(of: manifest, at: try await repository.write(manifest))
    try await repository.write(snapshot)
    return (store, repository, snapshot)
  }

  @Test("a marker comes back whole: metrics of any name, tags, notes, great steps")
  func roundTrip() async throws {
    let (_, repository, sample) = try await committed()
    var manifest = try sampleManifest()
    manifest.run = "größe/🦙 %41"
    manifest.step = 12_345_678_901_234
    var snapshot = sampleSnapshot(of: manifest, at: try await repository.write(manifest))
    snapshot.metrics = ["evalLoss": 0.1, "eval_loss": -1e-300, "EVAL/top-1 ": 5e300, "": 3, "größe": 0]
    snapshot.tags = ["a", "b"]
    snapshot.note = "two\nlines, \"quoted\" and \u{1f999}"
    snapshot.milestone = true
    snapshot.complete = false
    snapshot.kind = .directory
    try await repository.write(snapshot)
    #expect(try await repository.snapshots(of: manifest.run).snapshots == [snapshot])
    #expect(try await repository.snapshots().snapshots == [sample, snapshot], "ordered by run")
    #expect(try await repository.snapshots().unreadable.isEmpty)
    #expect(try await repository.manifest(of: snapshot) == manifest)
  }

  @Test("runs whose names begin alike are kept apart, and snapshots come by run, step and time")
  func order() async throws {
    let repository = try await openRepository(in: MemoryStore())
    for (run, step) in [("b", 2), ("a", 10), ("ab", 1), ("a", 9), ("a b", 3)] {
      var manifest = try sampleManifest()
      (manifest.run, manifest.step) = (run, step)
      try await repository.write(sampleSnapshot(of: manifest, at: try await repository.write(manifest)))
    }
    #expect(try await repository.snapshots(of: "a").snapshots.map(\.step) == [9, 10])
    #expect(
      try await repository.snapshots().snapshots.map(\.address) == ["a@9", "a@10", "a b@3", "ab@1", "b@2"])
  }

  @Test(
    "a marker that no push can have written is unreadable, whatever is wrong with it",
    arguments: [
      (#""format" : 1"#, #""format" : 0"#), (#""format" : 1"#, #""format" : 2"#),
      (#""files" : 3"#, #""files" : -1"#),
      (#""bytes" : 350"#, #""bytes" : -350"#), (#""bytes" : 350"#, #""bytes" : 9223372036854775807"#),
      (#""bytes" : 350"#, #""bytes" : 92233720368547758070"#), (#""bytes" : 350"#, #""bytes" : "350""#),
      (#""manifests/"#, #""packs/"#), (#""manifests/"#, #""manifests/../"#),
      (#""manifests/"#, #""/manifests/"#),
      (#""sha256" : ""#, #""sha256" : "00"#), (#""step" : 12"#, #""step" : 13"#),
      (#""run" : "demo run""#, #""run" : "demo""#), (#""kind" : "directory""#, #""kind" : "socket""#),
      (#""time" : "2023"#, #""time" : "x023"#), (#""loss" : 0.5"#, #""loss" : "0.5""#), (#"{"#, #"["#),
      (#""loss" : 0.5"#, #""loss" : 1e999"#),
    ])
  func hostile(_ old: String, _ new: String) async throws {
    let (store, repository, snapshot) = try await committed()
    var text = String(decoding: try await store.get(snapshot.key, limit: 1 << 20), as: UTF8.self)
    try #require(text.contains(old), "the edit would change nothing: \(old) in \(text)")
    text = text.replacing(old, with: new)
    try await store.put(snapshot.key, Payload(Array(text.utf8)))
    let listing = try await repository.snapshots()
    #expect(listing.snapshots.isEmpty && listing.unreadable.count == 1, "\(listing)")
  }

  @Test("cut and flipped markers do no more than not be read; the seed is printed")
  func garbage() async throws {
    let (store, repository, snapshot) = try await committed()
    let whole = try await store.get(snapshot.key, limit: 1 << 20)
    var generator = Seeded()
    for _ in 0..<100 {
      var bytes = whole
      for _ in 0...Int.random(in: 0..<3, using: &generator) {
        let index = Int.random(in: 0..<bytes.count, using: &generator)
        bytes[index] = UInt8.random(in: 0...255, using: &generator)
      }
      if Bool.random(using: &generator) {
        bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
      }
      try await store.put(snapshot.key, Payload(bytes))
      let listing = try await repository.snapshots()
      #expect(listing.snapshots.count + listing.unreadable.count == 1)
      for snapshot in listing.snapshots { #expect(snapshot.key == listing.snapshots.first?.key) }
    }
  }

  @Test("a marker that is far too large, or names another's manifest, spares the other snapshots")
  func strange() async throws {
    let (store, repository, snapshot) = try await committed()
    let large = ObjectKey.marker(run: "large", step: 1, id: snapshot.id)
    try await store.put(large, Payload([UInt8](repeating: 0x20, count: 2 << 20)))
    var thief = snapshot
    thief.run = "thief"
    try await repository.write(thief)
    let listing = try await repository.snapshots()
    #expect(listing.snapshots == [snapshot])
    #expect(listing.unreadable.count == 2)
  }

  @Test("a damaged copy of a marker is never believed, whichever byte is wrong")
  func cache() async throws {
    let (scratch, store) = (try Scratch(), MemoryStore())
    let repository = try await openRepository(in: store, cacheRoot: scratch.path)
    let manifest = try sampleManifest()
    let snapshot = sampleSnapshot(of: manifest, at: try await repository.write(manifest))
    try await repository.write(snapshot)
    #expect(try await repository.snapshots().snapshots == [snapshot])
    let folder = "\(scratch.path)/\(repository.info.id)"
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
      let place = URL(filePath: "\(folder)/\(name)")
      let whole = Array(try Data(contentsOf: place))
      for index in stride(from: 0, to: whole.count, by: 37) {
        var bytes = whole
        bytes[index] ^= 4
        if index % 2 == 1 { bytes.removeLast(index) }
        try Data(bytes).write(to: place)
        #expect(try await repository.snapshots().snapshots == [snapshot])
        #expect(try await repository.manifest(of: snapshot) == manifest)
      }
    }
    var changed = snapshot
    changed.tags = ["new"]
    try await repository.write(changed)
    #expect(try await repository.snapshots().snapshots == [changed], "a copy is held to what the store lists")
  }
}
