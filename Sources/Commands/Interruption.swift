import Dispatch
import Glibc
import Synchronization

/// A command that a signal has ended.
struct InterruptedError: Error {
  /// What is kept, and what to do, after a semicolon.
  let rest: String
}

/// SIGINT and SIGTERM end a command by cancelling its task, so that nothing unfinished stays behind; a second one, or two seconds
/// without an end, ends the process at once.
enum Interruption {
  private static let patience = 1.8

  /// Runs `work`; a signal cancels it.
  ///
  /// - Throws: `CancellationError` where a signal ended it, else what `work` throws.
  static func cancelling<Result: Sendable>(
    _ work: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    let task = Task { try await work() }
    let count = Mutex(0)
    let sources = [SIGINT, SIGTERM].map { number -> any DispatchSourceSignal in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        let times = count.withLock { count in
          count += 1
          return count
        }
        if times > 1 { _exit(ExitCode.interrupted.rawValue) }
        task.cancel()
        DispatchQueue.global().asyncAfter(deadline: .now() + patience) {
          _exit(ExitCode.interrupted.rawValue)
        }
      }
      source.resume()
      return source
    }
    defer { for source in sources { source.cancel() } }
    do {
      return try await task.value
    } catch {
      // Whatever a cancelled command stumbled over, the signal was the cause.
      if count.withLock({ $0 > 0 }) { throw CancellationError() }
      throw error
    }
  }
}
