import Platform
import Synchronization

/// Credentials that are remembered, and fetched anew before they end.
///
/// Five minutes before the end, or at half of what is left where that is less than ten minutes, one request fetches new ones while the
/// others go on with the old; where that fails, the old ones do until they end, and the place is asked again every 30 seconds. At most one
/// question is under way, however many requests wait for its answer.
public final class RenewingCredentials: CredentialsProvider {
  /// Seconds before the end at which new credentials are fetched.
  private static let margin = 300.0
  /// Seconds between a renewal that failed and the next.
  private static let pause = 30.0

  private struct State {
    var known: FoundCredentials?
    /// When the place is asked again.
    var due = Timestamp(nanoseconds: .max)
    /// The question that is under way and its number.
    var question: Task<Void, Never>?
    var number = 0
    var waiting: [Int: CheckedContinuation<FoundCredentials, any Error>] = [:]
    var lastWaiting = 0
  }

  private let source: any CredentialsSource
  private let clock: @Sendable () -> Timestamp
  private let state = Mutex(State())

  /// Remembers what a place gives; `clock` is this machine's.
  public init(
    _ source: any CredentialsSource, clock: @escaping @Sendable () -> Timestamp = { Timestamp.now() }
  ) {
    self.source = source
    self.clock = clock
  }

  /// The credentials of the moment. Throws `CredentialsError` where there are none, or the old ones have ended and there are no new ones.
  public func credentials() async throws -> Credentials { try await found().credentials }

  /// Where they come from.
  public func origin() async throws -> String { try await found().origin }

  /// Asks the place at once, unless somebody else did since `refused` was given out.
  public func renewed(insteadOf refused: Credentials) async throws -> Credentials? {
    if let known = state.withLock({ $0.known?.credentials }), known != refused { return known }
    let new = try await ask().credentials
    return new == refused ? nil : new
  }

  /// The credentials of the moment with all that is known of them.
  public func found() async throws -> FoundCredentials {
    let now = clock()
    let (known, isDue) = state.withLock { ($0.known, now >= $0.due && $0.question == nil) }
    guard let known, isValid(known, at: now) else { return try await ask() }
    guard isDue else { return known }
    do {
      return try await ask()
    } catch let error as CredentialsError {
      let now = clock()
      guard isValid(known, at: now) else { throw error }
      state.withLock { $0.due = now.adding(seconds: Self.pause) }
      return known
    }
  }

  private func isValid(_ found: FoundCredentials, at now: Timestamp) -> Bool {
    found.expires.map { now < $0 } ?? true
  }

  /// Waits for the answer to the question that is under way, or to one that begins now. A cancelled task waits no longer, and a question
  /// that nobody waits for any more is cancelled.
  private func ask() async throws -> FoundCredentials {
    let ticket = state.withLock { state in
      state.lastWaiting += 1
      return state.lastWaiting
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let isCancelled = state.withLock { state in
          if Task.isCancelled { return true }
          state.waiting[ticket] = continuation
          if state.question == nil {
            state.number += 1
            state.question = Task { [number = state.number] in await self.fetch(number) }
          }
          return false
        }
        if isCancelled { continuation.resume(throwing: CancellationError()) }
      }
    } onCancel: {
      let continuation = state.withLock { state in
        let continuation = state.waiting.removeValue(forKey: ticket)
        if state.waiting.isEmpty {
          state.question?.cancel()
          state.question = nil
        }
        return continuation
      }
      continuation?.resume(throwing: CancellationError())
    }
  }

  /// Asks the place and answers everybody who waits. The answer to a question that was given up goes to nobody.
  private func fetch(_ number: Int) async {
    let result: Result<FoundCredentials, any Error>
    do {
      result = .success(try await source.find())
    } catch {
      result = .failure(error)
    }
    let now = clock()
    let waiting = state.withLock { state in
      guard state.number == number, state.question != nil else {
        return [CheckedContinuation<FoundCredentials, any Error>]()
      }
      state.question = nil
      if case .success(let found) = result {
        state.known = found
        state.due = due(found, now)
      }
      defer { state.waiting = [:] }
      return Array(state.waiting.values)
    }
    for continuation in waiting { continuation.resume(with: result) }
  }

  private func due(_ found: FoundCredentials, _ now: Timestamp) -> Timestamp {
    var seconds = found.recheck ?? .infinity
    if let expires = found.expires {
      let left = expires.seconds(since: now)
      seconds = min(seconds, max(1, left - Self.margin, left / 2))
    }
    return now.adding(seconds: seconds)
  }
}

extension Timestamp {
  /// The moment so many seconds later; far ones saturate.
  func adding(seconds: Double) -> Timestamp {
    guard seconds.isFinite, abs(seconds) < 4e9 else {
      return Timestamp(nanoseconds: seconds < 0 ? .min : .max)
    }
    let (sum, overflow) = nanoseconds.addingReportingOverflow(Int64(seconds * 1e9))
    return Timestamp(nanoseconds: overflow ? (seconds < 0 ? .min : .max) : sum)
  }
}
