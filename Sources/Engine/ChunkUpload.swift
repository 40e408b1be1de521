import Digests
import ObjectStore
import Platform
import Repository

/// Finds the chunks that the repository lacks among those that are read, and sends these.
///
/// One direction, every stage bounded by the buffer pool: read, hash, known? skip, else pack and send.
struct ChunkUpload {
  /// A file with its digests and the places of its chunks; `pack` counts in the index's packs.
  struct Stored {
    var sha256: [UInt8] = []
    var md5: [UInt8] = []
    var chunks: [Manifest.ChunkReference] = []

    /// A file without a byte.
    static let empty = Stored(sha256: SHA256.hash([UInt8]()), md5: MD5.hash([UInt8]()))
  }

  /// The packs of one class that are being written.
  private struct Writing {
    let fileClass: FileClass
    let writer: PackWriter
    /// The packs' places in the index, by key.
    var packs: [String: Int] = [:]
  }

  let store: any ObjectStore
  let random: @Sendable (Int) -> [UInt8]
  let resources: Resources
  let progress: Progress
  let sizes: PackWriter.Sizes

  /// Sends what is missing of `files`, which `reading` reads, and gives what became of each, with the bytes that were added; the index
  /// learns the new chunks. On an error or a cancelled task the unfinished upload is removed; what is complete stays for the next push.
  func run(
    _ files: [SourceFile], _ reading: some ChunkReading, index: inout ChunkIndex
  ) async throws -> (stored: [Stored], addedBytes: Int) {
    var stored = files.map { $0.cuts.isEmpty ? Stored.empty : Stored() }
    var added = 0
    var writing: Writing?
    do {
      while let batch = try await reading.next() {
        // One class after the other: at most one pack is unfinished at any time.
        if let former = writing, former.fileClass != batch.fileClass {
          try await finish(former, &index)
          writing = nil
        }
        var current = writing ?? begin(batch.fileClass)
        for chunk in batch.chunks {
          if index[chunk.id] == nil {
            append(chunk.id, chunk.bytes, to: &current, &index)
            added += chunk.bytes.count
            progress.add(transferred: chunk.bytes.count)
          }
          guard let location = index[chunk.id] else { continue }
          stored[chunk.file].chunks.append(
            .init(id: chunk.id, pack: location.pack, offset: location.offset, length: location.length))
          progress.add(done: chunk.bytes.count)
        }
        for (file, digests) in batch.finished {
          stored[file].sha256 = digests.sha256
          stored[file].md5 = digests.md5
        }
        writing = current
        try await current.writer.sendFullParts()
      }
      if let writing { try await finish(writing, &index) }
    } catch {
      // A server that does not answer takes minutes to be given up once more.
      await reading.end()
      await writing?.writer.abandon()
      throw error
    }
    return (stored, added)
  }

  private func begin(_ fileClass: FileClass) -> Writing {
    Writing(
      fileClass: fileClass,
      writer: PackWriter(
        store: store, pool: resources.processors, buffers: resources.buffers, fileClass: fileClass,
        sizes: sizes, random: random))
  }

  private func append(
    _ id: ChunkID, _ bytes: Slice, to writing: inout Writing, _ index: inout ChunkIndex
  ) {
    let place = writing.writer.append(id, bytes)
    // Size and ETag follow when the pack is closed.
    let pack =
      writing.packs[place.pack]
      ?? index.add(pack: .init(key: place.pack, size: 0, etag: nil, fileClass: writing.fileClass))
    writing.packs[place.pack] = pack
    index.add(id, pack: pack, offset: place.offset, length: bytes.count)
  }

  private func finish(_ writing: Writing, _ index: inout ChunkIndex) async throws {
    for reference in try await writing.writer.finish() {
      if let pack = writing.packs[reference.key] { index.update(pack: pack, reference) }
    }
  }
}
