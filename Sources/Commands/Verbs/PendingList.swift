import Engine
import Platform
import Repository

/// `ckbackup list --pending`
enum PendingList {
  private struct Document: Encodable {
    struct Group: Encodable {
      let run: String
      let step: Int
      let group: String?
      let groupToken: String
      let worldSize: Int
      let storedRanks: [Int]
      let begunRanks: [Int]
      let absentRanks: [Int]
      let since: String
      let latest: String
    }
    let groups: [Group]
    let packs: Int
    let packBytes: Int
    let uploads: Int?
    let condemnedObjects: Int
  }

  static func run(_ repository: Repository, _ environment: Environment) async throws -> ExitCode {
    let pending = try await Pending.load(repository)
    let run = environment.arguments.operands.first
    let groups = pending.groups.filter { group in
      run.map { group.group.run.utf8.elementsEqual($0.utf8) } ?? true
    }
    for line in lines(groups, pending, environment) { environment.console.result(line) }
    try environment.console.json(
      Document(
        groups: groups.map { group in
          .init(
            run: group.group.run, step: group.group.step, group: group.name, groupToken: group.group.token,
            worldSize: group.worldSize, storedRanks: group.stored,
            begunRanks: group.begun, absentRanks: group.absent, since: group.since.rfc3339,
            latest: group.latest.rfc3339)
        }, packs: pending.packs.count, packBytes: pending.packs.reduce(0) { $0 + $1.size },
        uploads: pending.uploads?.count, condemnedObjects: pending.condemned))
    return .done
  }

  /// The group as its processes were told it.
  private static func name(_ group: Pending.Group) -> String {
    switch group.name {
    case nil: "group with the token \(group.group.token)"
    case "": "no --group"
    case let name?: "group \(name)"
    }
  }

  private static func lines(_ groups: [Pending.Group], _ pending: Pending, _ environment: Environment)
    -> [String]
  {
    var lines: [String] = []
    for group in groups {
      var words: [String] = []
      if !group.begun.isEmpty { words.append("\(Quantity.ranks(group.begun)) began and did not finish") }
      if !group.absent.isEmpty { words.append("\(Quantity.ranks(group.absent)) did not begin") }
      if words.isEmpty {
        words.append("all are there: push one of them again, which commits or says why not")
      }
      lines.append(
        "\(group.group.run)@\(group.group.step), \(Self.name(group)): \(group.stored.count) of \(group.worldSize) ranks stored since \(group.since.localMinute), last at \(group.latest.localMinute); \(words.joined(separator: ", "))"
      )
    }
    if !pending.packs.isEmpty {
      let bytes = Quantity.format(bytes: pending.packs.reduce(0) { $0 + $1.size })
      let oldest = pending.packs.map(\.modified).min()?.localMinute ?? ""
      lines.append(
        "\(Quantity.count(pending.packs.count, "pack")), \(bytes), belong to no snapshot (the oldest of \(oldest)): the next push uses them, or prune removes them"
      )
    }
    let uploads = pending.uploads?.count ?? 0
    if pending.uploads == nil { lines.append("unfinished uploads may not be listed with these credentials") }
    if uploads > 0 {
      lines.append(
        "\(Quantity.count(uploads, "upload")) not finished: prune ends those that are older than the grace period"
      )
    }
    if pending.condemned > 0 {
      lines.append("\(Quantity.count(pending.condemned, "object")) wait for a prune to remove them")
    }
    return lines.isEmpty ? ["nothing is pending"] : lines
  }
}
