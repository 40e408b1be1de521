import FoundationEssentials
import Glibc
import Platform

/// The folder of real checkpoints, `Tests/Fixtures`.
public let fixtures = #filePath.split(separator: "/").dropLast(2).map { "/" + $0 }.joined() + "/Fixtures"

/// A directory that is gone, with all that is in it, when its owner is.
public final class Scratch: Sendable {
  /// The directory's absolute path.
  public let path: String

  /// Makes an empty directory below `parent`.
  public init(below parent: String = "/tmp") throws {
    var template = Array("\(parent)/ckbackup-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp", parent) }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and the directories above it; gives its path.
  @discardableResult
  public func write(_ name: String, _ bytes: some Collection<UInt8>) throws -> String {
    let file = try prepare(name)
    try Data(bytes).write(to: URL(filePath: file))
    return file
  }

  /// Writes a file of UTF-8 text and the directories above it; gives its path.
  @discardableResult
  public func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

  /// The bytes of a file.
  public func read(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(filePath: "\(path)/\(name)")))
  }

  /// Copies a fixture in; gives its path.
  @discardableResult
  public func copy(_ fixture: String, as name: String) throws -> String {
    let target = try prepare(name)
    try FileManager.default.copyItem(atPath: "\(fixtures)/\(fixture)", toPath: target)
    return target
  }

  /// Removes a file, or a directory with all that is in it.
  public func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: "\(path)/\(name)") }

  /// Makes the directories above `name`; gives its path.
  private func prepare(_ name: String) throws -> String {
    let directory = ([path] + name.split(separator: "/").dropLast().map(String.init)).joined(separator: "/")
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    return "\(path)/\(name)"
  }
}
