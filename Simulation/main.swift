import Glibc
import Platform

// simulate [EPISODES [FIRST-SEED]]: runs so many episodes, each a function of its seed, and tells which broke a promise.

let arguments = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
let episodes = arguments.first ?? 200
let first = arguments.dropFirst().first ?? 1

var template =
  Array((access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp").utf8CString.dropLast())
  + Array("/ckbackup-simulation-XXXXXX".utf8CString)
guard mkdtemp(&template) != nil else { fatalError("no scratch directory can be made") }
let place = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
let checkpoints = try Checkpoints(below: place)

var counts: [String: Int] = [:]
var failed: [UInt64] = []
for seed in first..<first + episodes {
  let episode = Episode(seed: seed, checkpoints: checkpoints, scratch: place)
  let broken = episode.run()
  counts.merge(episode.scheduler.counts, uniquingKeysWith: +)
  if broken.isEmpty { continue }
  failed.append(seed)
  print("seed \(seed): \(broken.joined(separator: "; "))")
}
for (what, count) in counts.sorted(by: { $0.key < $1.key }) { print("\(what)  \(count)") }
print("\(episodes) episodes, \(failed.count) broke a promise\(failed.isEmpty ? "" : ": seeds \(failed)")")
let slash = place.lastIndex(of: "/") ?? place.startIndex
try OpenDirectory(String(place[..<slash])).removeTree(
  RelativePath(String(place[place.index(after: slash)...])))
exit(failed.isEmpty ? 0 : 1)
