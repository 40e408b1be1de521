import Glibc
import Platform

/// What no input may cost.
enum Limits {
  /// Of a worker's memory, in bytes.
  static let memory = 256 << 20
  /// Of processor time, in nanoseconds.
  static let time: UInt64 = 1_000_000_000
  /// Seconds without an end of an input after which its worker counts as hanging.
  static let hang = 30
}

/// Reads some inputs of one decoder in this process.
struct Worker {
  let decoder: Decoder
  let seed: UInt64
  let board: Board

  /// The exit code: 0 where all were read; `outOfMemory` where the last one took too much, so that the parent starts another worker.
  static let outOfMemory: Int32 = 3

  func run(_ range: Range<UInt64>) async -> Int32 {
    for index in range {
      board.index = index
      guard let input = try? decoder.input(seed: seed, index: index) else { continue }
      await read(input, index)
      if peakMemory() > Limits.memory { return Self.outOfMemory }
    }
    return 0
  }

  private func read(_ input: [UInt8], _ index: UInt64) async {
    let start = processorTime()
    do {
      try await decoder.read(input)
      board.accepted += 1
    } catch  where isTyped(error) {
      board.refused += 1
    } catch {
      board.broken += 1
      report("\(error)", index)
    }
    let time = processorTime() - start
    if time > board.slowest { (board.slowest, board.slowestIndex) = (time, index) }
    guard time > Limits.time else { return }
    board.broken += 1
    report("took \(time / 1_000_000) ms", index)
  }

  private func report(_ what: String, _ index: UInt64) {
    print("\(decoder.name), seed \(seed), input \(index): \(what)")
    fflush(nil)
  }
}

/// Processor time of this process in nanoseconds.
private func processorTime() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

private func peakMemory() -> Int {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return usage.ru_maxrss << 10
}
