import Glibc
import Synchronization

/// A block of memory with one writer at first and any number of readers afterwards.
///
/// Whoever made it or took it from a `BufferPool` fills it, alone; bytes of which a `Slice` was handed on are only read. That is why it
/// may be unchecked Sendable.
/// The last reference to go gives the memory back to its pool.
public final class Buffer: @unchecked Sendable {
  // Sendable by the rule above: writes come before the hand-over, and after it nobody writes.
  private let block: UnsafeMutableRawPointer
  private let base: UnsafeMutableRawPointer
  private let pool: BufferPool?
  /// Its size in bytes.
  public let capacity: Int

  /// The memory begins `skipped` bytes into the block.
  fileprivate init(block: UnsafeMutableRawPointer, skipped: Int = 0, capacity: Int, pool: BufferPool?) {
    self.block = block
    base = block + skipped
    self.capacity = capacity
    self.pool = pool
  }

  /// A block of its own, outside any pool, holding a copy of `bytes`.
  public convenience init(copying bytes: some Collection<UInt8>) {
    let base = allocatePages(max(bytes.count, 1))
    let capacity = bytes.count
    self.init(block: base, capacity: capacity, pool: nil)
    UnsafeMutableRawBufferPointer(start: base, count: capacity).copyBytes(from: bytes)
  }

  deinit {
    if let pool { pool.giveBack(block) } else { free(block) }
  }

  /// The memory, for its one writer. It must not be used after the buffer is gone.
  public var writable: UnsafeMutableRawBufferPointer { .init(start: base, count: capacity) }
  /// The memory, for readers. It must not be used after the buffer is gone.
  public var readable: UnsafeRawBufferPointer { .init(start: base, count: capacity) }

  /// Part of the buffer; `range` must lie within its capacity.
  public func slice(_ range: Range<Int>) -> Slice { Slice(buffer: self, range: range) }
}

/// A run of bytes inside a buffer, which it keeps alive.
public struct Slice: Sendable {
  /// The buffer that holds the bytes.
  public let buffer: Buffer
  /// Where in the buffer they are.
  public let range: Range<Int>

  /// The number of bytes.
  public var count: Int { range.count }

  /// A slice of the slice; `part` counts from this slice's start.
  public func sub(_ part: Range<Int>) -> Slice {
    Slice(buffer: buffer, range: range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound)
  }

  /// Lends the bytes for the time of the call.
  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    defer { withExtendedLifetime(buffer) {} }
    return try body(UnsafeRawBufferPointer(rebasing: buffer.readable[range]))
  }
}

/// The bytes of one request: slices of buffers, one after the other, never copied together.
public struct Payload: Sendable {
  /// The slices, in order.
  public private(set) var slices: [Slice] = []
  /// The number of bytes in all of them.
  public private(set) var count = 0

  /// No bytes.
  public init() {}
  /// A copy of some bytes.
  public init(_ bytes: some Collection<UInt8>) {
    let buffer = Buffer(copying: bytes)
    if buffer.capacity > 0 { append(buffer.slice(0..<buffer.capacity)) }
  }

  /// The bytes of one slice.
  public init(_ slice: Slice) { append(slice) }

  /// Adds a slice at the end. Empty ones are left out.
  public mutating func append(_ slice: Slice) {
    guard slice.count > 0 else { return }
    slices.append(slice)
    count += slice.count
  }

  /// Copies bytes from `offset` on into `target` and returns how many there were.
  public func copy(from offset: Int, into target: UnsafeMutableRawBufferPointer) -> Int {
    var skip = offset
    var copied = 0
    for slice in slices where copied < target.count {
      if skip >= slice.count {
        skip -= slice.count
        continue
      }
      copied += slice.withBytes { bytes in
        let part = bytes[skip..<min(bytes.count, skip + target.count - copied)]
        UnsafeMutableRawBufferPointer(rebasing: target[copied...]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: part))
        return part.count
      }
      skip = 0
    }
    return copied
  }

  /// All bytes in one array, for small payloads.
  public func bytes() -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { target, filled in
      filled = copy(from: 0, into: UnsafeMutableRawBufferPointer(target))
    }
  }
}

