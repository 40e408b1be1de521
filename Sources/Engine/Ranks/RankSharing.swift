import Platform
import Repository

/// Who of many processes sends which file: a pure function of what each of them sees, so that all come to the same answer.
enum RankSharing {
  /// The files that `rank` sends, where `views` are those that are known.
  ///
  /// The largest file goes first, to whoever has the least to send of those that see it. A file is the same for two processes where
  /// path, size and time are the same.
  static func files(of rank: Int, in views: [Int: RankView]) -> Set<RelativePath> {
    let ranks = views.keys.sorted()
    // Thousands of processes mostly see the same: each of their files is then looked at once.
    var kinds: [(view: RankView, seers: [Int])] = []
    for (index, rank) in ranks.enumerated() {
      guard let view = views[rank] else { continue }
      if let kind = kinds.firstIndex(where: { $0.view == view }) {
        kinds[kind].seers.append(index)
      } else {
        kinds.append((view, [index]))
      }
    }
    var seenBy: [RankView.File: [Int]] = [:]
    for (kind, (view, _)) in kinds.enumerated() {
      for file in view.files { seenBy[file, default: []].append(kind) }
    }
    let ordered = seenBy.sorted { a, b in
      (b.key.size, a.key.path, a.key.modified) < (a.key.size, b.key.path, b.key.modified)
    }
    var load = [Int](repeating: 0, count: ranks.count)
    var files = Set<RelativePath>()
    for (file, seenBy) in ordered {
      var owner: Int?
      for kind in seenBy {
        for seer in kinds[kind].seers {
          if let least = owner, (load[least], least) <= (load[seer], seer) { continue }
          owner = seer
        }
      }
      guard let owner else { continue }
      // A file costs something even where it is empty.
      let (sum, isTooLarge) = load[owner].addingReportingOverflow(max(file.size, 1))
      load[owner] = isTooLarge ? .max : sum
      if ranks[owner] == rank { files.insert(file.path) }
    }
    return files
  }
}
