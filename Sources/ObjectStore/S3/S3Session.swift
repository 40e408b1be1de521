import Digests
import HTTP
import Platform
import Synchronization

/// A request as the store thinks of it: relative keys, nothing encoded or signed yet.
struct S3Request: Sendable {
  let operation: StoreOperation
  let method: String
  /// The object, or nil for the bucket.
  var key: String?
  /// What errors say that the request was about.
  var subject: String
  var query: [(name: String, value: String)] = []
  var headers: [(name: String, value: String)] = []
  var body = Payload()
  var sink = HTTPRequest.Sink.memory(limit: 1 << 20)
  /// What the body is said to be, where that shall not be the truth.
  var payloadHash: String?

  /// A request about an object.
  init(_ operation: StoreOperation, _ method: String, key: String) {
    self.operation = operation
    self.method = method
    self.key = key
    subject = key
  }

  /// A request about the bucket; `subject` is a prefix or a key that it concerns.
  init(_ operation: StoreOperation, _ method: String, bucketFor subject: String) {
    self.operation = operation
    self.method = method
    self.subject = subject
  }
}

/// Signs and sends requests, no more at once than the server takes, and puts right by itself what an answer says how to: another
/// region, a clock that is off, credentials that were renewed meanwhile.
final class S3Session: Sendable {
  let settings: S3Settings
  private let provider: any CredentialsProvider
  private let transport: any HTTPTransport
  let clock: @Sendable () -> Timestamp
  private let hashing: BlockingPool
  let limit: RequestLimit
  private struct Corrections {
    var region: String
    /// Nanoseconds that the server's clock is ahead of ours.
    var offset: Int64 = 0
  }
  private let corrections: Mutex<Corrections>

  init(
    _ settings: S3Settings, _ provider: any CredentialsProvider, _ transport: any HTTPTransport,
    hashing: BlockingPool, clock: @escaping @Sendable () -> Timestamp
  ) {
    self.settings = settings
    self.provider = provider
    self.transport = transport
    self.hashing = hashing
    self.clock = clock
    limit = RequestLimit(most: settings.connections)
    corrections = Mutex(Corrections(region: settings.region))
  }

  /// The server's time as far as it is known.
  var now: Timestamp {
    Timestamp(nanoseconds: clock().nanoseconds &+ corrections.withLock { $0.offset })
  }

  /// The region that requests are signed for by now.
  var region: String { corrections.withLock { $0.region } }
  /// Seconds that requests are signed ahead of this machine's clock by now.
  var clockOffset: Double { corrections.withLock { Double($0.offset) / 1e9 } }

  /// A session that is corrected as this one and signs with another secret.
  func withSecret(_ secret: String) async throws -> S3Session {
    let mine = try await provider.credentials()
    let other = Credentials(accessKey: mine.accessKey, secretKey: secret, sessionToken: mine.sessionToken)
    let session = S3Session(settings, StaticCredentials(other), transport, hashing: hashing, clock: clock)
    let known = corrections.withLock { $0 }
    session.corrections.withLock { $0 = known }
    return session
  }

  /// Sends a request and gives the answer of a successful status. Throws `StoreError` for any other.
  func send(_ request: S3Request) async throws -> HTTPResponse {
    let response = try await exchange(request)
    guard response.isSuccess else { throw error(S3Problem(response), request) }
    return response
  }

  /// Sends a request and gives its answer, whatever the status; once more where the first answer told what to put right.
  func exchange(_ request: S3Request) async throws -> HTTPResponse {
    let before = corrections.withLock { $0 }
    let used = try await provider.credentials()
    let response = try await sendOnce(request, used)
    guard !response.isSuccess else { return response }
    let problem = S3Problem(response)
    if correct(problem, since: before) { return try await sendOnce(request, used) }
    guard problem.meansOldCredentials, let renewed = try await provider.renewed(insteadOf: used) else {
      return response
    }
    return try await sendOnce(request, renewed)
  }

  /// Whether another session speaks to the same server with the same credentials.
  func sharesServer(with other: S3Session) async throws -> Bool {
    guard settings.endpoint.url == other.settings.endpoint.url else { return false }
    return try await provider.credentials().accessKey == other.provider.credentials().accessKey
  }

  /// The error of an answer.
  func error(_ problem: S3Problem, _ request: S3Request) -> StoreError {
    let ahead = problem.date.map { Int(clock().seconds(since: $0).rounded()) } ?? 0
    return problem.error(
      request.operation, key: request.subject, bucket: settings.bucket, endpoint: settings.endpoint.url,
      ahead: ahead)
  }

  /// An answer that is not what S3 gives.
  func notS3(_ detail: String) -> StoreError { .notS3(endpoint: settings.endpoint.url, detail: detail) }

  /// Takes what an answer tells of region and time. True where the request may do better now.
  private func correct(_ problem: S3Problem, since before: Corrections) -> Bool {
    corrections.withLock { state in
      if let region = problem.region, region != before.region,
        [301, 307, 308, 400, 403].contains(problem.status)
      {
        state.region = region
        return true
      }
      // Not every server has a code of its own for a clock that is off: rclone says AccessDenied for one that is behind.
      guard problem.status == 400 || problem.status == 403, let date = problem.date else { return false }
      let offset = date.nanoseconds &- clock().nanoseconds
      let change = Double(offset &- before.offset) / 1e9
      guard abs(change) > 600 || problem.code == "RequestTimeTooSkewed" && abs(change) > 1 else {
        return false
      }
      state.offset = offset
      return true
    }
  }

  private func sendOnce(_ request: S3Request, _ credentials: Credentials) async throws -> HTTPResponse {
    try Task.checkCancellation()
    let payload = try await payloadHash(request)
    let leave = try await limit.take()
    var verdict = RequestLimit.Verdict.unknown
    defer { limit.giveBack(leave, verdict) }
    // Signed only now, since the wait may have been long.
    let corrected = corrections.withLock { $0 }
    let (host, path) = settings.address(request.key, region: corrected.region)
    let fields =
      [(name: "Host", value: host), (name: "X-Amz-Content-Sha256", value: payload)] + request.headers
      + settings.fields(for: request.operation, key: request.key)
    let signed = Signer(credentials: credentials, region: corrected.region).sign(
      request.method, path: path, query: request.query, headers: fields, payload: payload,
      at: Timestamp(nanoseconds: clock().nanoseconds &+ corrected.offset))
    let query = request.query.isEmpty ? "" : "?" + canonicalQuery(request.query)
    let url = "\(settings.endpoint.scheme)://\(host)\(percentEncoded(path, keeping: "/"))\(query)"
    do {
      let response = try await transport.send(
        HTTPRequest(
          request.method, url, headers: fields + signed.headers, body: request.body, sink: request.sink))
      verdict = response.isSuccess ? .accepted : S3Problem(response).meansTooMuch ? .tooMuch : .unknown
      return response
    } catch let error as HTTPError {
      switch (error, request.sink) {
      case (.bodyTooLarge(let limit), .memory) where request.operation == .get:
        throw StoreError.tooLarge(key: request.subject, limit: limit)
      default:
        throw error.storeError(request.operation, key: request.subject, endpoint: settings.endpoint.url)
      }
    }
  }

  private func payloadHash(_ request: S3Request) async throws -> String {
    if let said = request.payloadHash { return said }
    guard settings.signPayload else { return Signer.unsignedPayload }
    guard request.body.count > 0 else { return Signer.emptyPayload }
    return try await hashing.run { [body = request.body] in hex(SHA256.hash(each: [body])[0]) }
  }
}
