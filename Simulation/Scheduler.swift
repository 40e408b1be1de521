import Glibc
import ObjectStore
import Platform
import TestSupport

/// Runs every task of this process on one thread, and decides by a seed which store call of which actor comes next.
///
/// All jobs of Swift's concurrency come to `jobs` through the runtime's hook and run in the order they came; only when none is left
/// is one waiting call chosen. So an episode is a function of its seed.
final class Scheduler: @unchecked Sendable {
  // Sendable because the hook and the run loop keep every job, and so every use of this object, on the main thread.

  /// What becomes of a call.
  enum Outcome {
    case done
    /// The request never reached the store.
    case lostRequest
    /// The store did the work, and the answer was lost.
    case lostAnswer
    /// The store says no, for good: a right that is missing, a full disk, a quota.
    case refused
    /// What is read has a flipped bit on the way.
    case flipped
    /// What is read ends early.
    case short
    /// The store keeps the first bytes of what is written, and the connection breaks.
    case torn
    /// The request arrives twice, the second time late.
    case repeated
    /// The store answers that a completion is done, and it is not.
    case lied
  }

  /// A call that waits for its turn.
  private struct Waiting {
    let actor: Int
    let operation: StoreOperation?
    /// Not before this its turn comes.
    var since: Timestamp
    /// Whether its process may be stopped meanwhile.
    let mayFreeze: Bool
    /// Whether it was held up on its way already.
    var wasHeld = false
    /// Does the work of a call whose actor died, as a store does with a request that is on its way.
    let finish: () -> Void
    let continuation: UnsafeContinuation<Outcome, Never>
  }

  /// Whose calls have no actor any more: requests that the network delivers late.
  static let nobody = -1

  /// How long a call may take, in seconds: far less than half of the grace period.
  static let longestCall = 3600.0

  /// When an episode begins, in seconds since 1970.
  static let start: Int64 = 1_700_000_000

  private(set) var now = Timestamp(seconds: start)
  private var random: Seeded
  private var waiting: [Waiting] = []
  private var dead: Set<Int> = []
  /// Whether calls fail and actors die.
  var isFaulty = true
  /// Whether every third read has a flipped bit.
  private let flipsOften: Bool
  /// The packs that an actor has read a flipped bit of.
  private var flipped: Set<String> = []
  /// How often each thing happened.
  private(set) var counts: [String: Int] = [:]
  private var jobs: [UnownedJob] = []

  init(seed: UInt64) {
    random = Seeded(seed: seed)
    flipsOften = random.next() % 3 == 0
  }

  func enqueue(_ job: UnownedJob) { jobs.append(job) }

  /// A number below `bound`.
  func pick(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }
  /// So many random bytes.
  func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) } }
  private func chance(_ percent: Double) -> Bool { Double.random(in: 0..<100, using: &random) < percent }

  func count(_ what: String) { counts[what, default: 0] += 1 }

  /// Lets time go by while nothing is under way.
  func advance(_ seconds: Int64) { now = Timestamp(seconds: now.seconds + seconds) }

  /// Waits for the call's turn. An actor that has died waits for ever.
  func turn(
    _ actor: Int, _ operation: StoreOperation?, mayFreeze: Bool = false, finish: @escaping () -> Void
  ) async -> Outcome {
    await withUnsafeContinuation { continuation in
      guard !dead.contains(actor) else { return }
      waiting.append(
        Waiting(
          actor: actor, operation: operation, since: now, mayFreeze: mayFreeze, finish: finish,
          continuation: continuation))
    }
  }

  /// Lets so many seconds go by for one actor, at least.
  func sleep(_ actor: Int, _ seconds: Int) async {
    let _: Outcome = await withUnsafeContinuation { continuation in
      guard !dead.contains(actor) else { return }
      waiting.append(
        Waiting(
          actor: actor, operation: nil, since: Timestamp(seconds: now.seconds + Int64(seconds)),
          mayFreeze: false, finish: {}, continuation: continuation))
    }
  }

  /// Runs until `isOver`, or until nothing is left to do; `onDeath` hears of each actor that dies.
  func run(until isOver: () -> Bool, onDeath: (Int) -> Void) {
    while true {
      while !jobs.isEmpty {
        let job = jobs.removeFirst()
        job.runSynchronously(on: MainActor.sharedUnownedExecutor)
      }
      if isOver() || waiting.isEmpty { return }
      step(onDeath)
    }
  }

  private func step(_ onDeath: (Int) -> Void) {
    // Most calls are quick, some take minutes, and the oldest is never left behind for long.
    let late = waiting.firstIndex { now.seconds(since: $0.since) > Self.longestCall }
    if let next = waiting.map(\.since).min(), next > now { now = next }
    let ready = waiting.indices.filter { waiting[$0].since <= now }
    let index = late ?? ready[pick(ready.count)]
    // The last look before a commit or a deletion asks for heads: what lies between look and deed is where it matters.
    if isFaulty, waiting[index].mayFreeze, chance(waiting[index].operation == .head ? 5 : 0.8) {
      // The process is stopped, or its machine is: the request leaves it many hours later.
      count("process stopped")
      let actor = waiting[index].actor
      let until = Timestamp(seconds: now.seconds + Int64(3600 * (chance(50) ? 1 + pick(8) : 12 + pick(30))))
      for other in waiting.indices where waiting[other].actor == actor { waiting[other].since = until }
      return
    }
    // What changes something may be on its way for long, while others do whole commands.
    let changes = waiting[index].operation == .put || waiting[index].operation == .delete
    if isFaulty, waiting[index].operation != nil, !waiting[index].wasHeld, chance(changes ? 8 : 1) {
      count("call held up")
      waiting[index].wasHeld = true
      waiting[index].since = Timestamp(seconds: now.seconds + Int64(pick(Int(Self.longestCall))))
      return
    }
    now = Timestamp(seconds: now.seconds + Int64(chance(2) ? pick(3000) : pick(5)))
    let actor = waiting[index].actor
    if isFaulty, actor != Self.nobody, chance(0.6) {
      count("actor died")
      dead.insert(actor)
      let dropped = waiting.filter { $0.actor == actor }
      waiting.removeAll { $0.actor == actor }
      for call in dropped where chance(50) { call.finish() }
      onDeath(actor)
      return
    }
    let call = waiting.remove(at: index)
    call.continuation.resume(returning: outcome(of: call.operation))
  }

  /// Whether an actor's read of an object may have a flipped bit: once only, since what was wrong twice is taken for damage.
  func mayFlip(_ key: String, _ actor: Int) -> Bool { flipped.insert("\(actor) \(key)").inserted }

  private func outcome(of operation: StoreOperation?) -> Outcome {
    if isFaulty, operation == .read, flipsOften, chance(33) {
      count("read: flipped")
      return .flipped
    }
    guard isFaulty, let operation, chance(8) else { return .done }
    let outcome: Outcome =
      switch (operation, pick(20)) {
      case (_, 0): .refused
      case (.read, 1...3): .flipped
      case (.read, 4...5): .short
      case (.put, 1...3), (.uploadPart, 1...3): .torn
      case (.complete, 1...3): .lied
      case (.put, 4...7), (.uploadPart, 4...7), (.complete, 4...7), (.delete, 4...7),
        (.beginMultipart, 4...7),
        (.abort, 4...7):
        .repeated
      case (_, 8...13): .lostAnswer
      default: .lostRequest
      }
    count("\(operation.rawValue): \(outcome)")
    return outcome
  }
}
