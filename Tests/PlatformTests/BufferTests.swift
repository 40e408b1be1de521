import Platform
import TestSupport
import Testing

@Suite("Buffers") struct BufferTests {
  @Test(
    "buffers are page-aligned and come back by themselves, so that a pool never makes more than its count")
  func reuse() async throws {
    let pool = BufferPool(bufferSize: 10_000, count: 2)
    var places = Set<UInt>()
    for _ in 0..<20 {
      let (first, second) = (try await pool.take(), try await pool.take())
      for buffer in [first, second] {
        #expect(buffer.capacity == 10_000)
        let address = UInt(bitPattern: buffer.writable.baseAddress)
        #expect(address % 4096 == 0)
        places.insert(address)
      }
    }
    #expect(places.count == 2)
  }

  @Test(
    "a buffer begins at the same byte of a cache line as the place in a file that it is for, and has its whole size there"
  )
  func places() async throws {
    let pool = BufferPool(bufferSize: 4096, count: 1)
    for offset in [0, 1, 63, 64, 4095, 1 << 40 | 7] {
      let buffer = try await pool.take(for: offset)
      #expect(
        Int(bitPattern: buffer.writable.baseAddress) % 64 == offset % 64 && buffer.writable.count == 4096)
      buffer.writable[4095] = 7
      #expect(buffer.slice(4095..<4096).withBytes { $0[0] } == 7)
    }
  }

  @Test("who asks an empty pool waits until a buffer comes back, in the order they came")
  func waiting() async throws {
    let pool = BufferPool(bufferSize: 16, count: 1)
    var held: Buffer? = try await pool.take()
    let served = Served()
    var waiters: [Task<Void, any Error>] = []
    for number in 0..<3 {
      // It runs here until it waits, so that they ask in this order.
      let task = Task.immediate {
        let buffer = try await pool.take()
        await served.add(number)
        _ = buffer
      }
      waiters.append(task)
    }
    #expect(await served.numbers.isEmpty, "nobody gets what another holds")
    #expect(held?.capacity == 16)
    held = nil
    for waiter in waiters { try await waiter.value }
    #expect(await served.numbers == [0, 1, 2])
  }

  @Test("a cancelled waiter gives up, before it waits too, and leaves the buffer to others")
  func cancelled() async throws {
    let pool = BufferPool(bufferSize: 16, count: 1)
    var held: Buffer? = try await pool.take()
    let waiter = Task.immediate { try await pool.take().capacity }
    waiter.cancel()
    await #expect(throws: CancellationError.self) { try await waiter.value }
    let early = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await pool.take().capacity
    }
    await #expect(throws: CancellationError.self) { try await early.value }
    #expect(held?.capacity == 16)
    held = nil
    #expect(try await pool.take().capacity == 16)
  }

  @Test("many tasks share few buffers, cancelled ones among them, and every buffer comes back")
  func crowd() async throws {
    let pool = BufferPool(bufferSize: 16, count: 3)
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<200 {
        group.addTask {
          let task = Task {
            let buffer = try await pool.take()
            await Task.yield()
            return buffer.capacity
          }
          if number % 3 == 0 { task.cancel() }
          _ = try? await task.value
        }
      }
    }
    let all = [try await pool.take(), try await pool.take(), try await pool.take()]
    #expect(all.count == 3)
  }

  @Test("a payload is its slices one after the other, from whatever byte it is copied; the seed is printed")
  func payload() {
    var generator = Seeded()
    for _ in 0..<50 {
      var expected: [UInt8] = []
      var payload = Payload()
      for _ in 0..<Int.random(in: 0...5, using: &generator) {
        let bytes = (0..<Int.random(in: 0...20, using: &generator)).map { _ in
          UInt8.random(in: 0...255, using: &generator)
        }
        let start = Int.random(in: 0...bytes.count, using: &generator)
        payload.append(Buffer(copying: bytes).slice(0..<bytes.count).sub(start..<bytes.count))
        expected += bytes[start...]
      }
      #expect(payload.bytes() == expected && payload.count == expected.count)
      let offset = Int.random(in: 0...expected.count, using: &generator)
      var target = [UInt8](repeating: 0, count: Int.random(in: 0...30, using: &generator))
      let copied = target.withUnsafeMutableBytes { payload.copy(from: offset, into: $0) }
      #expect(Array(target.prefix(copied)) == Array(expected.dropFirst(offset).prefix(target.count)))
    }
  }
}

private actor Served {
  private(set) var numbers: [Int] = []
  func add(_ number: Int) { numbers.append(number) }
}

@Suite("Blocking work") struct BlockingPoolTests {
  @Test("jobs give their results and errors, and those queued when the pool goes are done all the same")
  func results() async throws {
    struct Failure: Error {}
    var pool: BlockingPool? = BlockingPool(threads: 2)
    #expect(try await pool?.run { 6 * 7 } == 42)
    await #expect(throws: Failure.self) { try await pool?.run { throw Failure() } }
    let jobs = (0..<50).map { number in Task { [pool] in try await pool?.run { number } } }
    pool = nil
    for (number, job) in jobs.enumerated() { #expect(try await job.value == number) }
  }
}
