import Digests
import Engine
import Platform
import Repository
import TestSupport

/// The readers of a repository's objects.
func repositoryDecoders(_ scratch: String) throws -> [Decoder] {
  let manifest = try Gzip.expand(try exampleManifest().encode(), limit: 1 << 20, object: "example")
  let marker = Array(Examples.marker.utf8)
  let bombs = (0..<Bombs.count).map { number in { try Bombs.read(number, scratch) } }
  return [
    Decoder(
      name: "manifest", share: 60, seeds: [manifest], isText: true, wrap: zip, bombs: bombs,
      read: { bytes in
        let manifest = try Manifest.decode(bytes, object: "manifest")
        var index = ChunkIndex()
        index.add(manifest, usable: { $0 })
        _ = (manifest.bytes, manifest.md5Sums)
        var again = try Manifest.decode(try manifest.encode(), object: "again")
        // Moments are written to the second.
        again.time = manifest.time
        guard again == manifest else {
          throw Broken(rule: "a manifest that is written again is the same")
        }
      }),
    Decoder(
      name: "pack table", share: 60, seeds: [Array(Examples.table.utf8)], isText: true, wrap: pack,
      bombs: bombs.map { bomb in { trailer(try bomb()) } },
      read: { bytes in
        let size = bytes.count + 4096
        guard
          let length = PackTable.size(trailer: Array(bytes.suffix(PackTable.trailerSize)), packSize: size),
          length <= bytes.count
        else { return }
        let table = try PackTable.decode(tail: Array(bytes.suffix(length)), packSize: size, object: "pack")
        guard table.entries.allSatisfy({ $0.offset + $0.length <= 8192 + bytes.count }) else {
          throw Broken(rule: "chunks lie in their pack")
        }
      }),
    Decoder(
      name: "marker", share: 60, seeds: [marker], isText: true, bombs: [{ deepJSON }],
      read: { _ = try Snapshot.decode($0, key: Examples.markerKey) }),
    Decoder(
      name: "ledger", share: 40, seeds: [Array(Examples.ledger.utf8)], isText: true, bombs: [{ deepJSON }],
      read: { bytes in
        var ledger = try Ledger.decode(bytes, object: "ledger")
        ledger.merge(Ledger())
        _ = (ledger.damaged, ledger.coveredSince(Array(ledger.proofs.keys)))
      }),
    Decoder(
      name: "deletions", share: 40, seeds: [Array(Examples.deletions.utf8)], isText: true,
      bombs: [{ deepJSON }],
      read: { _ = try DeletionRecord.decode($0, key: "deletions/x.json", written: Timestamp(seconds: 0)) }),
    Decoder(
      name: "description", share: 40, seeds: [Array(Examples.description.utf8)], isText: true,
      bombs: [{ deepJSON }],
      read: { _ = try RepositoryInfo.decode($0) }),
    Decoder(
      name: "record", share: 20, seeds: [Array(Examples.record.utf8)], isText: true, bombs: [{ deepJSON }],
      read: { _ = try RecordDocument.decode($0) }),
    Decoder(
      name: "path", share: 200,
      seeds: ["a", "global_step4/mp_rank_00/x.pt", "ä/ö", "a/../b"].map { Array($0.utf8) },
      isText: false,
      read: { bytes in
        let path = try RelativePath(bytes)
        _ = (path.display, path.name, path.parent, path.text)
        guard path.components.allSatisfy({ !$0.isEmpty && !$0.elementsEqual("..".utf8) }) else {
          throw Broken(rule: "a path stays below its root")
        }
      }),
    Decoder(
      name: "key", share: 100, seeds: [Array(Examples.markerKey.utf8), Array("snapshots/%C3%A4/1".utf8)],
      isText: false,
      read: { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        _ = ObjectKey.decode(text)
        _ = Timestamp(parsing: text)
        guard let parts = ObjectKey.parse(marker: text) else { return }
        guard ObjectKey.marker(run: parts.run, step: parts.step, id: parts.id) == text else {
          throw Broken(rule: "a marker's key has one spelling")
        }
      }),
  ]
}

/// Most changes are made to the JSON, so that they reach the reader; some to the gzip stream.
private func zip(_ json: [UInt8], _ mutator: inout Mutator) throws -> [UInt8] {
  let object = try Gzip.compress(json)
  return mutator.oneIn(8) ? mutator.mutate([object], isText: false) : object
}

private func pack(_ json: [UInt8], _ mutator: inout Mutator) throws -> [UInt8] {
  let whole = trailer(try zip(json, &mutator))
  return mutator.oneIn(8) ? mutator.mutate([whole], isText: false) : whole
}

private func trailer(_ table: [UInt8]) -> [UInt8] {
  table + (0..<8).map { UInt8(truncatingIfNeeded: table.count >> (8 * $0)) } + SHA256.hash(table)
    + Array("CKPACK01".utf8)
}

private let deepJSON = Array((String(repeating: "[", count: 200_000)).utf8)

private func exampleManifest() throws -> Manifest {
  let attributes = Manifest.Attributes(permissions: 0o640, modified: Timestamp(seconds: 1_600_000_000))
  func file(_ path: [UInt8], _ chunks: [(pack: Int, offset: Int, length: Int)], holes: [Range<Int>] = [])
    throws
    -> Manifest.FileEntry
  {
    let references = try chunks.map { chunk in
      guard let id = ChunkID(noise(32, seed: UInt64(chunk.offset))) else {
        throw Broken(rule: "a digest has 32 bytes")
      }
      return Manifest.ChunkReference(id: id, pack: chunk.pack, offset: chunk.offset, length: chunk.length)
    }
    return .init(
      path: try RelativePath(path), size: chunks.reduce(0) { $0 + $1.length }, attributes: attributes,
      sha256: noise(32, seed: 1), md5: noise(16, seed: 1), fileClass: .weights, holes: holes,
      chunks: references)
  }
  var manifest = Manifest(
    id: "", run: "demo", step: 4, time: Timestamp(seconds: 1_700_000_000), kind: .directory, root: attributes,
    packs: [
      .init(key: "packs/weights/ab/ab12", size: 1 << 20, etag: "e", fileClass: .weights),
      .init(key: "packs/training/cd/cd34", size: 4096, etag: nil, fileClass: .training),
    ],
    files: [
      try file(
        Array("a/b/model".utf8), [(0, 0, 65536), (0, 65536, 65536), (1, 7, 100)], holes: [4096..<8192]),
      try file(Array("a/x\\y".utf8) + [0xff], [(1, 200, 300)]), try file(Array("empty".utf8), []),
    ],
    links: [.init(path: try RelativePath("l"), target: [0xfe], modified: Timestamp(seconds: 1))],
    directories: [.init(path: try RelativePath("a"), attributes: attributes)])
  manifest.id = hex(SHA256.hash(manifest.sha256Sums).prefix(8))
  return manifest
}
