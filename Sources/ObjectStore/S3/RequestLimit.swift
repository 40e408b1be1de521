import Synchronization

/// How many requests may be under way at once: fewer when the server says that it is too busy, more again while it does not.
///
/// Additive increase and multiplicative decrease, as TCP shares a line (RFC 5681): half as many after a refusal, one more after as
/// many successes as may be under way.
struct RequestWindow {
  /// No more than this, and where it begins.
  let most: Int
  private var size: Double
  /// How often it was cut so far.
  private(set) var cuts = 0

  /// A window of `most` requests, at least one.
  init(most: Int) {
    self.most = max(1, most)
    size = Double(self.most)
  }

  /// Requests that may be under way at once, 1 to `most`.
  var limit: Int { Int(size) }

  /// A request went through.
  mutating func grow() { size = min(Double(most), size + 1 / size) }

  /// A request was refused that had begun when there were `seen` cuts. Those that were under way together cut once, together.
  mutating func cut(seen: Int) {
    guard seen == cuts else { return }
    size = max(1, size / 2)
    cuts += 1
  }
}

/// Lets requests through as a `RequestWindow` says; the others wait in the order they came.
final class RequestLimit: Sendable {
  /// What the server made of a request.
  enum Verdict {
    case accepted
    /// It is asked too much of: 429, 503, SlowDown.
    case tooMuch
    /// Nothing that says how busy it is.
    case unknown
  }

  /// Leave for one request, to be given back.
  struct Leave: Sendable { fileprivate let cuts: Int }

  private struct Waiter {
    let id: Int
    let continuation: CheckedContinuation<Leave, any Error>
  }
  private struct State {
    var window: RequestWindow
    var running = 0
    var waiters: [Waiter] = []
    var nextID = 0

    mutating func leave() -> Leave? {
      guard running < window.limit else { return nil }
      running += 1
      return Leave(cuts: window.cuts)
    }
  }
  private let state: Mutex<State>

  /// A limit that begins with `most` requests at once.
  init(most: Int) { state = Mutex(State(window: RequestWindow(most: most))) }

  /// Requests that may be under way at once now.
  var limit: Int { state.withLock { $0.window.limit } }

  /// Waits for leave to send a request. Throws `CancellationError` where the task is cancelled while it waits.
  func take() async throws -> Leave {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let outcome: Result<Leave, any Error>? = state.withLock { state in
          // A cancellation from here on finds the waiter, since it needs the lock too.
          if Task.isCancelled { return .failure(CancellationError()) }
          if let leave = state.leave() { return .success(leave) }
          state.waiters.append(Waiter(id: id, continuation: continuation))
          return nil
        }
        if let outcome { continuation.resume(with: outcome) }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
      }
      waiter?.continuation.resume(throwing: CancellationError())
    }
  }

  /// Ends a request and lets waiting ones through.
  func giveBack(_ leave: Leave, _ verdict: Verdict) {
    let next = state.withLock { state in
      state.running -= 1
      switch verdict {
      case .accepted: state.window.grow()
      case .tooMuch: state.window.cut(seen: leave.cuts)
      case .unknown: break
      }
      var next: [(Waiter, Leave)] = []
      while let waiter = state.waiters.first, let leave = state.leave() {
        state.waiters.removeFirst()
        next.append((waiter, leave))
      }
      return next
    }
    for (waiter, leave) in next { waiter.continuation.resume(returning: leave) }
  }
}
