import Platform

/// One reading that several uploads take part in: every batch is read once and given to all of them, and who is quicker waits.
actor SharedReading {
  /// One upload's part in it.
  struct Share: ChunkReading {
    fileprivate let reading: SharedReading
    fileprivate let number: Int

    func next() async throws -> HashedBatch? { try await reading.next(for: number) }
    /// Takes no further part: the others wait for it no longer.
    func end() async { await reading.leave(number) }
  }

  private let reader: HashedReader
  /// The numbers of those that still take part.
  private var members: Set<Int>
  private var waiting: [Int: CheckedContinuation<HashedBatch?, any Error>] = [:]
  private var reading: Task<Void, Never>?
  /// Why the files could not be read, which ends the reading for all.
  private(set) var failure: (any Error)?
  /// Whether there are uploads left, and something to read for them.
  var goesOn: Bool { !members.isEmpty && failure == nil }

  /// A reading for so many uploads. Nothing is read before all of them have asked.
  init(_ reader: HashedReader, members: Int) {
    self.reader = reader
    self.members = Set(0..<members)
  }

  /// The part of one of them, counted from 0.
  nonisolated func share(_ number: Int) -> Share { Share(reading: self, number: number) }

  private func next(for number: Int) async throws -> HashedBatch? {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        guard members.contains(number) else { return continuation.resume(throwing: CancellationError()) }
        waiting[number] = continuation
        readWhereAllWait()
      }
    } onCancel: {
      Task { await leave(number) }
    }
  }

  private func leave(_ number: Int) {
    members.remove(number)
    waiting.removeValue(forKey: number)?.resume(throwing: CancellationError())
    if members.isEmpty { reading?.cancel() }
    readWhereAllWait()
  }

  private func readWhereAllWait() {
    guard !members.isEmpty, waiting.count == members.count else { return }
    let takers = waiting.values
    waiting = [:]
    reading = Task {
      do {
        let batch = try await reader.next()
        for taker in takers { taker.resume(returning: batch) }
      } catch {
        failure = error
        for taker in takers { taker.resume(throwing: error) }
      }
    }
  }
}
