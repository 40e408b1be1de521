import Glibc
import Platform
import TestSupport

// fuzz [INPUTS [SEED]]: feeds every reader of outside bytes with inputs, each a function of seed and number, in processes of their own.
// fuzz one DECODER SEED NUMBER [FILE]: reads one input in this process, after writing it to FILE.

let words = Array(CommandLine.arguments.dropFirst())

func decoders(_ scratch: String) throws -> [Decoder] {
  try checkpointDecoders(scratch) + repositoryDecoders(scratch) + serverDecoders(scratch)
    + credentialsDecoders()
}

func decoder(_ name: String, _ scratch: String) throws -> Decoder {
  guard let found = try decoders(scratch).first(where: { $0.name == name }) else {
    throw Broken(rule: "there is a decoder \(name)")
  }
  return found
}

func number(_ index: Int) -> UInt64? { index < words.count ? UInt64(words[index]) : nil }

switch words.first {
case "work":
  guard let seed = number(2), let from = number(3), let to = number(4), words.count == 6 else { exit(2) }
  let worker = Worker(
    decoder: try decoder(words[1], words[5]), seed: seed, board: try Board("\(words[5])/board"))
  exit(await worker.run(from..<to))
case "prepare":
  try Bombs.prepare(words[1])
case "one":
  guard let seed = number(2), let index = number(3) else { exit(2) }
  let scratch = try Scratch()
  try Bombs.prepare(scratch.path)
  let decoder = try decoder(words[1], scratch.path)
  let input = try decoder.input(seed: seed, index: index)
  if words.count > 4 {
    let file = try scratch.write("input", input)
    guard rename(file, words[4]) == 0 || system("cp '\(file)' '\(words[4])'") == 0 else { exit(2) }
  }
  print("\(input.count) bytes")
  do {
    try await decoder.read(input)
    print("accepted")
  } catch { print("\(isTyped(error) ? "refused" : "BROKEN"): \(error)") }
default:
  let scratch = try Scratch(below: access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp")
  let campaign = Campaign(
    decoders: try decoders(scratch.path), inputs: number(0) ?? 200_000,
    seed: number(1) ?? UInt64.random(in: 0..<1 << 32),
    scratch: scratch.path)
  let failures = try campaign.run()
  try? scratch.remove("")
  exit(failures == 0 ? 0 : 1)
}
