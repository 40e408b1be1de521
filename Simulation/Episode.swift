import Engine
import Glibc
import ObjectStore
import Platform
import Repository

/// A promise that was broken.
struct Broken: Error {
  let what: String
}

/// One run of a few actors on one repository, by a seed, and the look at the promises afterwards.
final class Episode: @unchecked Sendable {
  // Sendable because the scheduler runs everything on the main thread.

  private enum Job {
    case push(checkpoint: Int, step: Int)
    case prune(RetentionPolicy)
    case verify(Verify.Depth)
    case restore
    /// Takes all snapshots to a second repository.
    case copy
    /// One process of a group that pushes a checkpoint together.
    case rank(Int, of: Group)
  }

  /// Processes that push one checkpoint together.
  private struct Group {
    let checkpoint: Int
    let step: Int
    let size: Int
  }

  /// A push that reported success.
  private struct Acknowledged {
    let key: String
    let checkpoint: Int
    let milestone: Bool
  }

  let scheduler: Scheduler
  let memory: MemoryStore
  /// Where copies go.
  private let mirror: MemoryStore
  private let shortListings: ShortListings
  let checkpoints: Checkpoints
  let scratch: String
  private var acknowledged: [Acknowledged] = []
  var broken: [String] = []
  private var jobs: [Int: Job] = [:]
  private var nextActor = 0
  private var groups: [Group] = []
  /// The keys of snapshots that a copy reported as copied.
  private var copied: Set<String> = []
  private var hasPruned = false
  /// Whether commands begin at about the same hour of some nights, so that pushes meet the prunes that condemn and delete.
  private let isNightly: Bool
  private let readsAhead: Bool
  static let grace = 86_400.0
  /// From one night to the next, in seconds: what one prune condemns the next one removes.
  private static let day = 90_000

  init(seed: UInt64, checkpoints: Checkpoints, scratch: String) {
    let scheduler = Scheduler(seed: seed)
    readsAhead = seed % 2 == 0
    self.scheduler = scheduler
    shortListings = ShortListings(seed: seed, scheduler: scheduler)
    self.checkpoints = checkpoints
    self.scratch = scratch
    isNightly = scheduler.pick(3) > 0
    memory = MemoryStore(now: { scheduler.now })
    mirror = MemoryStore(now: { scheduler.now })
    takeOverJobs(for: scheduler)
  }

  /// Runs the episode and gives every promise that it broke.
  func run() -> [String] {
    perform { episode in
      for store in [episode.memory, episode.mirror] {
        _ = try await Repository.create(
          in: store, chunkSize: 1 << 16, surroundings: episode.surroundings(skew: 0))
      }
    }
    for job in plan() {
      start(job, after: isNightly ? scheduler.pick(4) * Self.day + scheduler.pick(1200) : 0)
    }
    scheduler.run(until: { self.jobs.isEmpty }) { actor in
      // Whoever started the command starts it again.
      if let job = self.jobs.removeValue(forKey: actor) { self.start(job) }
    }
    if !jobs.isEmpty { broken.append("\(jobs.count) actors wait for ever") }
    scheduler.isFaulty = false
    // What the network still carries arrives.
    scheduler.run(until: { false }, onDeath: { _ in })
    perform { try await $0.check() }
    return broken
  }

  private func plan() -> [Job] {
    var plan: [Job] = (0..<2 + scheduler.pick(3)).map { _ in
      .push(checkpoint: scheduler.pick(checkpoints.count), step: 1 + scheduler.pick(3))
    }
    let policies = [RetentionPolicy(last: 1), RetentionPolicy(every: 2), RetentionPolicy(last: 5)]
    // Some content comes once more, when a prune may have forgotten it.
    if isNightly { plan += plan.filter { _ in scheduler.pick(2) == 0 } }
    for _ in 0..<scheduler.pick(3) { plan.append(.prune(policies[scheduler.pick(policies.count)])) }
    for _ in 0..<scheduler.pick(2) { plan.append(.verify(scheduler.pick(2) == 0 ? .quick : .deep)) }
    for _ in 0..<scheduler.pick(3) { plan.append(.restore) }
    for _ in 0..<scheduler.pick(3) { plan.append(.copy) }
    if scheduler.pick(2) == 0 {
      let group = Group(
        checkpoint: scheduler.pick(checkpoints.count), step: 1 + scheduler.pick(3),
        size: 2 + scheduler.pick(2))
      groups.append(group)
      for rank in 0..<group.size { plan.append(.rank(rank, of: group)) }
    }
    return plan
  }

