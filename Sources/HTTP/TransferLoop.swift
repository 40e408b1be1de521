import CCurl
import Platform
import Synchronization

/// The thread that owns libcurl's multi handle and everything in flight on it.
///
/// Other threads leave new and cancelled transfers under a lock and wake it.
final class TransferLoop: Sendable {
  private struct State {
    var arriving: [Transfer] = []
    var cancelled: [Transfer] = []
    var isClosing = false
    /// While true the multi handle exists and may be woken.
    var isOpen = true
  }

  /// Sendable because the loop's thread alone uses the handle, save for `curl_multi_wakeup`, which libcurl allows from any thread
  /// and which is called under the lock that guards `isOpen`.
  private struct Multi: @unchecked Sendable { let handle: UnsafeMutableRawPointer }

  let traffic = Traffic()
  private let options: HTTPOptions
  private let multi: Multi
  private let state = Mutex(State())

  init(_ options: HTTPOptions) {
    precondition(libraryStarted, "libcurl could not be initialised")
    guard let handle = curl_multi_init() else { preconditionFailure("out of memory: no libcurl handle") }
    self.options = options
    multi = Multi(handle: handle)
    ck_curl_multi_set_long(handle, CURLMOPT_PIPELINING, Int(CURLPIPE_NOTHING))
    ck_curl_multi_set_long(handle, CURLMOPT_MAX_HOST_CONNECTIONS, max(1, options.connections))
    ck_curl_multi_set_long(handle, CURLMOPT_MAXCONNECTS, max(1, options.connections))
  }

  func start() { startThread { self.run() } }

  func begin(_ transfer: Transfer, _ continuation: CheckedContinuation<HTTPResponse, any Error>) {
    transfer.continuation = continuation
    let isOpen = state.withLock { state in
      guard state.isOpen, !state.isClosing else { return false }
      state.arriving.append(transfer)
      curl_multi_wakeup(multi.handle)
      return true
    }
    if !isOpen { continuation.resume(throwing: HTTPError.closed) }
  }

  /// May come before `begin`: the mark on the transfer is what counts.
  func cancel(_ transfer: Transfer) {
    transfer.isCancelled.store(true, ordering: .sequentiallyConsistent)
    state.withLock { state in
      guard state.isOpen else { return }
      state.cancelled.append(transfer)
      curl_multi_wakeup(multi.handle)
    }
  }

  func close() {
    state.withLock { state in
      guard state.isOpen else { return }
      state.isClosing = true
      curl_multi_wakeup(multi.handle)
    }
  }

  private func run() {
    var flight = Flight(multi: multi.handle, options: options)
    while true {
      let (arriving, cancelled, isClosing) = state.withLock { state in
        defer {
          state.arriving = []
          state.cancelled = []
        }
        return (state.arriving, state.cancelled, state.isClosing)
      }
      for transfer in arriving { flight.start(transfer) }
      // One that is not in flight has ended, or has yet to arrive and will be seen to be cancelled then.
      for transfer in cancelled where transfer.easy != nil {
        flight.finish(transfer, .failure(CancellationError()))
      }
      if isClosing { break }
      flight.perform()
    }
    flight.close()
    let late = state.withLock { state in
      defer { state.arriving = [] }
      state.isOpen = false
      curl_multi_cleanup(multi.handle)
      return state.arriving
    }
    for transfer in late { transfer.continuation?.resume(throwing: HTTPError.closed) }
  }
}

/// libcurl's global state, set up once for the process; `let` globals are initialised exactly once.
let libraryStarted: Bool = ck_curl_start() == CURLE_OK
