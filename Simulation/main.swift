import FoundationEssentials
import Glibc
import Platform
import TestSupport

// simulate [EPISODES [FIRST-SEED]]: runs so many episodes, each a function of its seed, and tells which broke a promise. The program runs
// itself on half of them for each processor: an episode needs a thread and a process of its own.

/// What some episodes came to: how often each thing happened, and the seeds that broke a promise.
struct Outcome: Codable {
  var counts: [String: Int] = [:]
  var failed: [UInt64] = []

  mutating func merge(_ other: Outcome) {
    counts.merge(other.counts, uniquingKeysWith: +)
    failed += other.failed
  }
}

func simulate(_ seeds: Range<UInt64>) throws -> Outcome {
  let scratch = try Scratch(below: access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp")
  let checkpoints = try Checkpoints(below: scratch.path)
  var outcome = Outcome()
  for seed in seeds {
    let episode = Episode(seed: seed, checkpoints: checkpoints, scratch: scratch.path)
    let broken = episode.run()
    outcome.merge(Outcome(counts: episode.scheduler.counts, failed: broken.isEmpty ? [] : [seed]))
    if broken.isEmpty { continue }
    let line = Array("seed \(seed): \(broken.joined(separator: "; "))\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }
  return outcome
}

/// Runs a share of the seeds in a process of its own and gives the pipe that its outcome comes from.
func startWorker(_ seeds: Range<UInt64>) throws -> UnsafeMutablePointer<FILE> {
  guard let program = realpath("/proc/self/exe", nil) else {
    throw SystemError.last("readlink", "/proc/self/exe")
  }
  defer { free(program) }
  let command = "'\(String(cString: program))' worker \(seeds.lowerBound) \(seeds.upperBound)"
  guard let pipe = popen(command, "r") else { throw SystemError.last("popen", command) }
  return pipe
}

/// The outcome of a worker, or nil where it died without one.
func finish(_ pipe: UnsafeMutablePointer<FILE>) -> Outcome? {
  var bytes: [UInt8] = []
  var block = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = fread(&block, 1, block.count, pipe)
    if count == 0 { break }
    bytes += block.prefix(count)
  }
  guard pclose(pipe) == 0 else { return nil }
  return try? JSONDecoder().decode(Outcome.self, from: Data(bytes))
}

func run() throws -> Bool {
  let words = CommandLine.arguments.dropFirst()
  let numbers = words.compactMap { UInt64($0) }
  if words.first == "worker", numbers.count == 2 {
    let outcome = try simulate(numbers[0]..<numbers[1])
    print(String(decoding: try JSONEncoder().encode(outcome), as: UTF8.self))
    return true
  }
  let episodes = numbers.first ?? 200
  let first = numbers.dropFirst().first ?? 1
  let workers = UInt64(max(1, min(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 64)))
  let pipes = try (0..<workers).map { worker in
    try startWorker(first + episodes * worker / workers..<first + episodes * (worker + 1) / workers)
  }
  var outcome = Outcome()
  var isWhole = true
  for pipe in pipes {
    if let part = finish(pipe) { outcome.merge(part) } else { isWhole = false }
  }
  for (what, count) in outcome.counts.sorted(by: { $0.key < $1.key }) { print("\(what)  \(count)") }
  let seeds = outcome.failed.isEmpty ? "" : ": seeds \(outcome.failed)"
  print("\(episodes) episodes, \(outcome.failed.count) broke a promise\(seeds)")
  if !isWhole { print("a part of the episodes ended the simulation itself") }
  return isWhole && outcome.failed.isEmpty
}

exit(try run() ? 0 : 1)