  /// Starts an actor with a clock of its own, hours off, in so many seconds.
  private func start(_ job: Job, after delay: Int = 0) {
    let actor = nextActor
    nextActor += 1
    jobs[actor] = job
    if case .prune = job { hasPruned = true }
    let skew = Int64(scheduler.pick(8 * 3600)) - 4 * 3600
    Task.detached { [self] in
      if delay > 0 { await scheduler.sleep(actor, delay) }
      do {
        try await self.run(job, as: actor, skew: skew)
      } catch let error as Broken {
        broken.append(error.what)
      } catch {
        // A command may fail; it may not lose anything.
        scheduler.count("command failed")
      }
      jobs[actor] = nil
    }
  }

  /// A repository as an actor with a clock of its own reaches it.
  func open(
    _ base: MemoryStore, as actor: Int, skew: Int64, decayed: [String: Int] = [:], shortened: [String] = []
  ) async throws -> Repository {
    let simulated = SimulatedStore(
      base: base, scheduler: scheduler, actor: actor, decayed: decayed, shortListings: shortListings,
      shortened: shortened)
    let store = RetryingStore(
      simulated, sleep: { [scheduler] _ in _ = await scheduler.turn(actor, nil) {} }, random: { 0.5 },
      clock: { [scheduler] in Double(scheduler.now.seconds) })
    return try await Repository.open(in: store, cacheRoot: nil, surroundings: surroundings(skew: skew))
  }

  private func run(_ job: Job, as actor: Int, skew: Int64) async throws {
    let shortened =
      switch job {
      case .prune: [""]
      // Of a pack that is not listed a verify can only say that it is missing.
      case .verify, .restore: [ObjectKey.snapshots]
      case .push, .copy, .rank: [String]()
      }
    let repository = try await open(memory, as: actor, skew: skew, shortened: shortened)
    switch job {
    case .push(let checkpoint, let step):
      let report = try await push(checkpoint, step, to: repository)
      acknowledged.append(
        .init(key: report.snapshot.key, checkpoint: checkpoint, milestone: isMilestone(checkpoint, step)))
    case .prune(let policy):
      for _ in 0..<3 {
        do {
          _ = try await Prune(repository, policy: policy, run: nil, grace: Self.grace).run()
        } catch EngineError.shortListing(let key) {
          scheduler.count("prune: short listing noticed")
          if !shortListings.hasShortened { throw Broken(what: "a prune says that \(key) is not listed") }
        }
        // The next night, or the one after it.
        let today = Int(scheduler.now.seconds - Scheduler.start) % Self.day
        await scheduler.sleep(
          actor,
          isNightly ? Self.day - today + scheduler.pick(1200) : 3600 * (8 + scheduler.pick(30)))
      }
    case .verify(let depth):
      let report = try await Verify(repository, resources: resources, progress: Progress()).run(depth)
      // What a prune has removed meanwhile nobody needs; and what it says of markers may be that a listing lacks them.
      let needed = try await neededObjects()
      if let damage = report.damages.first(where: {
        needed.contains($0.object)
          && (!shortListings.hasShortened || !$0.object.hasPrefix(ObjectKey.snapshots))
      }) {
        throw Broken(what: "a verify found \(damage.object) \(damage.kind)")
      }
    case .restore:
      let snapshots = try await repository.snapshots().snapshots
      guard !snapshots.isEmpty else { return }
      try await restore(
        snapshots[scheduler.pick(snapshots.count)], from: repository, to: "\(scratch)/out-\(actor)")
    case .copy:
      let target = try await open(mirror, as: actor, skew: skew)
      let report = try await copy(repository, to: target)
      copied.formUnion(report.copied.map(\.key))
    case .rank(let rank, let group):
      switch try await push(rank, of: group, to: repository) {
      case .committed(let snapshot), .present(let snapshot):
        acknowledged.append(
          .init(
            key: snapshot.key, checkpoint: group.checkpoint,
            milestone: isMilestone(group.checkpoint, group.step)))
      case .awaiting: break
      }
    }
  }

