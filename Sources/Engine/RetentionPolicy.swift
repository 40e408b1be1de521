import Platform
import Repository

/// Which snapshots of a run a prune keeps. A pure function of markers and the time.
public struct RetentionPolicy: Equatable, Sendable {
  /// Keep so many of the newest steps.
  public var last: Int?
  /// Keep so many of the best by a metric; several such rules may stand beside each other.
  public var best: [Best]
  /// Keep every step that this number divides.
  public var every: Int?
  /// Keep what was pushed within so many seconds.
  public var within: Double?
  /// Keep what carries one of these tags.
  public var tags: [String]
  /// Let the files go that only training needs, of what is kept and was pushed longer ago than so many seconds.
  public var thinAfter: Double?
  /// By what a run's best snapshot is told, which is never thinned.
  public var ranking = Ranking()

  /// A rule of `--keep-best`.
  public struct Best: Equatable, Sendable {
    /// How many.
    public var count: Int
    /// By what.
    public var ranking: Ranking

    /// The best `count` by a ranking.
    public init(count: Int, ranking: Ranking) {
      self.count = count
      self.ranking = ranking
    }
  }

  /// A policy of these rules; without any it keeps everything.
  public init(
    last: Int? = nil, best: [Best] = [], every: Int? = nil, within: Double? = nil, tags: [String] = []
  ) {
    self.last = last
    self.best = best
    self.every = every
    self.within = within
    self.tags = tags
  }

  /// Whether no rule says what to keep.
  public var isEmpty: Bool { last == nil && best.isEmpty && every == nil && within == nil && tags.isEmpty }

  /// What happens to one snapshot, and why.
  public struct Decision: Equatable, Sendable {
    /// The snapshot.
    public let snapshot: Snapshot
    /// Why it is kept; empty where it is not.
    public let reasons: [String]
    /// Whether its weights alone are kept.
    public var thins = false
    /// Whether it is kept.
    public var keeps: Bool { !reasons.isEmpty }
  }

  /// Decides on all snapshots of one run, in their order; `broken` are the keys of those that cannot be restored whole.
  ///
  /// A broken one is kept where a rule keeps it, since it may be repaired, and takes no other's place: of the others those stay that
  /// would stay if it were not there.
  public func decide(_ snapshots: [Snapshot], now: Timestamp, broken: Set<String>) -> [Decision] {
    let decisions = decide(snapshots, now: now)
    let others = decide(snapshots.filter { !broken.contains($0.key) }, now: now)
    let byKey = Dictionary(uniqueKeysWithValues: others.map { ($0.snapshot.key, $0) })
    return decisions.map { decision in
      byKey[decision.snapshot.key]
        ?? Decision(snapshot: decision.snapshot, reasons: decision.reasons, thins: false)
    }
  }

  /// Decides on all snapshots of one run, in their order.
  ///
  /// It never empties a run: the newest complete snapshot stays whatever the rules say, or the newest where none is complete.
  /// Milestones stay. These, the best, by a rule, a label or `ranking`, and what is incomplete are never thinned. Incomplete snapshots take no other's place among the last or the best.
  public func decide(_ snapshots: [Snapshot], now: Timestamp) -> [Decision] {
    let ordered = snapshots.sorted(by: SnapshotAddress.precedes)
    let complete = ordered.filter(\.complete)
    var reasons: [String: [String]] = [:]
    func keep(_ snapshot: Snapshot, _ reason: String) { reasons[snapshot.key, default: []].append(reason) }

    if isEmpty { for snapshot in ordered { keep(snapshot, "no rule was given") } }
    // What training may have to go on from, or somebody may want to see again as it was.
    var whole = Set(ordered.filter { !$0.complete || $0.isThinned || $0.tags.contains("best") }.map(\.key))
    if let best = ranking.order(complete).first { whole.insert(best.key) }
    if let resumable = complete.last(where: \.canResume) { whole.insert(resumable.key) }
    if let newest = complete.last ?? ordered.last {
      keep(newest, "newest")
      whole.insert(newest.key)
    }
    for snapshot in ordered where snapshot.milestone {
      keep(snapshot, "milestone")
      whole.insert(snapshot.key)
    }
    if let last { for snapshot in complete.suffix(max(0, last)) { keep(snapshot, "last \(last)") } }
    for rule in best {
      guard let (metric, _) = rule.ranking.chosen(for: complete) else { continue }
      for snapshot in rule.ranking.order(complete).prefix(max(0, rule.count)) {
        keep(snapshot, "best \(rule.count) by \(metric)")
        whole.insert(snapshot.key)
      }
    }
    if let every, every > 0 {
      for snapshot in complete where snapshot.step % every == 0 { keep(snapshot, "every \(every) steps") }
    }
    if let within {
      for snapshot in ordered where now.seconds(since: snapshot.time) <= within { keep(snapshot, "recent") }
    }
    for tag in tags {
      for snapshot in ordered where snapshot.tags.contains(tag) { keep(snapshot, "tag \(tag)") }
    }
    return ordered.map { snapshot in
      let reasons = reasons[snapshot.key] ?? []
      let isOld = thinAfter.map { now.seconds(since: snapshot.time) > $0 } ?? false
      return Decision(
        snapshot: snapshot, reasons: reasons,
        thins: isOld && !reasons.isEmpty && !whole.contains(snapshot.key))
    }
  }
}
