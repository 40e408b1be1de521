import ObjectStore
import Repository

/// What a rule of the bucket does to one repository, in words.
struct LifecycleWords {
  /// What the repository's keys begin with in the bucket.
  let place: String

  /// The repository's folders, what is in them, and whether backups are lost without it.
  private static let parts: [(prefix: String, noun: String, isNeeded: Bool)] = [
    (ObjectKey.packs, "packs", true), (ObjectKey.manifests, "manifests", true),
    (ObjectKey.snapshots, "markers", true), (ObjectKey.records, "records", true),
    (ObjectKey.repository, "the repository's description", true),
    (ObjectKey.deletions, "lists of what prunes delete", true), (ObjectKey.ledger, "ledgers", false),
    (ObjectKey.parts, "shares of ranks that wait for others", false),
    (ObjectKey.doctor, "what doctor left", false),
  ]

  /// What the rule does, a clause for each action.
  func effects(_ rule: LifecycleRule) -> [String] {
    let nouns = touched(rule).map(\.noun)
    let all = nouns.count == Self.parts.count ? "everything" : Self.list(nouns)
    let narrowed = rule.isNarrowed ? ", as far as its tags and sizes say" : ""
    return rule.actions.map { action in
      switch action {
      case .abortUploads(let days?):
        "ends unfinished uploads \(days == 1 ? "1 day" : "\(days) days") after they began"
      case .abortUploads: "ends unfinished uploads"
      case .delete(let when): "deletes \(all): \(when)\(narrowed)"
      case .removeDeleteMarkers: "clears away the marks of deletions that nothing is left of"
      case .move(let name, let when): "moves \(all) to \(name): \(when)\(narrowed)"
      case .deleteOldVersions(let when):
        "deletes versions of \(all) that were overwritten or deleted: \(when)\(narrowed)"
      case .moveOldVersions(let name, let when):
        "moves versions of \(all) that were overwritten or deleted to \(name): \(when)\(narrowed)"
      case .other(let name): "does something that ckbackup does not know (\(name))"
      }
    }
  }

  /// Why backups are lost, or cannot be read, where the rule stays; none where it is not in force.
  func warnings(_ rule: LifecycleRule) -> [String] {
    guard rule.isEnabled else { return [] }
    let name = rule.id.isEmpty ? "a rule without a name" : "the rule \(rule.id.debugDescription)"
    let needed = touched(rule).filter(\.isNeeded)
    return rule.actions.compactMap { action in
      switch action {
      case .delete(let when) where !needed.isEmpty:
        return
          "\(name) deletes \(Self.list(needed.map(\.noun))) (\(when)): take it away or give it another prefix, or backups are lost"
      case .move(let storageClass, _) where ArchiveClass(storageClass) != nil:
        let others = needed.filter { $0.prefix != ObjectKey.packs }
        guard !others.isEmpty else { return nil }
        return
          "\(name) moves \(Self.list(others.map(\.noun))) to \(storageClass), where no command can read them: keep it to \(place)packs/"
      case .abortUploads(let days?) where days < 2:
        return "\(name) ends uploads after a day: a push that is interrupted for longer begins its pack anew"
      default: return nil
      }
    }
  }

  private func touched(_ rule: LifecycleRule) -> [(prefix: String, noun: String, isNeeded: Bool)] {
    Self.parts.filter { rule.touches(place + $0.prefix) }
  }

  private static func list(_ nouns: [String]) -> String {
    guard let last = nouns.last else { return "nothing" }
    return nouns.count == 1 ? last : "\(nouns.dropLast().joined(separator: ", ")) and \(last)"
  }
}