  /// Everybody who pushes a checkpoint as a step agrees on whether that is a milestone: of two that change the labels of one snapshot
  /// in the same moment, one may win.
  private func isMilestone(_ checkpoint: Int, _ step: Int) -> Bool { (checkpoint + step) % 3 == 0 }

  func push(
    _ checkpoint: Int, _ step: Int, to repository: Repository
  ) async throws -> Push.Report {
    var request = Push.Request(path: checkpoints.path(checkpoint))
    request.run = "run"
    request.step = step
    request.isMilestone = isMilestone(checkpoint, step)
    request.sizes = .init(pack: 100_000, part: 40_000)
    return try await Push(repository, resources: resources, progress: Progress(), grace: Self.grace).run(
      request)
  }

  private func push(_ rank: Int, of group: Group, to repository: Repository) async throws
    -> RankPush.Report.Outcome
  {
    var request = Push.Request(path: checkpoints.path(group.checkpoint))
    request.run = "run"
    request.step = group.step
    request.sizes = .init(pack: 100_000, part: 40_000)
    request.isMilestone = isMilestone(group.checkpoint, group.step)
    request.rank = .init(rank, of: group.size, group: "job", patience: 600)
    return try await RankPush(repository, resources: resources, progress: Progress(), grace: Self.grace)
      .run(request).outcome
  }

  private func copy(_ source: Repository, to target: Repository) async throws -> Copy.Report {
    try await Copy(
      from: source, to: target, resources: resources, progress: Progress(), grace: Self.grace, part: 40_000
    ).run()
  }

  func restore(_ snapshot: Snapshot, from repository: Repository, to path: String) async throws {
    do {
      _ = try await Restore(repository, resources: resources, progress: Progress()).run(
        snapshot, to: path, options: .init())
    } catch EngineError.damaged(let damages) {
      // What a prune has forgotten may go while it is restored, and nothing else.
      if try await unfailing().snapshot(at: snapshot.key)?.manifest == snapshot.manifest {
        throw Broken(what: "\(snapshot.label) cannot be restored: \(damages.map(\.object))")
      }
      return
    }
    if !checkpoints.isSame(snapshot.id, as: path) {
      throw Broken(what: "\(snapshot.label) was restored wrongly")
    }
    checkpoints.remove(path)
  }

  /// The repository, without any fault.
  func unfailing() async throws -> Repository {
    try await Repository.open(in: memory, cacheRoot: nil, surroundings: surroundings(skew: 0))
  }

  /// The packs, manifests and records that the snapshots need now.
  private func neededObjects() async throws -> Set<String> {
    let repository = try await unfailing()
    var keys = Set<String>()
    for (snapshot, manifest) in try await repository.manifests(of: repository.snapshots().snapshots) {
      keys.formUnion([snapshot.key, snapshot.manifest.key, snapshot.record + "record.json"])
      keys.formUnion((try? manifest.get())?.packs.map(\.key) ?? [])
    }
    return keys
  }

