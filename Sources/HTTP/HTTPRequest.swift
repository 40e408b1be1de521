import Platform

/// One request: what is asked of which URL, the bytes that go with it, and where the answer's bytes shall go.
public struct HTTPRequest: Sendable {
  /// Where the body of a successful answer (status 200 to 299) goes. Other bodies always go to memory, up to
  /// `HTTPOptions.errorBodyLimit` bytes.
  public enum Sink: Sendable {
    /// Into `HTTPResponse.body`; more than `limit` bytes are an error.
    case memory(limit: Int)
    /// Straight into the caller's memory; more bytes than it has room for are an error, and none is written past its end.
    case buffer(WritableSlice)
  }

  /// The method, in capitals.
  public var method: String
  /// The absolute URL, `http` or `https`, percent-encoded.
  public var url: String
  /// Header fields in the order in which they are sent. `Host` and `Content-Length` are made by the client.
  public var headers: [(name: String, value: String)]
  /// The bytes to send. PUT and POST send a length even where there are none.
  public var body: Payload
  /// Where the answer's bytes go.
  public var sink: Sink

  /// A request; without a body and with 1 MiB of answer at most unless told otherwise.
  public init(
    _ method: String, _ url: String, headers: [(name: String, value: String)] = [], body: Payload = Payload(),
    sink: Sink = .memory(limit: 1 << 20)
  ) {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
    self.sink = sink
  }
}

/// Whatever carries requests to a server: the client, or a test's script.
public protocol HTTPTransport: Sendable {
  /// Sends a request and gives the answer, whatever its status. Throws `HTTPError`, or `CancellationError` where the task was cancelled.
  func send(_ request: HTTPRequest) async throws -> HTTPResponse
}
