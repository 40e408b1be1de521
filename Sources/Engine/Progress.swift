import Platform
import Synchronization

/// How far a command is, for whoever shows it.
public final class Progress: Sendable {
  /// What is being done.
  public enum Phase: String, Sendable {
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
  }

  private let state = Mutex(State())

  /// Progress that has not begun.
  public init() {}

  /// The state now.
  public var now: State { state.withLock { $0 } }

  package func begin(_ phase: Phase, total: Int = 0) {
    state.withLock {
      $0.phase = phase
      $0.total = total
      $0.done = 0
      $0.awaited = []
    }
  }
  func wait(for ranks: [Int], of worldSize: Int) {
    state.withLock {
      $0.awaited = ranks
      $0.worldSize = worldSize
    }
  }
  func add(done: Int) { state.withLock { $0.done += done } }
  func add(transferred: Int) { state.withLock { $0.transferred += transferred } }
}