  /// Holds the repository to the promises, with no more faults.
  private func check() async throws {
    let repository = try await unfailing()
    let listing = try await repository.snapshots()
    for error in listing.unreadable { broken.append("a marker is unreadable: \(error)") }
    let keys = Set(listing.snapshots.map(\.key))
    for snapshot in listing.snapshots where !checkpoints.holds(snapshot.id) {
      broken.append("\(snapshot.key) is committed and is none of the checkpoints")
    }
    for push in acknowledged where !keys.contains(push.key) && (push.milestone || !hasPruned) {
      broken.append("\(push.key) was reported as done and is gone")
    }
    for push in acknowledged
    where checkpoints.index(of: ObjectKey.parse(marker: push.key)?.id ?? "") != push.checkpoint {
      broken.append("\(push.key) was reported as done and is another checkpoint")
    }
    let report = try await Verify(repository, resources: resources, progress: Progress()).run(.deep)
    for damage in report.damages {
      broken.append("after all \(damage.object) is \(damage.kind), needed by \(damage.snapshots)")
    }
    try await checkMirror(repository)
    // Run again, all processes of a group come to its snapshot.
    for group in groups {
      var last: RankPush.Report.Outcome?
      for rank in 0..<group.size { last = try await push(rank, of: group, to: repository) }
      if case .awaiting(let ranks)? = last { broken.append("a group awaits \(ranks) for ever") }
    }
    if let snapshot = listing.snapshots.first {
      try await restore(snapshot, from: repository, to: "\(scratch)/out-last")
    }
    // Pushed once more, everything is there at once; and prunes leave nothing that is not needed.
    _ = try await push(0, 10, to: repository)
    let again = try await push(0, 10, to: repository)
    if !again.wasPresent { broken.append("a push right after the same push sent something") }
    for _ in 0..<4 {
      _ = try await Prune(repository, policy: RetentionPolicy(last: 1), run: nil, grace: Self.grace).run()
      scheduler.advance(90_000)
    }
    let last = try await Verify(repository, resources: resources, progress: Progress()).run(.quick)
    if !last.damages.isEmpty { broken.append("the prunes at the end took \(last.damages.map(\.object))") }
    if last.unusedBytes > 0 { broken.append("the prunes at the end left \(last.unusedBytes) bytes") }
    let rest = try await memory.listUploads("").count + memory.list("deletions/").objects.count
    if rest > 0 { broken.append("the prunes at the end left \(rest) uploads and records") }
    try await checkDamage()
  }

  /// Holds the copies to the promises: what was copied is there and whole, and copying again brings the rest.
  private func checkMirror(_ repository: Repository) async throws {
    let target = try await Repository.open(in: mirror, cacheRoot: nil, surroundings: surroundings(skew: 0))
    let there = Set(try await target.snapshots().snapshots.map(\.key))
    for key in copied.subtracting(there) { broken.append("\(key) was copied and is gone") }
    let report = try await copy(repository, to: target)
    if !report.refused.isEmpty { broken.append("\(report.refused.map(\.label)) cannot be copied") }
    let again = Set(try await target.snapshots().snapshots.map(\.key))
    let missing = Set(try await repository.snapshots().snapshots.map(\.key)).subtracting(again)
    if !missing.isEmpty { broken.append("a copy did not bring \(missing)") }
    for damage in try await Verify(target, resources: resources, progress: Progress()).run(.deep).damages {
      broken.append("in the copy \(damage.object) is \(damage.kind)")
    }
  }

  /// Runs work to its end with nothing beside it.
  private func perform(_ work: @escaping @Sendable (Episode) async throws -> Void) {
    var isDone = false
    let finish = { isDone = true }
    nonisolated(unsafe) let finished = finish
    Task.detached { [self] in
      do { try await work(self) } catch let error as Broken { broken.append(error.what) } catch {
        broken.append("\(error)")
      }
      finished()
    }
    scheduler.run(until: { isDone }, onDeath: { _ in })
    if !isDone { broken.append("a command without faults does not end") }
  }

  func surroundings(skew: Int64) -> Surroundings {
    Surroundings(
      now: { [scheduler] in Timestamp(seconds: scheduler.now.seconds + skew) },
      random: { [scheduler] in scheduler.bytes($0) },
      sleep: { [scheduler] _ in _ = await scheduler.turn(Scheduler.nobody, nil) {} })
  }

  /// Small buffers, enough to read ahead or not, and no thread but this one.
  var resources: Resources {
    let inline = BlockingPool(threads: 0)
    return Resources(
      buffers: BufferPool(bufferSize: 1 << 16, count: readsAhead ? 14 : 6), disk: inline, processors: inline,
      connections: 3)
  }
}
