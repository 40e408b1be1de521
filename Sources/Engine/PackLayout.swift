import Digests
import ObjectStore
import Platform
import Repository

/// Every byte of a pack by name: its chunks, one after the other, and the table and trailer that end it.
struct PackLayout: Sendable {
  /// The chunks in the order of their offsets.
  let chunks: [WantedChunk]
  /// Table and trailer.
  let end: [UInt8]
  let fileClass: FileClass

  /// Nil where the chunks and the end do not make up a pack of `size` bytes without gaps.
  init?(_ table: PackTable, end: [UInt8], size: Int) {
    chunks = table.entries.map { WantedChunk(id: $0.id, offset: $0.offset, length: $0.length) }
    self.end = end
    fileClass = table.fileClass
    var offset = 0
    for chunk in chunks {
      guard chunk.offset == offset else { return nil }
      offset += chunk.length
    }
    guard !chunks.isEmpty, offset + end.count == size else { return nil }
  }

  /// The layout that a pack itself tells. One that is wrong is read once more: the fault may have been on the way.
  ///
  /// - Throws: `FormatError` where its table is damaged; `StoreError`, `.missing` and `.short` among them.
  static func read(_ pack: Manifest.PackReference, from repository: Repository) async throws -> PackLayout {
    let read = { try await repository.end(ofPack: pack.key, size: pack.size) }
    let (table, end): (PackTable, [UInt8])
    do {
      (table, end) = try await read()
    } catch let error as FormatError where error.isDamage {
      (table, end) = try await read()
    }
    guard let layout = PackLayout(table, end: end, size: pack.size) else {
      throw FormatError.invalid(object: pack.key, detail: "its table does not tell all of its bytes")
    }
    return layout
  }

  /// The layout that manifests tell, or nil where they name less than all of the pack. The table is made as a push makes it.
  static func make(
    of pack: Manifest.PackReference, from manifests: [(snapshot: Snapshot, manifest: Manifest)]
  ) throws -> PackLayout? {
    let chunks = wanted(of: pack.key, in: manifests).sorted { $0.offset < $1.offset }
    let table = PackTable(
      fileClass: pack.fileClass,
      entries: chunks.map { .init(id: $0.id, offset: $0.offset, length: $0.length) })
    return PackLayout(table, end: try table.encode(), size: pack.size)
  }

  /// The chunks of a pack that manifests name.
  static func wanted(
    of pack: String, in manifests: [(snapshot: Snapshot, manifest: Manifest)]
  ) -> Set<WantedChunk> {
    var wanted = Set<WantedChunk>()
    for (_, manifest) in manifests {
      guard let index = manifest.packs.firstIndex(where: { $0.key == pack }) else { continue }
      for file in manifest.files {
        for chunk in file.chunks where chunk.pack == index {
          wanted.insert(WantedChunk(id: chunk.id, offset: chunk.offset, length: chunk.length))
        }
      }
    }
    return wanted
  }
}
