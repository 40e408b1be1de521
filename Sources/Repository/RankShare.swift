import Digests
import Platform

/// Many processes that push one checkpoint together: which checkpoint, and which of them belong together.
public struct RankGroup: Hashable, Comparable, Sendable {
  /// The run.
  public let run: String
  /// The training step.
  public let step: Int
  /// 16 hexadecimal digits that stand for the group's name.
  public let token: String

  /// A group. Everybody who names it alike, for example by the job's id, is in it.
  public init(run: String, step: Int, name: String) {
    self.run = run
    self.step = step
    token = Self.token(of: name)
  }

  /// The token that stands for a name.
  static func token(of name: String) -> String { hex(SHA256.hash(Array(name.utf8)).prefix(8)) }

  fileprivate init(run: String, step: Int, token: String) {
    self.run = run
    self.step = step
    self.token = token
  }

  /// The folder of its shares.
  public var folder: String {
    "\(ObjectKey.parts)\(ObjectKey.encode(run))/\(ObjectKey.name(step: step, id: token))/"
  }

  /// Orders by run, step and token.
  public static func < (a: RankGroup, b: RankGroup) -> Bool {
    (a.run, a.step, a.token) < (b.run, b.step, b.token)
  }
}

/// The place of one process's share until the commit: `parts/RUN/STEP12-GROUP/RANK-of-WORLD/`.
public struct RankShare: Hashable, Sendable {
  /// The processes that push together.
  public let group: RankGroup
  /// Which of them this is, from 0.
  public let rank: Int
  /// How many they are.
  public let worldSize: Int

  /// No more processes push one checkpoint.
  public static let largestWorld = 1 << 16

  /// The share of a process.
  public init(group: RankGroup, rank: Int, worldSize: Int) {
    self.group = group
    self.rank = rank
    self.worldSize = worldSize
  }

  /// Whether `rank` can be one of `worldSize` processes.
  public static func isValid(rank: Int, worldSize: Int) -> Bool {
    (1...largestWorld).contains(worldSize) && (0..<worldSize).contains(rank)
  }

  /// The folder.
  public var folder: String { "\(group.folder)\(rank)-of-\(worldSize)/" }
  /// What the process has stored and knows: written last, so that the share is whole when this is there.
  public var part: String { folder + "part.json" }
  /// The manifest of the files that it has stored.
  public var manifest: String { folder + "manifest.json.gz" }
  /// The files that it sees; processes that see the same have the same `digest`.
  public func view(_ digest: String) -> String { "\(folder)view-\(digest).json.gz" }
  /// What the process tells of the run, in the form of an archive record's `record.json`. The record's files lie beside it, as
  /// `attachment` names them.
  public var record: String { folder + "record.json" }
  /// The name in the folder of the record's file with this index.
  public static func attachment(_ index: Int) -> String { "file-\(index)" }

  /// The digest in the name of a view, or nil for any other name.
  public static func digest(ofView name: String) -> String? {
    guard name.hasPrefix("view-"), name.hasSuffix(".json.gz") else { return nil }
    let digest = String(name.dropFirst("view-".count).dropLast(".json.gz".count))
    return ObjectKey.isSnapshotID(digest) ? digest : nil
  }

  /// The share that an object belongs to, and the object's name in it; nil where the key is no share's.
  public static func parse(_ key: String) -> (share: RankShare, name: String)? {
    let parts = key.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 5, "\(parts[0])/" == ObjectKey.parts, let run = ObjectKey.decode(parts[1]) else {
      return nil
    }
    let group = parts[2].split(separator: "-", omittingEmptySubsequences: false)
    let numbers = parts[3].split(separator: "-", omittingEmptySubsequences: false)
    guard group.count == 2, let step = Int(group[0]), ObjectKey.steps.contains(step),
      ObjectKey.isSnapshotID(String(group[1])), ObjectKey.isValid(run: run),
      numbers.count == 3, let rank = Int(numbers[0]), numbers[1] == "of", let worldSize = Int(numbers[2]),
      isValid(rank: rank, worldSize: worldSize)
    else { return nil }
    let share = RankShare(
      group: .init(run: run, step: step, token: String(group[1])), rank: rank, worldSize: worldSize)
    // A share has just one spelling.
    return share.folder + parts[4] == key ? (share, String(parts[4])) : nil
  }
}
