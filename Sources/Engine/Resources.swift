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
  public static let overhead = 96 << 20
  /// The least `memory` that a push or restore can work with, in bytes, where chunks have the default size.
  public static let leastMemory = leastMemory(bufferSize: 16 << 20)
  private static let mostBuffers = 22
  private static let fewestBuffers = 6

  /// The least `memory` that a push or restore can work with, in bytes, with buffers of a size.
  public static func leastMemory(bufferSize: Int) -> Int { overhead + fewestBuffers * bufferSize }

  /// Resources within a bound.
  ///
  /// - Parameters:
  ///   - memory: bytes that the whole process should stay below; at least `leastMemory`.
  ///   - bufferSize: bytes of a buffer, the repository's chunk size or more.
  ///   - threads: threads that make digests; 0 for one a processor, at most 8.
  ///   - connections: requests at once.
  public init(memory: Int, bufferSize: Int, threads: Int, connections: Int) {
    let count = max(Self.fewestBuffers, min(Self.mostBuffers, (memory - Self.overhead) / bufferSize))
    let processors = threads > 0 ? threads : min(8, max(2, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
    buffers = BufferPool(bufferSize: bufferSize, count: count)
    disk = BlockingPool(threads: 4)
    self.processors = BlockingPool(threads: processors)
    self.connections = connections
  }

  /// How many buffers a batch of chunks may fill, so that one batch can be read while another is hashed and sent.
  var batchBuffers: Int { max(1, min(8, (buffers.count - 4) / 2)) }
}
