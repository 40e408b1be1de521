import Digests
import ObjectStore
import Platform
import TestSupport
import Testing

@testable import Repository

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
