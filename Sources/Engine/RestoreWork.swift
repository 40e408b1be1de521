import Glibc
import Platform
import Repository
import Synchronization

/// Which chunks of a restore are still to be written; shared by all that bring them.
final class RestoreWork: Sendable {
  let plan: RestorePlan
  private let writer: FileWriter
  private let open: Mutex<[ChunkID: RestorePlan.Need]>

  init(plan: RestorePlan, writer: FileWriter) {
    self.plan = plan
    self.writer = writer
    open = Mutex(plan.needs)
  }

  /// Bytes that are still to be written to files.
  var remainingBytes: Int {
    open.withLock { $0.values.reduce(0) { $0 + $1.length * $1.destinations.count } }
  }

  /// Notes that a chunk stands at a place already.
  func markWritten(_ id: ChunkID, at place: Destination) {
    open.withLock { open in
      guard var need = open[id] else { return }
      need.destinations.removeAll { $0.file == place.file && $0.offset == place.offset }
      open[id] = need.destinations.isEmpty ? nil : need
    }
  }

  /// Writes a verified chunk to all places that still need it; a chunk that nobody needs is passed over.
  func write(_ id: ChunkID, _ bytes: Slice) throws {
    guard let need = open.withLock({ $0[id] }), need.length == bytes.count else { return }
    for destination in need.destinations { try writer.write(bytes, to: destination) }
    open.withLock { _ = $0.removeValue(forKey: id) }
  }

  /// What must be fetched, by index of the pack.
  func wanted() -> [Int: [WantedChunk]] {
    open.withLock { open in
      Dictionary(grouping: open, by: \.value.pack).mapValues { needs in
        needs.map { WantedChunk(id: $0.key, offset: $0.value.offset, length: $0.value.length) }
      }
    }
  }
}

extension OpenDirectory {
  /// Writes a small file with all its bytes, durable, readable by its owner alone.
  func writeWhole(_ path: RelativePath, _ bytes: [UInt8]) throws {
    let output = try openForWriting(path, flags: O_CREAT | O_TRUNC)
    try output.write(bytes, at: 0)
    try output.sync()
  }
}
