import FoundationEssentials
import Glibc
import Platform
import Repository

/// Small gzip streams that expand to very much. A process of its own makes them, since that takes the memory that readers must not take.
enum Bombs {
  static let count = 5

  /// Writes them below `scratch`, where there are none yet.
  static func prepare(_ scratch: String) throws {
    let folder = "\(scratch)/bombs"
    guard access(folder, F_OK) != 0 else { return }
    let start = "{\"format\":1,\"chunks\":{\"id\":[],\"length\":[],\"offset\":[0"
    let contents: [[UInt8]] = [
      [UInt8](repeating: 0x20, count: 300 << 20),
      text(start, ",0", 30 << 20, ""),
      text(start, ",0", 7 << 20, "]}}"),
      text(start, ",[]", 5 << 20, "]}}"),
      text(start, ",1000000", 1 << 20, "]}}"),
    ]
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (number, content) in contents.enumerated() {
      try Data(try Gzip.compress(content)).write(to: URL(filePath: "\(folder)/\(number)"))
    }
  }

  /// The bytes of one; `scratch` is the folder they were made in, or one in it.
  static func read(_ number: Int, _ scratch: String) throws -> [UInt8] {
    let own = "\(scratch)/bombs"
    let folder = access(own, F_OK) == 0 ? own : "\(scratch)/../bombs"
    return Array(try Data(contentsOf: URL(filePath: "\(folder)/\(number)")))
  }

  private static func text(_ start: String, _ repeated: String, _ count: Int, _ end: String) -> [UInt8] {
    var bytes = Array(start.utf8)
    let block = Array(String(repeating: repeated, count: 1 << 10).utf8)
    for _ in 0..<count >> 10 { bytes += block }
    return bytes + Array(end.utf8)
  }
}
