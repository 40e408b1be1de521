import Checkpoints
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
  /// Where given: files that belong to other processes by their names are left out.
  public var rank: Int?

  /// A selection; by default everything.
  public init(part: Part = .all, include: [String] = [], exclude: [String] = [], rank: Int? = nil) {
    self.part = part
    self.include = include
    self.exclude = exclude
    self.rank = rank
  }

  /// Whether nothing is left out.
  public var isEverything: Bool { part == .all && include.isEmpty && exclude.isEmpty && rank == nil }

  /// Whether a path of this class is wanted.
  ///
  /// - Parameter owners: tells whose file it is.
  func contains(_ path: RelativePath, fileClass: FileClass?, owners: RankFiles) -> Bool {
    switch part {
    case .all: break
    case .weights: if fileClass != .weights { return false }
    case .training: if fileClass != .training { return false }
    case .record: return false
    }
    if let rank, let owner = owners.rank(of: path), owner != rank { return false }
    if !include.isEmpty, !include.contains(where: { Self.matches($0, path) }) { return false }
    return !exclude.contains { Self.matches($0, path) }
  }

  /// A glob without a slash matches any name of the path; one with a slash matches from the top, the whole path or a directory above
  /// it. `**` stands for any number of directories.
  static func matches(_ glob: String, _ path: RelativePath) -> Bool {
    let parts = PathText.components(glob)
    var pattern = parts.filter { $0 != "." }
    let isAnchored = PathText.isAbsolute(glob) || parts.count > 1
    if !isAnchored { pattern.insert("**", at: 0) }
    return begins(path.components[...], pattern[...])
  }

  /// Whether the first components of a path match all of a pattern.
  private static func begins(_ path: ArraySlice<ArraySlice<UInt8>>, _ pattern: ArraySlice<String>) -> Bool {
    guard let first = pattern.first else { return true }
    if first == "**" {
      let rest = pattern.dropFirst().drop { $0 == "**" }
      return rest.isEmpty ? !path.isEmpty : path.indices.contains { begins(path[$0...], rest) }
    }
    guard let name = path.first, fnmatch(first, cName(name), 0) == 0 else { return false }
    return begins(path.dropFirst(), pattern.dropFirst())
  }
}
