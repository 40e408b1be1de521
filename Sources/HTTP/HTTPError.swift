/// Why a request got no answer. `reason` is the transport's own sentence, without any secret.
public enum HTTPError: Error, Equatable, Sendable {
  /// The request cannot be sent as it is: a broken URL, a line break in a header.
  case invalidRequest(reason: String)
  /// The host's or the proxy's name has no address.
  case resolve(reason: String)
  /// No connection came about, in time or at all.
  case connect(reason: String)
  /// The TLS handshake failed.
  case tls(reason: String)
  /// One of the two does not take the other's certificate, or a file of certificates cannot be used: that does not pass.
  case certificate(reason: String)
  /// The transfer stood still for longer than `HTTPOptions.stallSeconds`.
  case stalled(reason: String)
  /// The connection broke while the request or its answer was on the way.
  case interrupted(reason: String)
  /// The answer's body has more bytes than the request was ready to take.
  case bodyTooLarge(limit: Int)
  /// The answer's header has more bytes than `HTTPOptions.headerLimit`.
  case headersTooLarge(limit: Int)
  /// The client was closed.
  case closed
  /// Any other failure, with libcurl's number for it.
  case other(code: Int, reason: String)
}
