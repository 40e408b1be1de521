import Glibc
import Platform

/// A directory of its own for one test, removed with it.
final class Scratch: Sendable {
  let path: String
  let root: OpenDirectory
  private let name: RelativePath
  private let parent: OpenDirectory

  init() throws {
    var template = Array("/tmp/ckbackup-platform-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp", "/tmp") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    root = try OpenDirectory(path)
    parent = try OpenDirectory("/tmp")
    name = try RelativePath(String(path.dropFirst("/tmp/".count)))
  }

  deinit { try? parent.removeTree(name) }

  func write(_ name: String, _ bytes: [UInt8]) throws {
    try root.openForWriting(RelativePath(name), flags: O_CREAT).write(bytes, at: 0)
  }

  func read(_ name: String) throws -> [UInt8] {
    let file = try root.open(RelativePath(name))
    return try file.bytes(at: 0, count: file.size)
  }
}

/// The error number that a call fails with; 0 where it does not fail.
func errorCode(_ body: () throws(SystemError) -> Void) -> Int32 {
  do throws(SystemError) {
    try body()
    return 0
  } catch { return error.code }
}

/// Repeatable random numbers (SplitMix64, Steele, Lea and Flood 2014).
struct Seeded: RandomNumberGenerator {
  var state: UInt64

  /// Numbers from a fresh seed, which is printed so that a failure can be repeated.
  init(_ test: String = #function) {
    state = UInt64.random(in: 0...UInt64.max)
    print("\(test): seed \(state)")
  }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}
