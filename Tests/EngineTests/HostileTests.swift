import Digests
import Glibc
import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Hostile repositories") struct HostileTests {
  private static let attributes = Manifest.Attributes(
    permissions: 0o644, modified: Timestamp(seconds: 1_600_000_000))

  /// A snapshot of one pack that holds `chunks` one after the other, as a malicious writer commits it. `alias` stands for a path that no
  /// writer of ours takes.
  private func commit(
    _ world: World, chunks: [[UInt8]], step: Int = 1, alias: (written: String, meant: String)? = nil,
    manifest build: ([Manifest.ChunkReference]) throws -> (
      files: [Manifest.FileEntry], links: [Manifest.LinkEntry]
    )
  ) async throws -> Snapshot {
    let repository = try await world.repository()
    let writer = PackWriter(
      store: world.memory, pool: world.resources.processors, buffers: world.resources.buffers,
      fileClass: .weights, sizes: World.sizes,
      random: Surroundings.system.random)
    var references: [Manifest.ChunkReference] = []
    for chunk in chunks {
      let id = try #require(ChunkID(SHA256.hash(chunk)))
      let place = writer.append(id, Buffer(copying: chunk).slice(0..<chunk.count))
      references.append(.init(id: id, pack: 0, offset: place.offset, length: chunk.count))
    }
    let packs = try await writer.finish()
    let parts = try build(references)
    var manifest = Manifest(
      id: "", run: "demo", step: step, time: Timestamp(seconds: 1_700_000_000), kind: .directory,
      root: Self.attributes, packs: packs, files: parts.files, links: parts.links, directories: [])
    manifest.id = hex(SHA256.hash(manifest.sha256Sums).prefix(8))
    var reference: Snapshot.ManifestReference?
    if let alias {
      let sums = String(decoding: manifest.sha256Sums, as: UTF8.self)
      manifest.id = hex(SHA256.hash(Array(sums.replacing(alias.written, with: alias.meant).utf8)).prefix(8))
      let json = try Gzip.expand(manifest.encode(), limit: 1 << 20, object: "m")
      let object = try Gzip.compress(
        Array(String(decoding: json, as: UTF8.self).replacing(alias.written, with: alias.meant).utf8))
      let digest = SHA256.hash(object)
      let key = ObjectKey.manifest(run: "demo", step: step, id: manifest.id, digest: digest)
      try await world.memory.put(key, Payload(object))
      reference = .init(key: key, sha256: hex(digest), size: object.count)
    } else {
      reference = try await repository.write(manifest)
    }
    let snapshot = Snapshot(
      id: manifest.id, run: "demo", step: step, time: manifest.time, kind: .directory, layout: "plain",
      complete: true, files: parts.files.count, bytes: manifest.bytes, addedBytes: 0, metrics: [:], tags: [],
      milestone: false, note: nil, manifest: try #require(reference))
    try await repository.write(snapshot)
    return snapshot
  }

  private func file(
    _ path: String, _ content: [UInt8], _ chunks: [Manifest.ChunkReference], holes: [Range<Int>] = []
  ) throws -> Manifest.FileEntry {
    .init(
      path: try RelativePath(path), size: chunks.reduce(0) { $0 + $1.length }, attributes: Self.attributes,
      sha256: SHA256.hash(content), md5: MD5.hash(content), fileClass: .weights, holes: holes, chunks: chunks)
  }

  @Test("a manifest that would write through a link of its own is refused, and nothing is written")
  func throughLink() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    mkdir("\(scratch.path)/outside", 0o700)
    let alias = (written: "door+file", meant: "door/file")
    let snapshot = try await commit(world, chunks: [[1, 2, 3]], alias: alias) { chunks in
      let target = Array("\(scratch.path)/outside".utf8)
      return (
        [try file("door+file", [1, 2, 3], chunks)],
        [.init(path: try RelativePath("door"), target: target, modified: Timestamp(seconds: 0))]
      )
    }
    let error = await #expect(throws: FormatError.self) {
      try await world.restore(snapshot, to: "\(scratch.path)/out")
    }
    #expect("\(try #require(error))".contains("lies below door"))
    #expect(try Picture(scratch.path).entries.map(\.path.display) == ["outside"])
  }

  @Test("a link in place of the directory where a restore builds is not followed")
  func plantedDirectory() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let snapshot = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    mkdir("\(scratch.path)/outside", 0o700)
    symlink("\(scratch.path)/outside", "\(scratch.path)/.out.ckbackup-\(snapshot.id)")
    await #expect(throws: SystemError.self) { try await world.restore(snapshot, to: "\(scratch.path)/out") }
    #expect(try OpenDirectory("\(scratch.path)/outside").names().isEmpty)
  }

  @Test("a link that stands in the directory where a restore builds is not followed")
  func plantedLink() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let snapshot = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    try scratch.write("outside/a", [9])
    let partial = "\(scratch.path)/.out.ckbackup-\(snapshot.id)"
    mkdir(partial, 0o700)
    symlink("\(scratch.path)/outside", "\(partial)/small")
    symlink("\(scratch.path)/outside/a", "\(partial)/weights.raw")
    let before = try Picture("\(scratch.path)/outside")
    #expect(Restore.remains(of: snapshot, at: "\(scratch.path)/out") == partial)
    try await world.restore(snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/outside") == before)
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
  }

  @Test("a manifest that gives one chunk two lengths is refused: part of a file would stay empty")
  func twoLengths() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    let content = noise(1000, seed: 12)
    let snapshot = try await commit(world, chunks: [content]) { chunks in
      var shorter = chunks[0]
      shorter.length = 500
      return ([try file("a", content, [shorter]), try file("b", content, chunks)], [])
    }
    await #expect(throws: FormatError.self) { try await world.restore(snapshot, to: "\(scratch.path)/out") }
    #expect(access("\(scratch.path)/out", F_OK) != 0)
  }

  @Test(
    "a deep verify holds every manifest to its own chunks, where another names others at the same place too")
  func samePlace() async throws {
    let world = try await World()
    let content = noise(1000, seed: 13)
    var packs: [Manifest.PackReference] = []
    let good = try await commit(world, chunks: [content], step: 1) { chunks in
      ([try file("good", content, chunks)], [])
    }
    let repository = try await world.repository()
    var manifest = try await repository.manifest(of: good)
    packs = manifest.packs
    let wrong = try #require(ChunkID(SHA256.hash([1])))
    for step in [0, 2] {
      manifest.step = step
      manifest.packs = packs
      manifest.files[0].chunks[0].id = wrong
      var snapshot = good
      snapshot.step = step
      snapshot.manifest = try await repository.write(manifest)
      try await repository.write(snapshot)
    }
    let damages = try await world.verify(.deep).damages.filter { $0.object.hasPrefix("packs/") }
    #expect(damages.map(\.object) == packs.map(\.key))
    #expect(damages.first?.snapshots.map { $0.prefix(6) } == ["demo@0", "demo@2"])
  }

  @Test("bytes in a hole that are no zeros are written all the same")
  func falseHole() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    let content = noise(5000, seed: 14)
    let snapshot = try await commit(world, chunks: [content]) { chunks in
      ([try file("full", content, chunks, holes: [0..<4096])], [])
    }
    try await world.restore(snapshot, to: "\(scratch.path)/out")
    let restored = try OpenFile("\(scratch.path)/out/full")
    #expect(try restored.bytes(at: 0, count: restored.size) == content)
  }
}
