import Digests
import ObjectStore
import Platform
import Repository

/// Reads files, finds the chunks that the repository lacks, and sends those.
///
/// One direction, every stage bounded by the buffer pool: read, hash, known? skip, else pack and send.
struct ChunkUpload {
  /// A file with its digests and the places of its chunks; `pack` counts in the index's packs.
  struct Stored {
    var sha256: [UInt8] = []
    var md5: [UInt8] = []
    var chunks: [Manifest.ChunkReference] = []
  }

  let store: any ObjectStore
  let random: @Sendable (Int) -> [UInt8]
  let resources: Resources
  let progress: Progress
  let sizes: PackWriter.Sizes

  /// Sends what is missing of `files` and gives what became of each, with the bytes that were added; the index learns the new
  /// chunks. On an error or a cancelled task the unfinished upload is removed; what is complete stays for the next push.
  func run(
    _ files: [SourceFile], below root: OpenDirectory, index: inout ChunkIndex
  ) async throws -> (stored: [Stored], addedBytes: Int) {
    var stored = [Stored](repeating: Stored(), count: files.count)
    var added = 0
    // One class after the other: a pack holds one class, and at most one pack is unfinished at any time.
    for fileClass in FileClass.allCases {
      let indices = files.indices.filter { files[$0].fileClass == fileClass }
      if indices.isEmpty { continue }
      let writer = PackWriter(
        store: store, pool: resources.processors, buffers: resources.buffers, fileClass: fileClass,
        sizes: sizes, random: random)
      do {
        let part = try await run(indices.map { files[$0] }, below: root, writer, index: &index)
        for (index, file) in zip(indices, part.stored) { stored[index] = file }
        added += part.addedBytes
      } catch {
        await writer.abandon()
        throw error
      }
    }
    return (stored, added)
  }

  private func run(
    _ files: [SourceFile], below root: OpenDirectory, _ writer: PackWriter, index: inout ChunkIndex
  ) async throws -> (stored: [Stored], addedBytes: Int) {
    let reader = SourceReader(root: root, files: files, resources: resources)
    var digests = FileDigests()
    var stored = [Stored](repeating: Stored(), count: files.count)
    for file in files.indices where files[file].cuts.isEmpty {
      stored[file] = Stored(sha256: SHA256.hash([UInt8]()), md5: MD5.hash([UInt8]()))
    }
    var packs: [String: Int] = [:]
    var added = 0
    var reading = ReadAhead(reader)
    while let chunks = try await reading.next() {
      let (ids, finished) = try await digests.add(
        chunks, isSingle: { files[$0].cuts.count == 1 }, on: resources.processors)
      for (chunk, id) in zip(chunks, ids) {
        if index[id] == nil {
          let place = writer.append(id, chunk.bytes)
          // Size and ETag follow when the pack is closed.
          let pack =
            packs[place.pack]
            ?? index.add(
              pack: .init(key: place.pack, size: 0, etag: nil, fileClass: files[chunk.file].fileClass))
          packs[place.pack] = pack
          index.add(id, pack: pack, offset: place.offset, length: chunk.bytes.count)
          added += chunk.bytes.count
          progress.add(transferred: chunk.bytes.count)
        }
        guard let location = index[id] else { continue }
        stored[chunk.file].chunks.append(
          .init(id: id, pack: location.pack, offset: location.offset, length: location.length))
        progress.add(done: chunk.bytes.count)
      }
      for (file, digest) in finished {
        stored[file].sha256 = digest.sha256
        stored[file].md5 = digest.md5
      }
      try await writer.sendFullParts()
    }
    for reference in try await writer.finish() {
      if let pack = packs[reference.key] { index.update(pack: pack, reference) }
    }
    return (stored, added)
  }
}

/// Reads the next batch while the last one is worked on.
private struct ReadAhead {
  private let reader: SourceReader
  private var pending: Task<[SourceChunk], any Error>?

  init(_ reader: SourceReader) {
    self.reader = reader
    pending = Task { try await reader.next() }
  }

  /// The next batch, or nil at the end. A cancelled task cancels the reading.
  mutating func next() async throws -> [SourceChunk]? {
    guard let task = pending else { return nil }
    let batch = try await withTaskCancellationHandler {
      try await task.value
    } onCancel: {
      task.cancel()
    }
    try Task.checkCancellation()
    guard !batch.isEmpty else {
      pending = nil
      return nil
    }
    pending = Task { [reader] in try await reader.next() }
    return batch
  }
}
