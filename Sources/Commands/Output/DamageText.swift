import Engine
import Repository

// Damage as the user sees it.

extension Damage {
  /// What to do about damage of these objects, each sentence on a line of its own; `repaired` where a repair has just done what it can.
  static func cure(_ objects: [String], repaired: Bool = false) -> [String] {
    var lines: [String] = []
    let deletions = objects.filter { $0.hasPrefix(ObjectKey.deletions) }
    if !deletions.isEmpty {
      lines.append(
        "Delete \(list(deletions)) while no prune runs: what was to be removed by it the next prune finds again."
      )
    }
    let objects = objects.filter { !$0.hasPrefix(ObjectKey.deletions) }
    if objects.isEmpty { return lines }
    lines.append(
      "Push the checkpoint again from a machine that still has it: what is damaged or missing is sent anew.")
    if objects.contains(where: { $0.hasPrefix(ObjectKey.packs) }) {
      lines.append(
        repaired
          ? "Or repair the packs from a place that has more: ckbackup repair --from REPO or --from DIR."
          : "Or bring the packs back: ckbackup repair --from REPO (a copy of this repository) or --from DIR (the checkpoint's files)."
      )
    }
    // A copy takes a snapshot whose record alone is damaged for one that is there.
    if objects.contains(where: { !$0.hasPrefix(ObjectKey.packs) && !$0.hasPrefix(ObjectKey.records) }) {
      lines.append(
        "Or bring the whole snapshot back from a repository OTHER that has it: ckbackup copy SNAPSHOT --repo OTHER --to REPO. A repair brings only packs back."
      )
    }
    return lines + ["Other snapshots and files are not concerned."]
  }

  /// What to say of an object that is none of a repository's.
  static func words(ofStray key: String) -> String {
    "\(key) is nothing that ckbackup wrote: delete it, as far as it is nothing of yours."
  }

  /// The same for damage that was found.
  static func cure(of damages: [Damage], repaired: Bool = false) -> [String] {
    cure(damages.map(\.object), repaired: repaired)
  }

  /// What is wrong, and whom that hurts.
  var sentences: [String] {
    let fault: String
    switch kind {
    case .missing: fault = "\(object) is missing"
    case .wrongSize(let expected, let found): fault = "\(object) has \(found) bytes instead of \(expected)"
    case .replaced(let expected, let found):
      fault = "\(object) was replaced: its ETag is \(found) instead of \(expected)"
    case .wrongContent: fault = "\(object) is damaged: its bytes do not match their digests"
    case .unreadable(let detail): fault = "\(object) cannot be used: \(detail)"
    }
    let whom = snapshots.isEmpty ? "" : "; needed by \(Self.list(snapshots))"
    return [fault + whom] + (files.isEmpty ? [] : ["  files: \(Self.list(files))"])
  }

  /// Some names, and how many more there are.
  static func list(_ items: [String]) -> String {
    items.count <= 8
      ? items.joined(separator: ", ")
      : items.prefix(8).joined(separator: ", ") + " and \(items.count - 8) more"
  }
}
