import Glibc
import Platform
import Repository

/// Which files of a snapshot are wanted.
public struct Selection: Sendable {
  /// The part of a snapshot.
  public enum Part: String, Sendable, CaseIterable {
    case all
    case weights
    case training
    case record
  }

  /// The part.
  public var part: Part
  /// Where not empty: only paths that match one of these globs.
  public var include: [String]
  /// Paths that match one of these globs are left out.
  public var exclude: [String]

  /// A selection; by default everything.
  public init(part: Part = .all, include: [String] = [], exclude: [String] = []) {
    self.part = part
    self.include = include
    self.exclude = exclude
  }

  /// Whether nothing is left out.
  public var isEverything: Bool { part == .all && include.isEmpty && exclude.isEmpty }

  /// Whether a path of this class is wanted.
  func contains(_ path: RelativePath, fileClass: FileClass?) -> Bool {
    switch part {
    case .all: break
    case .weights: if fileClass != .weights { return false }
    case .training: if fileClass != .training { return false }
    case .record: return false
    }
    if !include.isEmpty, !include.contains(where: { Self.matches($0, path) }) { return false }
    return !exclude.contains { Self.matches($0, path) }
  }

  /// A glob matches a whole path, one of its leading directories, or, where it holds no `/`, any component.
  static func matches(_ glob: String, _ path: RelativePath) -> Bool {
    var candidates: [[UInt8]] = [path.bytes]
    var parent = path.parent
    while let directory = parent {
      candidates.append(directory.bytes)
      parent = directory.parent
    }
    if !glob.utf8.contains(UInt8(ascii: "/")) { candidates += path.components.map(Array.init) }
    return candidates.contains { fnmatch(glob, $0.map { CChar(bitPattern: $0) } + [0], FNM_PATHNAME) == 0 }
  }
}
