import Digests
import FoundationEssentials
import Glibc
import Platform
import TestSupport
import Testing

@testable import Repository

/// A manifest with everything that one can hold.
func sampleManifest() throws -> Manifest {
  let attributes = Manifest.Attributes(
    permissions: 0o4755, modified: Timestamp(nanoseconds: 1_600_000_000_123_456_789))
  let pack = Manifest.PackReference(
    key: "packs/weights/ab/abcdef", size: 1000, etag: "e-1", fileClass: .weights)
  let other = Manifest.PackReference(
    key: "packs/training/cd/cdef", size: 500, etag: nil, fileClass: .training)
  func chunk(_ seed: UInt8, _ pack: Int, _ offset: Int, _ length: Int) throws -> Manifest.ChunkReference {
    .init(id: try #require(ChunkID(SHA256.hash([seed]))), pack: pack, offset: offset, length: length)
  }
  func file(_ path: [UInt8], _ size: Int, _ chunks: [Manifest.ChunkReference], holes: [Range<Int>] = [])
    throws
    -> Manifest.FileEntry
  {
    .init(
      path: try RelativePath(path), size: size, attributes: attributes, sha256: SHA256.hash(path),
      md5: MD5.hash(path), fileClass: chunks.first?.pack == 1 ? .training : .weights, holes: holes,
      chunks: chunks)
  }
  var manifest = Manifest(
    id: "", run: "demo run", step: 12, time: Timestamp(seconds: 1_700_000_000), kind: .directory,
    root: attributes,
    packs: [pack, other],
    files: [
      try file(Array("a/empty".utf8), 0, []),
      try file(
        Array("b\nnewline".utf8), 300, [try chunk(1, 0, 0, 200), try chunk(2, 0, 200, 100)],
        holes: [0..<100, 150..<300]),
      try file([0xff, 0xfe], 50, [try chunk(3, 1, 0, 50)]),
    ],
    links: [.init(path: try RelativePath("link"), target: [0xff, 0x0a], modified: attributes.modified)],
    directories: [.init(path: try RelativePath("a"), attributes: attributes)])
  manifest.id = hex(SHA256.hash(manifest.sha256Sums).prefix(8))
  return manifest
}

@Suite("Manifests") struct ManifestTests {
  /// The sample's JSON after an edit, as an object's bytes.
  private func edited(_ old: String, _ new: String) throws -> [UInt8] {
    let object = try sampleManifest().encode()
    let json = try Gzip.expand(object, limit: 1 << 20, object: "m")
    let text = String(decoding: json, as: UTF8.self)
    try #require(text.contains(old), "the edit would change nothing: \(old) in \(text)")
    return try Gzip.compress(Array(text.replacing(old, with: new).utf8))
  }

  @Test("what is written is read again, names that are not UTF-8 included")
  func roundTrip() throws {
    let manifest = try sampleManifest()
    #expect(try Manifest.decode(manifest.encode(), object: "m") == manifest)
  }

  @Test("names of commas, quotes and backslashes are no values, however many there are")
  func commas() throws {
    var manifest = try sampleManifest()
    manifest.links = try (0..<1000).map { number in
      let name = #"\",""# + String(repeating: ",", count: 400) + "\(number)"
      return .init(
        path: try RelativePath(name), target: [0x2c], modified: Timestamp(seconds: Int64(number)))
    }
    manifest.id = hex(SHA256.hash(manifest.sha256Sums).prefix(8))
    let object = try manifest.encode()
    let json = try Gzip.expand(object, limit: 1 << 20, object: "m")
    #expect(json.count { $0 == UInt8(ascii: ",") } > 100_000 + json.count / 8)
    #expect(try Manifest.decode(object, object: "m") == manifest)
  }

  @Test(
    "what no push can have written is refused",
    arguments: [
      (#""path":"a/empty""#, #""path":"../empty""#), (#""path":"a/empty""#, #""path":"/empty""#),
      (#""path":"a/empty""#, #""path":"a//empty""#), (#""path":"a/empty""#, #""path":"link/empty""#),
      (#""path":"link""#, #""path":"a/empty""#), (#""path":"link""#, #""path":"a""#),
      (#""path":"a/empty""#, #""path":"b\nnewline/x""#),
      (#""length":[200,100]"#, #""length":[200,101]"#), (#""length":[200,100]"#, #""length":[-1,301]"#),
      (#""length":[200,100]"#, #""length":[9223372036854775807,9223372036854775807]"#),
      (#""length":[200,100]"#, #""length":[200]"#), (#""offset":[0,200]"#, #""offset":[0,950]"#),
      (#""offset":[0,200]"#, #""offset":[0,-200]"#),
      (#""offset":[0,200]"#, #""offset":[0,9223372036854775807]"#),
      (#""pack":[0,0]"#, #""pack":[0,2]"#), (#""pack":[0,0]"#, #""pack":[0,-1]"#),
      (#""size":300"#, #""size":301"#), (#""size":300"#, #""size":-300"#), (#""size":1000"#, #""size":0"#),
      (#""holes":[[0,100],[150,150]]"#, #""holes":[[150,150],[0,100]]"#),
      (#""holes":[[0,100],[150,150]]"#, #""holes":[[0,100],[50,150]]"#),
      (#""holes":[[0,100],[150,150]]"#, #""holes":[[0,100],[150,151]]"#),
      (#""holes":[[0,100],[150,150]]"#, #""holes":[[0,100],[150]]"#),
      (#""mode":"4755""#, #""mode":"14755""#), (#""mode":"4755""#, #""mode":"9""#),
      (#""key":"packs/weights/ab/abcdef""#, #""key":"../ckbackup.json""#),
      (#""key":"packs/weights/ab/abcdef""#, #""key":"packs/../ckbackup.json""#),
      (#""key":"packs/weights/ab/abcdef""#, #""key":"manifests/x""#),
      (#""size":1000"#, #""size":9223372036854775807"#), (#""size":1000"#, #""size":9223372036854775808"#),
      (#""size":300"#, #""size":300.5"#), (#""size":300"#, #""size":1e30"#),
      (#""path":"a/empty""#, #""path":"a/empty\u0000""#), (#""path":"a/empty""#, #""path":"a/./empty""#),
      (#""path":"a/empty""#, #""path":"""#), (#""path":"a/empty""#, #""path":null"#),
      (#""path":"a/empty""#, #""path":"a/empty","path_base64":"YQ==""#),
      (#""path":"a/empty""#, #""path_base64":"Li4vYQ==""#),
      (#""path":"a/empty""#, #""path_base64":"no base 64""#),
      (#""path":"link""#, #""path":"link/../../x""#), (#""path":"a"}"#, #""path":"link"}"#),
      (#""directories":[{"#, #""directories":[{"mode":"755","mtime":0,"path":"a"},{"#),
      (#""path":"a"}"#, #""path":"b\nnewline"}"#), (#""target_base64":"/wo=""#, #""target":"""#),
      (#""target_base64":"/wo=""#, #""target":"a\u0000b""#),
      (#""offset":[0,200]"#, #""offset":[0,801,900]"#), (#""length":[200,100]"#, #""length":[0,300]"#),
      (#""length":[200,100]"#, #""length":[300,0]"#),
      (#""holes":[[0,100],[150,150]]"#, #""holes":[[-1,100]]"#),
      (#""holes":[[0,100],[150,150]]"#, #""holes":[[9223372036854775807,1]]"#),
      (#""holes":[[0,100],[150,150]]"#, #""holes":[[1,9223372036854775807]]"#),
      (#""class":"training","#, #""class":"other","#), (#""time":"2023"#, #""time":"x023"#),
      (#""run":"demo run""#, #""run":"""#), (#""step":12"#, #""step":-1"#),
      (#""kind":"directory""#, #""kind":"file""#),
      (#""kind":"directory""#, #""kind":"device""#), (#""format":1"#, #""format":0"#),
    ])
  func hostile(_ old: String, _ new: String) throws {
    let object = try edited(old, new)
    #expect(throws: FormatError.self) { try Manifest.decode(object, object: "m") }
  }

  @Test("keys that a later program adds are passed over")
  func unknownKeys() throws {
    let object = try edited(#""step":12"#, #""step":12,"later":{"a":[1]}"#)
    #expect(try Manifest.decode(object, object: "m") == sampleManifest())
  }

  @Test("an id that is not that of the content is refused")
  func identity() throws {
    var manifest = try sampleManifest()
    manifest.id = "0123456789abcdef"
    let object = try manifest.encode()
    #expect(throws: FormatError.self) { try Manifest.decode(object, object: "m") }
  }

  @Test("a newer format, and an encoding that this one lacks, ask for a newer program")
  func newer() throws {
    for (old, new) in [
      (#""format":1"#, #""format":2"#), (#""chunks":{"id""#, #""chunks":{"encoding":["zstd"],"id""#),
    ] {
      let object = try edited(old, new)
      let error = #expect(throws: FormatError.self) { try Manifest.decode(object, object: "m") }
      guard case .newerFormat? = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
    }
  }

  @Test("cut, flipped and random bytes never do more than fail; the seed is printed")
  func garbage() throws {
    var generator = Seeded()
    func next(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }
    let json = Array(try Gzip.expand(try sampleManifest().encode(), limit: 1 << 20, object: "m"))
    for _ in 0..<300 {
      var bytes = json
      for _ in 0...next(3) { bytes[next(bytes.count)] = UInt8(next(256)) }
      if next(4) == 0 { bytes.removeLast(next(bytes.count)) }
      let object = try Gzip.compress(bytes)
      if let manifest = try? Manifest.decode(object, object: "m") {
        #expect(manifest.files.allSatisfy { !$0.path.bytes.isEmpty })
      }
    }
  }

  @Test("a gzip bomb is refused before it fills the memory")
  func bomb() throws {
    let bomb = try Gzip.compress([UInt8](repeating: 0x20, count: 8 << 20))
    #expect(bomb.count < 20_000)
    #expect(throws: FormatError.self) { try Gzip.expand(bomb, limit: 1 << 20, object: "m") }
    #expect(throws: FormatError.self) {
      try Gzip.expand(Array(bomb.dropLast(9)), limit: 16 << 20, object: "m")
    }
    #expect(throws: FormatError.self) { try Gzip.expand([1, 2, 3], limit: 1 << 20, object: "m") }
  }

  @Test("a manifest or pack table that is a gzip bomb is refused by name, whether it is JSON or not")
  func bombs() throws {
    let blanks = [UInt8](repeating: 0x20, count: 40 << 20)
    let numbers = Array((#"{"offset":[0"# + String(repeating: ",0", count: 3 << 20) + "]}").utf8)
    for bomb in [try Gzip.compress(blanks), try Gzip.compress(numbers)] {
      #expect(bomb.count < 50_000)
      let error = #expect(throws: FormatError.self) {
        try Manifest.decode(bomb, object: "manifests/demo/x")
      }
      let text = "\(try #require(error))"
      #expect(text.contains("manifests/demo/x"))
      #expect(text.contains("expands to more") || text.contains("too many values"))
      let table = bomb + (0..<8).map { UInt8(truncatingIfNeeded: bomb.count >> (8 * $0)) }
      let tail = table + SHA256.hash(bomb) + PackTable.magic
      #expect(throws: FormatError.self) {
        try PackTable.decode(tail: tail, packSize: tail.count + 1, object: "packs/x")
      }
    }
  }

  @Test("a path that is refused is named in the error")
  func names() throws {
    for path in ["../escaped", "/etc/passwd", "a/./b"] {
      let object = try edited(#""path":"a/empty""#, "\"path\":\"\(path)\"")
      #expect(
        throws: FormatError.invalid(object: "m", detail: "the path \(path.debugDescription) is not allowed")
      ) {
        try Manifest.decode(object, object: "m")
      }
    }
  }
}

@Suite("Digest lists") struct SumsFileTests {
  @Test("coreutils accepts every name, and our lines are its own")
  func coreutils() throws {
    let scratch = try Scratch()
    var digests: [(RelativePath, [UInt8])] = []
    let root = try OpenDirectory(scratch.path)
    for name in ["plain", "new\nline", "carriage\rreturn", "back\\slash", "\\n", " blank ", "*star", "größe"]
    {
      let bytes = Array(name.utf8)
      try root.openForWriting(RelativePath(name), flags: O_CREAT).write(bytes, at: 0)
      digests.append((try RelativePath(name), SHA256.hash(bytes)))
    }
    let sums = SumsFile.lines(digests)
    try root.openForWriting(RelativePath("sums.txt"), flags: O_CREAT).write(sums, at: 0)
    #expect(system("cd \(scratch.path) && sha256sum --check --strict --quiet sums.txt") == 0)
    #expect(
      system(
        "cd \(scratch.path) && LC_ALL=C sha256sum -- [!s]* > own.txt; sort own.txt > a; grep -v sums.txt sums.txt | sort > b; grep -c . a >/dev/null && ! diff a b | grep -q '^<'"
      ) == 0)
  }
}
