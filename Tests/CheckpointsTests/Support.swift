import FoundationEssentials
import Platform
import Glibc

@testable import Checkpoints

/// The folder of real checkpoints.
let fixtures = #filePath.split(separator: "/").dropLast(2).map { "/" + $0 }.joined() + "/Fixtures"

/// A directory of its own for one test, removed with it.
final class Scratch {
  let path: String

  init() {
    var template = Array("/tmp/ckbackup-checkpoints-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { preconditionFailure("no scratch directory can be made") }
    path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and the directories above it; gives its path.
  @discardableResult
  func write(_ name: String, _ bytes: some Collection<UInt8>) throws -> String {
    let file = try prepare(name)
    try Data(bytes).write(to: URL(filePath: file))
    return file
  }

  /// Makes the directories above `name`; gives its path.
  private func prepare(_ name: String) throws -> String {
    let directory = ([path] + name.split(separator: "/").dropLast().map(String.init)).joined(separator: "/")
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    return path + "/" + name
  }

  @discardableResult
  func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

  /// Copies a fixture in and gives its path.
  func copy(_ fixture: String, as name: String) throws -> String {
    let target = try prepare(name)
    try FileManager.default.copyItem(atPath: fixtures + "/" + fixture, toPath: target)
    return target
  }

  func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: path + "/" + name) }
}

func contents(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }

func open(_ path: String) throws -> OpenFile {
  let tree = try Tree.scan(path)
  return try tree.root.open(tree.entries[0].path)
}

/// Repeatable random numbers (SplitMix64).
struct Seeded: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}

/// A seed for this run, printed so that a failure can be repeated.
func freshSeed(_ test: String = #function) -> UInt64 {
  let seed = UInt64.random(in: 0...UInt64.max)
  print("\(test): seed \(seed)")
  return seed
}
