import Platform
import Synchronization

/// How far a command is, for whoever shows it.
public final class Progress: Sendable {
  /// What is being done.
  public enum Phase: String, Sendable, CaseIterable {
    case check = "checking"
    case save = "waiting for the save to end"
    case read = "reading"
    case compare = "comparing with the repository"
    case wait = "waiting for the other processes"
    case send = "sending"
    case commit = "committing"
    case prepare = "preparing"
    case fetch = "fetching"
    case finish = "finishing"
    case verify = "verifying"
    case repair = "repairing"
    case export = "writing weights"
    case examine = "trying"
  }

  /// One look at the state.
  public struct State: Sendable {
    /// What is being done.
    public var phase = Phase.prepare
    /// Bytes to work through in this phase, 0 where that is not known.
    public var total = 0
    /// Bytes worked through so far.
    public var done = 0
    /// Bytes that went over the wire so far.
    public var transferred = 0
    /// The processes that are waited for, in order.
    public var awaited: [Int] = []
    /// How many processes there are, where some are waited for.
    public var worldSize = 0
    /// What goes wrong with the store just now, so that requests are tried again; nil where nothing does.
    public var trouble: String?
  }

  private struct Content {
    var state = State()
    /// Parts of the work that go on side by side, where there are several.
    var parts: [Progress] = []
    var hasEnded = false
  }

  private let content = Mutex(Content())

  /// Progress that has not begun.
  public init() {}

  /// The state now. Of several parts that go on side by side it is that of the one that is furthest behind, with what all of them sent.
  public var now: State {
    let (own, parts) = content.withLock { ($0.state, $0.parts) }
    let states = parts.filter { !$0.hasEnded }.map(\.now)
    guard var last = states.min(by: { ($0.phase.order, $0.done) < ($1.phase.order, $1.done) }) else {
      return own
    }
    last.transferred = parts.reduce(0) { $0 + $1.now.transferred }
    last.trouble = own.trouble
    return last
  }

  private var hasEnded: Bool { content.withLock { $0.hasEnded } }

  package func begin(_ phase: Phase, total: Int = 0) {
    content.withLock {
      $0.state.phase = phase
      $0.state.total = total
      $0.state.done = 0
      $0.state.awaited = []
    }
  }
  func wait(for ranks: [Int], of worldSize: Int) {
    content.withLock {
      $0.state.awaited = ranks
      $0.state.worldSize = worldSize
    }
  }
  /// Tells that a request failed and is tried again.
  public func stumble(over trouble: String) { content.withLock { $0.state.trouble = trouble } }
  /// Tells that a request which had failed is answered, or given up.
  public func recover() { content.withLock { $0.state.trouble = nil } }
  func add(done: Int) { content.withLock { $0.state.done += done } }
  func add(transferred: Int) { content.withLock { $0.state.transferred += transferred } }

  /// From now on it shows several parts of the work, until they have ended.
  func follow(_ parts: [Progress]) { content.withLock { $0.parts = parts } }
  /// Ends this part of the work.
  func end() { content.withLock { $0.hasEnded = true } }
}

extension Progress.Phase {
  /// Its place among the phases of a push.
  fileprivate var order: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
