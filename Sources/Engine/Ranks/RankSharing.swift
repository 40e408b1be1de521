import Platform
import Repository

/// Who of many processes sends which file: a pure function of what each of them sees, so that all come to the same answer.
enum RankSharing {
  /// The files that `rank` sends, where `views` are those that are known.
  ///
  /// The largest file goes first, to whoever has the least to send of those that see it. A file is the same for two processes where
  /// path, size and time are the same.
  static func files(of rank: Int, in views: [Int: RankView]) -> Set<RelativePath> {
    var seenBy: [RankView.File: [Int]] = [:]
    for (rank, view) in views.sorted(by: { $0.key < $1.key }) {
      for file in view.files { seenBy[file, default: []].append(rank) }
    }
    let ordered = seenBy.sorted { a, b in
      (b.key.size, a.key.path, a.key.modified) < (a.key.size, b.key.path, b.key.modified)
    }
    var load: [Int: Int] = [:]
    var files = Set<RelativePath>()
    for (file, ranks) in ordered {
      guard let owner = ranks.min(by: { (load[$0] ?? 0, $0) < (load[$1] ?? 0, $1) }) else { continue }
      // A file costs something even where it is empty.
      let (sum, isTooLarge) = (load[owner] ?? 0).addingReportingOverflow(max(file.size, 1))
      load[owner] = isTooLarge ? .max : sum
      if owner == rank { files.insert(file.path) }
    }
    return files
  }
}
