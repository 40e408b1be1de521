import Glibc
import TestSupport

// simulate [EPISODES [FIRST-SEED]]: runs so many episodes, each a function of its seed, and tells which broke a promise.

let arguments = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
let episodes = arguments.first ?? 200
let first = arguments.dropFirst().first ?? 1

/// Whether every episode kept the promises.
func simulate() throws -> Bool {
  let scratch = try Scratch(below: access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp")
  let checkpoints = try Checkpoints(below: scratch.path)

  var counts: [String: Int] = [:]
  var failed: [UInt64] = []
  for seed in first..<first + episodes {
    let episode = Episode(seed: seed, checkpoints: checkpoints, scratch: scratch.path)
    let broken = episode.run()
    counts.merge(episode.scheduler.counts, uniquingKeysWith: +)
    if broken.isEmpty { continue }
    failed.append(seed)
    print("seed \(seed): \(broken.joined(separator: "; "))")
  }
  for (what, count) in counts.sorted(by: { $0.key < $1.key }) { print("\(what)  \(count)") }
  print("\(episodes) episodes, \(failed.count) broke a promise\(failed.isEmpty ? "" : ": seeds \(failed)")")
  return failed.isEmpty
}

exit(try simulate() ? 0 : 1)
