import Synchronization

/// An HTTP/1.1 client: libcurl's multi interface on one thread of its own, behind async calls.
///
/// Connections are kept and used again. Redirects are not followed. Cancelling the task of a request takes it off the wire.
public final class HTTPClient: HTTPTransport {
  private let loop: TransferLoop

  /// A client and its thread, which lives until `close` or until the client is gone.
  public init(_ options: HTTPOptions = HTTPOptions()) {
    loop = TransferLoop(options)
    loop.start()
  }

  deinit { loop.close() }

  /// Body bytes that were handed to and came from the network so far; bytes that were sent again count again.
  public var traffic: (sent: Int, received: Int) {
    (loop.traffic.sent.load(ordering: .relaxed), loop.traffic.received.load(ordering: .relaxed))
  }

  /// Sends a request and gives the answer, whatever its status.
  ///
  /// The request's body and buffer are in use until the call returns, also where it throws. Throws `HTTPError`, or
  /// `CancellationError` where the task was cancelled.
  public func send(_ request: HTTPRequest) async throws -> HTTPResponse {
    try Task.checkCancellation()
    try request.check()
    let transfer = Transfer(request, loop.traffic)
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { loop.begin(transfer, $0) }
    } onCancel: {
      loop.cancel(transfer)
    }
  }

  /// Ends the thread. Requests in flight and later ones fail with `HTTPError.closed`.
  public func close() { loop.close() }
}

/// Counters of body bytes that anybody may read while the loop writes them.
final class Traffic: Sendable {
  let sent = Atomic<Int>(0)
  let received = Atomic<Int>(0)
}

extension HTTPRequest {
  /// Refuses what would let a value end its line and begin another field.
  fileprivate func check() throws {
    func clean(_ text: String) -> Bool { !text.utf8.contains { $0 < 32 && $0 != 9 || $0 == 127 } }
    guard clean(method), clean(url), headers.allSatisfy({ clean($0.name) && clean($0.value) }) else {
      throw HTTPError.invalidRequest(reason: "a control character in the method, the URL or a header field")
    }
  }
}
