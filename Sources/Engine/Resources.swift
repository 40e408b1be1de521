import Glibc
import Platform

/// What a push or restore may use of the machine: a bounded pool of buffers and threads for blocking work.
public struct Resources: Sendable {
  /// Buffers of one part each; their number bounds the memory.
  public let buffers: BufferPool
  /// Threads for file I/O.
  public let disk: BlockingPool
  /// Threads for digests.
  public let processors: BlockingPool
  /// How many requests go to the store at once.
  public let connections: Int

  /// Memory that the program needs besides its buffers, in bytes: code, metadata, libraries.
  public static let overhead = 48 << 20
  /// The least `memory` that a push or restore can work with, in bytes, where chunks have the default size.
  public static let leastMemory = leastMemory(bufferSize: 16 << 20)
  private static let mostBuffers = 22
  private static let fewestBuffers = 5
  private static let mostInBatch = 8
  /// Buffers that are left to an upload besides its two batches of chunks: one in which it gathers, and one on its way.
  private static let buffersOfUpload = 2

  /// How many uploads share the buffers.
  private let uploads: Int

  /// The least `memory` that a push or restore can work with, in bytes, with buffers of a size and so many uploads that share them.
  public static func leastMemory(bufferSize: Int, uploads: Int = 1) -> Int {
    overhead + fewestBuffers(uploads) * bufferSize
  }

  private static func fewestBuffers(_ uploads: Int) -> Int { fewestBuffers + (uploads - 1) * buffersOfUpload }

  /// Resources within a bound.
  ///
  /// - Parameters:
  ///   - memory: bytes that the whole process should stay below; at least `leastMemory`.
  ///   - bufferSize: bytes of a buffer, the repository's chunk size or more.
  ///   - threads: threads that make digests; 0 for one a processor, at most 8.
  ///   - connections: requests at once.
  ///   - uploads: how many uploads share the buffers.
  public init(memory: Int, bufferSize: Int, threads: Int, connections: Int, uploads: Int = 1) {
    let count = max(
      Self.fewestBuffers(uploads), min(Self.mostBuffers, (memory - Self.overhead) / bufferSize))
    let processors = threads > 0 ? threads : min(8, max(2, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
    buffers = BufferPool(bufferSize: bufferSize, count: count)
    disk = BlockingPool(threads: 4)
    self.processors = BlockingPool(threads: processors)
    self.connections = connections
    self.uploads = uploads
  }

  /// Resources of these parts.
  public init(buffers: BufferPool, disk: BlockingPool, processors: BlockingPool, connections: Int) {
    self.buffers = buffers
    self.disk = disk
    self.processors = processors
    self.connections = connections
    uploads = 1
  }

  /// How many buffers a batch of chunks may fill, so that there is room for a second one.
  var batchBuffers: Int {
    max(1, min(Self.mostInBatch, (buffers.count - 2 - uploads * Self.buffersOfUpload) / 2))
  }

  /// Whether a push reads a batch while it hashes and sends the one before. Digests are made side by side, and those of one
  /// chunk alone cost twice as much as those of four: where there is no room for two batches of that many, there is one at a time, as large as it can be.
  var readsAhead: Bool { batchBuffers >= 4 }

  /// How many buffers a batch of a push may fill. Each upload may keep one besides, in which it gathers what waits for more.
  var pushBatchBuffers: Int {
    readsAhead ? batchBuffers : max(1, min(Self.mostInBatch, buffers.count - uploads))
  }
}
