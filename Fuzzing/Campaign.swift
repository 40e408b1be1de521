import Glibc
import Platform

/// Runs all inputs in workers, and tells what they came to.
struct Campaign {
  let decoders: [Decoder]
  let inputs: UInt64
  let seed: UInt64
  let scratch: String
  /// So many inputs one worker reads, so that what it leaks or holds does not add up for ever.
  private static let batch: UInt64 = 20_000

  private struct Job {
    let decoder: Decoder
    var range: Range<UInt64>
  }

  private struct Sum {
    var accepted: UInt64 = 0
    var refused: UInt64 = 0
    var failures: UInt64 = 0
    var memory = 0
    var slowest: UInt64 = 0
    var slowestIndex: UInt64 = 0
  }

  /// How many inputs broke a rule. Prints them and the table.
  func run() throws -> UInt64 {
    try prepare()
    var waiting = jobs()
    var sums: [String: Sum] = [:]
    var running: [pid_t: Running] = [:]
    let slots = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    while !waiting.isEmpty || !running.isEmpty {
      while running.count < slots, let job = waiting.popLast() {
        let slot = (0..<slots).first { slot in !running.values.contains { $0.slot == slot } } ?? 0
        let worker = try start(job, slot)
        running[worker.pid] = worker
      }
      var status: Int32 = 0
      var usage = rusage()
      let pid = wait4(-1, &status, WNOHANG, &usage)
      guard pid > 0, let ended = running.removeValue(forKey: pid) else {
        for key in running.keys { running[key]?.killIfHanging() }
        usleep(2000)
        continue
      }
      var sum = sums[ended.job.decoder.name] ?? Sum()
      if let rest = account(ended, status, usage, &sum) { waiting.append(rest) }
      sums[ended.job.decoder.name] = sum
    }
    return table(sums)
  }

  private func jobs() -> [Job] {
    let shares = decoders.reduce(0) { $0 + $1.share }
    return decoders.flatMap { decoder in
      let count = max(1, inputs * UInt64(decoder.share) / UInt64(shares))
      return stride(from: 0, to: count, by: Int(Self.batch)).map {
        Job(decoder: decoder, range: $0..<min(count, $0 + Self.batch))
      }
    }
  }

  private struct Running {
    let pid: pid_t
    let slot: Int
    let job: Job
    let board: Board
    var seen: (index: UInt64, since: Int) = (.max, 0)

    /// Ends a worker whose input goes on for too long; its death is then told like any other.
    mutating func killIfHanging() {
      let (index, now) = (board.index, time(nil))
      if index != seen.index { seen = (index, now) }
      if now - seen.since > Limits.hang { kill(pid, SIGKILL) }
    }
  }

  private func start(_ job: Job, _ slot: Int) throws -> Running {
    let place = "\(scratch)/\(slot)"
    mkdir(place, 0o700)
    let board = try Board("\(place)/board")
    board.clear()
    board.index = job.range.lowerBound
    let pid = try spawn([
      "work", job.decoder.name, "\(seed)", "\(job.range.lowerBound)", "\(job.range.upperBound)", place,
    ])
    return Running(pid: pid, slot: slot, job: job, board: board)
  }

  private func prepare() throws {
    var status: Int32 = 0
    guard waitpid(try spawn(["prepare", scratch]), &status, 0) > 0, status == 0 else {
      throw Broken(rule: "the bombs can be made")
    }
  }

  /// Starts this program anew.
  private func spawn(_ words: [String]) throws -> pid_t {
    var arguments = (["fuzz"] + words).map { strdup($0) } + [nil]
    defer { for word in arguments { free(word) } }
    var pid: pid_t = 0
    let code = posix_spawn(&pid, "/proc/self/exe", nil, nil, &arguments, environ)
    guard code == 0 else { throw SystemError(operation: "start", path: "a worker", code: code) }
    return pid
  }

  /// Adds up what a worker did; gives the inputs that it left.
  private func account(_ ended: Running, _ status: Int32, _ usage: rusage, _ sum: inout Sum) -> Job? {
    let board = ended.board
    sum.accepted += board.accepted
    sum.refused += board.refused
    sum.failures += board.broken
    sum.memory = max(sum.memory, usage.ru_maxrss << 10)
    if board.slowest > sum.slowest { (sum.slowest, sum.slowestIndex) = (board.slowest, board.slowestIndex) }
    if status == 0 { return nil }
    sum.failures += 1
    let signal = status & 0x7f
    let what =
      signal == 0
      ? (status >> 8 == Worker.outOfMemory
        ? "took \(usage.ru_maxrss >> 10) MiB" : "ended the process with \(status >> 8)")
      : signal == SIGKILL ? "hangs" : "crashed with signal \(signal)"
    print("\(ended.job.decoder.name), seed \(seed), input \(board.index): \(what)")
    fflush(nil)
    var rest = ended.job
    rest.range = min(board.index + 1, rest.range.upperBound)..<rest.range.upperBound
    return rest.range.isEmpty ? nil : rest
  }

  private func table(_ sums: [String: Sum]) -> UInt64 {
    func pad(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    let titles = ["decoder", "inputs", "accepted", "refused", "peak MiB", "slowest ms", "failures"]
    print(titles.map { pad($0, 16) }.joined())
    var total = Sum()
    for decoder in decoders {
      let sum = sums[decoder.name] ?? Sum()
      print(
        [
          decoder.name, "\(sum.accepted + sum.refused)", "\(sum.accepted)", "\(sum.refused)",
          "\(sum.memory >> 20)",
          "\(sum.slowest / 1_000_000) (#\(sum.slowestIndex))", "\(sum.failures)",
        ].map { pad($0, 16) }.joined())
      total.accepted += sum.accepted
      total.refused += sum.refused
      total.failures += sum.failures
      total.memory = max(total.memory, sum.memory)
      total.slowest = max(total.slowest, sum.slowest)
    }
    print(
      "seed \(seed): \(total.accepted + total.refused) inputs, \(total.accepted) accepted, \(total.refused) refused, "
        + "peak memory \(total.memory >> 20) MiB, slowest input \(total.slowest / 1_000_000) ms, \(total.failures) failures"
    )
    return total.failures
  }
}