/// A fixed number of equal buffers that are lent and come back by themselves.
///
/// It bounds the memory of a push or restore: who needs a buffer waits until one is free. Memory is touched only when
/// a buffer is first used, and the buffer returned last is lent first, so that few pages are ever fresh.
public final class BufferPool: Sendable {
  private struct Waiter {
    let id: Int
    let continuation: CheckedContinuation<Block, any Error>
  }
  /// A block on its way from the pool to a `Buffer`. Sendable since it has one owner at a time.
  private struct Block: @unchecked Sendable { let base: UnsafeMutableRawPointer }
  private struct State {
    var free: [Block] = []
    var made = 0
    var waiters: [Waiter] = []
    var nextWaiter = 0
    var cancelled: Set<Int> = []
  }

  /// The size of each buffer in bytes.
  public let bufferSize: Int
  /// How many buffers there are at most.
  public let count: Int
  private let state = Mutex(State())

  /// A pool of `count` buffers of `bufferSize` bytes; nothing is allocated yet.
  public init(bufferSize: Int, count: Int) {
    self.bufferSize = bufferSize
    self.count = count
  }

  deinit { state.withLock { for block in $0.free { Glibc.free(block.base) } } }

  /// A buffer, as soon as one is free. Waiters are served in the order they came.
  ///
  /// It begins at the same byte of a line of the processor's cache as `offset` of a file does in memory: where these differ, AMD's Zen 4
  /// copies a sixth slower, and at a third of the speed where they are a few bytes apart in their pages. At 0 it begins at a page.
  ///
  /// Throws `CancellationError` where the task is cancelled while it waits.
  public func take(for offset: Int = 0) async throws -> Buffer {
    let id = state.withLock { state in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    let block = try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Block, any Error>) in
        enum Outcome {
          case ready(Block)
          case cancelled
          case waiting
        }
        let outcome: Outcome = state.withLock { state in
          if state.cancelled.remove(id) != nil { return .cancelled }
          if let block = state.free.popLast() { return .ready(block) }
          if state.made < count {
            state.made += 1
            return .ready(Block(base: allocatePages(bufferSize + cacheLine)))
          }
          state.waiters.append(Waiter(id: id, continuation: continuation))
          return .waiting
        }
        switch outcome {
        case .ready(let block): continuation.resume(returning: block)
        case .cancelled: continuation.resume(throwing: CancellationError())
        case .waiting: break
        }
      }
    } onCancel: {
      let waiter = state.withLock { state -> Waiter? in
        if let index = state.waiters.firstIndex(where: { $0.id == id }) {
          return state.waiters.remove(at: index)
        }
        state.cancelled.insert(id)
        return nil
      }
      waiter?.continuation.resume(throwing: CancellationError())
    }
    state.withLock { _ = $0.cancelled.remove(id) }
    return Buffer(block: block.base, skipped: offset % cacheLine, capacity: bufferSize, pool: self)
  }

  fileprivate func giveBack(_ base: UnsafeMutableRawPointer) {
    let block = Block(base: base)
    let waiter = state.withLock { state -> Waiter? in
      if !state.waiters.isEmpty { return state.waiters.removeFirst() }
      state.free.append(block)
      return nil
    }
    waiter?.continuation.resume(returning: block)
  }
}

private let cacheLine = 64

/// Page-aligned memory. Running out of memory for a block that the configuration allowed ends the program.
private func allocatePages(_ size: Int) -> UnsafeMutableRawPointer {
  var pointer: UnsafeMutableRawPointer?
  guard posix_memalign(&pointer, 4096, size) == 0, let pointer else {
    preconditionFailure("out of memory: no block of \(size) bytes")
  }
  return pointer
}

/// A run of bytes in a buffer that somebody is still to fill; the holder is its only writer.
public struct WritableSlice: Sendable {
  private let buffer: Buffer
  private let range: Range<Int>

  /// The part `range` of `buffer`, to be written by whoever gets this.
  public init(_ buffer: Buffer, _ range: Range<Int>) {
    self.buffer = buffer
    self.range = range
  }

  /// The number of bytes.
  public var count: Int { range.count }

  /// Lends the memory for writing for the time of the call.
  public func withMemory<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
    defer { withExtendedLifetime(buffer) {} }
    return try body(UnsafeMutableRawBufferPointer(rebasing: buffer.writable[range]))
  }

  /// Copies `bytes` to `offset` of the slice; they must fit.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
    withMemory {
      UnsafeMutableRawBufferPointer(rebasing: $0[offset..<offset + bytes.count]).copyMemory(from: bytes)
    }
  }
}
