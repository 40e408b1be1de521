import Digests
import FoundationEssentials
import Glibc
import ObjectStore
import Platform
import Testing

@testable import Repository

/// A directory of its own for one test, removed with it.
final class Scratch: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/ckbackup-repository-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp", "/tmp") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Repeatable random numbers (SplitMix64, Steele, Lea and Flood 2014).
struct Seeded: RandomNumberGenerator {
  var state: UInt64

  /// Numbers from a fresh seed, which is printed so that a failure can be repeated.
  init(_ test: String = #function) {
    state = UInt64.random(in: 0...UInt64.max)
    print("\(test): seed \(state)")
  }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}

/// A fresh repository in a store, opened.
func openRepository(in store: any ObjectStore, cacheRoot: String? = nil) async throws -> Repository {
  _ = try await Repository.create(in: store, chunkSize: 1 << 16, surroundings: .system)
  return try await Repository.open(in: store, cacheRoot: cacheRoot, surroundings: .system)
}

/// The marker of a manifest.
func sampleSnapshot(of manifest: Manifest, at reference: Snapshot.ManifestReference) -> Snapshot {
  Snapshot(
    id: manifest.id, run: manifest.run, step: manifest.step, time: manifest.time, kind: manifest.kind,
    layout: "plain", complete: true, files: manifest.files.count, bytes: manifest.bytes, addedBytes: 350,
    metrics: ["loss": 0.5], tags: ["t"], milestone: false, note: nil, manifest: reference)
}

/// Chunks of so many bytes each, all different.
func sampleChunks(_ count: Int, of size: Int) throws -> [(id: ChunkID, bytes: Slice)] {
  try (0..<count).map { index in
    let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 * 7 + index) }
    return (try #require(ChunkID(SHA256.hash(bytes))), Buffer(copying: bytes).slice(0..<size))
  }
}
