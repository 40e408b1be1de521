import Digests
import FoundationEssentials
import HTTP
import Platform
import Synchronization
import TestSupport
import Testing

@testable import ObjectStore

/// What a store makes of a server's answers.
struct S3AnswerTests {
  private static let bytes = Array("content".utf8)
  private static let far = "Date: Tue, 24 Nov 2026 05:42:54 GMT\r\n"

  /// An answer and whether the error that it becomes is the right one.
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let reply: TestServer.Reply
    let isRight: @Sendable (StoreError) -> Bool
    init(
      _ name: String, _ reply: TestServer.Reply, _ isRight: @escaping @Sendable (StoreError) -> Bool
    ) {
      (testDescription, self.reply, self.isRight) = (name, reply, isRight)
    }
  }

  static let cases: [Case] =
    ["SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "InvalidToken"].map { code in
      Case(code, .error(403, code)) { $0 == .credentials(code: code, message: "words") }
    }
    + [
      Case("missing object", .error(404, "NoSuchKey")) { $0 == .missing(key: "key") },
      Case("missing bucket", .error(404, "NoSuchBucket")) { $0 == .noBucket(name: "bucket") },
      Case("denied", .error(403, "AccessDenied")) {
        $0 == .denied(operation: "get", key: "key", message: "words")
      },
      Case("clock that cannot be put right", .error(403, "RequestTimeTooSkewed", headers: far)) {
        $0 == .clockSkew(seconds: -7200)
      },
      Case("region", .error(301, "PermanentRedirect", headers: "x-amz-bucket-region: eu-9\r\n")) {
        $0 == .wrongRegion(expected: "eu-9")
      },
      Case("redirect to somewhere else for now", .answer(307)) { $0.isTransient },
      Case("region that is none", .error(301, "PermanentRedirect", headers: "x-amz-bucket-region: x/y\r\n")) {
        if case .refused(_, _, 301, "PermanentRedirect", _) = $0 { true } else { false }
      },
      Case("SlowDown", .error(503, "SlowDown", headers: "Retry-After: 7\r\n")) {
        $0 == .transient(operation: "get", detail: "SlowDown: words", retryAfter: 7)
      },
      Case(
        "time to come again",
        .error(
          429, "TooManyRequests",
          headers: "Date: Tue, 24 Nov 2026 03:42:54 GMT\r\nRetry-After: Tue, 24 Nov 2026 03:43:24 GMT\r\n")
      ) {
        $0 == .transient(operation: "get", detail: "TooManyRequests: words", retryAfter: 30)
      },
      Case("code of its own with 503", .error(503, "Strange")) { $0.isTransient },
      Case("internal error", .error(500, "InternalError")) { $0.isTransient },
      Case("gateway's page", .answer(502, Array("<html>Bad gateway</html>".utf8))) { $0.isTransient },
      Case("too many requests", .answer(429)) { $0.isTransient },
      Case("full", .error(507, "XMinioStorageFull")) { if case .full = $0 { true } else { false } },
      Case("not implemented", .error(501, "NotImplemented")) { $0 == .unsupported(operation: "get") },
      Case("HTML page", .answer(404, Array("<!DOCTYPE html><html><body>Hello</body></html>".utf8))) {
        if case .notS3(_, let detail) = $0 { detail.contains("HTML page") } else { false }
      },
      Case("sign-in page", .answer(302, headers: "Location: https://portal.example/\r\n")) {
        if case .notS3(_, let detail) = $0 { detail.contains("https://portal.example/") } else { false }
      },
      Case(
        "sign-in page that says yes",
        .answer(200, Array("<html></html>".utf8), headers: "Content-Type: text/html; charset=utf-8\r\n")
      ) {
        if case .notS3(_, let detail) = $0 { detail.contains("HTML page") } else { false }
      },
      Case("empty body", .answer(403)) { if case .notS3 = $0 { true } else { false } },
      Case("broken XML", .answer(403, Array("<Error><Code>AccessDenied</Co".utf8))) {
        if case .notS3 = $0 { true } else { false }
      },
      Case("any other refusal", .error(400, "EntityTooSmall")) {
        $0 == .refused(operation: "get", key: "key", status: 400, code: "EntityTooSmall", message: "words")
      },
      Case("reset before an answer", .rawThenClose([])) { $0.isTransient },
      Case("reset in the header", .rawThenClose(Array("HTTP/1.1 200 OK\r\nContent-Le".utf8))) {
        $0.isTransient
      },
      Case("reset in the body", .rawThenClose(Array("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234".utf8)))
      {
        $0.isTransient
      },
      Case("no length", .rawThenClose(Array("HTTP/1.1 200 OK\r\n\r\n1234".utf8))) {
        if case .notS3 = $0 { true } else { false }
      },
      Case("no HTTP", .rawThenClose(Array("SSH-2.0-OpenSSH_9.2\r\n".utf8))) { $0.isTransient },
      Case("too large", .answer(200, [UInt8](repeating: 0, count: 21))) {
        $0 == .tooLarge(key: "key", limit: 20)
      },
    ]

  @Test(arguments: cases)
  func answersBecomeTheRightErrors(_ item: Case) async throws {
    let server = try S3Server(always: item.reply)
    let store = try server.store()
    let error = await #expect(throws: StoreError.self) { try await store.get("key", limit: 20) }
    #expect(error.map(item.isRight) == true, "\(String(describing: error))")
  }

  @Test(arguments: cases)
  func errorsNeverHoldASecret(_ item: Case) async throws {
    let server = try S3Server(always: item.reply)
    let store = try server.store(signPayload: true)
    let credentials = S3Server.credentials
    for call in try everyCall(of: store) {
      do {
        try await call()
      } catch {
        var text = "\(error) \(String(reflecting: error))"
        dump(error, to: &text)
        let signature = server.requests.last?.headers["authorization"]?.split(separator: "=").last ?? "?"
        for secret in [credentials.secretKey, try #require(credentials.sessionToken), String(signature)] {
          #expect(!text.contains(secret), "\(text)")
        }
      }
    }
  }

  private func everyCall(of store: S3Store) throws -> [@Sendable () async throws -> Void] {
    let upload = MultipartUpload(key: "key", id: "id")
    return [
      { try await store.put("key", Payload(Self.bytes)) },
      { try await store.read("key", at: 0, into: WritableSlice(Buffer(copying: Self.bytes), 0..<7)) },
      { _ = try await store.head("key") }, { _ = try await store.list("") },
      { try await store.delete(["key"]) },
      { _ = try await store.beginMultipart("key") },
      {
        _ = try await store.uploadPart(
          upload, number: 1, offset: 0, Payload(Self.bytes), md5: MD5.hash(Self.bytes))
      },
      { try await store.complete(upload, [PartReceipt(number: 1, etag: "e")]) },
      { try await store.abort(upload) }, { _ = try await store.listUploads("") },
    ]
  }

  @Test func aRefusedHeadAsksForTheReason() async throws {
    let server = try S3Server { request, _ in
      request.method == "HEAD"
        ? .raw(Array("HTTP/1.1 403 No\r\n\r\n".utf8)) : .error(403, "InvalidAccessKeyId")
    }
    await #expect(throws: StoreError.credentials(code: "InvalidAccessKeyId", message: "words")) {
      try await server.store().head("key")
    }
  }

  @Test(arguments: ["InternalError", "NoSuchUpload", "InvalidPart", "AccessDenied"])
  func anErrorInASuccessfulCompletionIsOne(_ code: String) async throws {
    let server = try S3Server(always: .xml(" \n <Error><Code>\(code)</Code><Message>words</Message></Error>"))
    let upload = MultipartUpload(key: "key", id: "id")
    let error = await #expect(throws: StoreError.self) {
      try await server.store().complete(upload, [PartReceipt(number: 1, etag: "e")])
    }
    switch code {
    case "InternalError": #expect(error?.isTransient == true)
    case "NoSuchUpload": #expect(error == .noUpload(key: "key"))
    case "AccessDenied": #expect(error == .denied(operation: "complete", key: "key", message: "words"))
    default:
      #expect(error == .refused(operation: "complete", key: "key", status: 200, code: code, message: "words"))
    }
  }

  @Test(arguments: ["", "   ", "<CompleteMultipartUploadRes"])
  func aCompletionWithoutADocumentIsTriedAgain(_ body: String) async throws {
    let server = try S3Server { request, number in
      number == 1
        ? .xml(body) : .xml("<CompleteMultipartUploadResult><ETag>e-1</ETag></CompleteMultipartUploadResult>")
    }
    let store = RetryingStore(try server.store(), sleep: { _ in })
    let parts = [PartReceipt(number: 1, etag: "e")]
    #expect(try await store.complete(MultipartUpload(key: "key", id: "id"), parts) == "e-1")
  }

  @Test func aBusyServerIsAskedAgainAfterTheTimeThatItNames() async throws {
    let server = try S3Server { _, number in
      number < 3 ? .error(503, "SlowDown", headers: "Retry-After: 9\r\n") : .answer(200, Self.bytes)
    }
    let pauses = Recorder<Double>()
    let store = RetryingStore(try server.store(), sleep: { pauses.add($0) })
    #expect(try await store.get("key", limit: 10) == Self.bytes)
    #expect(pauses.values == [9, 9])
  }

  @Test func aServerThatIsBusyIsAskedForLessAtOnce() async throws {
    for (status, code) in [(503, "SlowDown"), (503, "Strange"), (429, ""), (400, "ThrottlingException")] {
      let server = try S3Server { _, number in
        number == 1 ? .error(status, code) : .answer(200, Self.bytes)
      }
      let store = try server.store()
      #expect(store.session.limit.limit == 8)
      await #expect(throws: StoreError.self) { try await store.get("key", limit: 10) }
      #expect(store.session.limit.limit == 4, "\(status) \(code)")
      for _ in 0..<50 { _ = try await store.get("key", limit: 10) }
      #expect(store.session.limit.limit == 8)
    }
    let server = try S3Server(always: .error(500, "InternalError"))
    let store = try server.store()
    await #expect(throws: StoreError.self) { try await store.get("key", limit: 10) }
    #expect(store.session.limit.limit == 8, "a fault of another kind says nothing of how busy it is")
  }

  @Test func aServerThatStaysSilentCountsAsUnreachable() {
    let error = HTTPError.stalled(reason: "r").storeError(.get, key: "key", endpoint: "e") as? StoreError
    #expect(error == .unreachable(endpoint: "e", reason: "r"))
  }

  @Test func credentialsThatExpiredAreReadAgainOnce() async throws {
    let new = Credentials(accessKey: "AKNEW", secretKey: "new", sessionToken: "new")
    let server = try S3Server { request, _ in
      request.isSigned(new)
        ? .answer(200, Self.bytes, headers: "Last-Modified: Tue, 24 Nov 2026 03:42:54 GMT\r\n")
        : request.method == "HEAD"
          ? .raw(Array("HTTP/1.1 400 No\r\n\r\n".utf8)) : .error(400, "ExpiredToken")
    }
    let renewing = try server.store(provider: RenewedCredentials(old: S3Server.credentials, new: new))
    #expect(try await renewing.get("key", limit: 10) == Self.bytes)
    #expect(server.requests.count == 2)
    let asking = try server.store(provider: RenewedCredentials(old: S3Server.credentials, new: new))
    #expect(try await asking.head("key")?.size == Self.bytes.count)
    await #expect(throws: StoreError.credentials(code: "ExpiredToken", message: "words")) {
      try await server.store().get("key", limit: 10)
    }
  }

  @Test func smallObjectsAreHeldToTheirMD5() async throws {
    let etag = "ETag: \"\(hex(MD5.hash(Self.bytes)))\"\r\n"
    func answers(_ bodies: [String]) async throws -> [UInt8] {
      let server = try S3Server { _, number in
        .answer(200, Array(bodies[min(number, bodies.count) - 1].utf8), headers: etag)
      }
      return try await server.store().get("key", limit: 10)
    }
    #expect(try await answers(["contenT", "content"]) == Self.bytes)
    let error = await #expect(throws: StoreError.self) { try await answers(["contenT", "cOntent"]) }
    #expect(error?.isTransient == true)
    // What the store gives twice is what it has; whoever asked must judge it.
    #expect(try await answers(["contenT", "contenT"]) == Array("contenT".utf8))
  }

  @Test func otherBytesThanWereSentAreNotAccepted() async throws {
    let server = try S3Server(always: .answer(200, headers: "ETag: \"\(hex(MD5.hash([0])))\"\r\n"))
    let store = try server.store()
    await #expect(throws: StoreError.corruptedInTransit(key: "key")) {
      try await store.put("key", Payload([1]))
    }
    let upload = MultipartUpload(key: "key", id: "id")
    await #expect(throws: StoreError.corruptedInTransit(key: "key")) {
      try await store.uploadPart(upload, number: 1, offset: 0, Payload([1]), md5: MD5.hash([1]))
    }
    let encrypting = try S3Server(
      always: .answer(
        200, headers: "ETag: \"\(hex(MD5.hash([0])))\"\r\nx-amz-server-side-encryption: aws:kms\r\n"))
    #expect(try await encrypting.store().put("key", Payload([1])) == hex(MD5.hash([0])))
  }

  @Test(arguments: [
    (206, "Content-Range: bytes 2-4/7\r\n", true), (200, "Content-Range: bytes 2-4/7\r\n", true),
    (206, "Content-Range: bytes 2-4/*\r\n", true), (206, "", false), (200, "", false),
    (206, "Content-Range: bytes 3-5/7\r\n", false), (206, "Content-Range: bytes 2-5/7\r\n", false),
    (206, "Content-Range: bytes 2-99999999999999999999/7\r\n", false), (206, "Content-Range: x\r\n", false),
    (206, "Content-Range: bytes -9223372036854775808-4/7\r\n", false),
    (206, "Content-Range: bytes 2-9223372036854775807/7\r\n", false),
  ])
  func onlyTheRangeThatWasAskedForIsAccepted(_ status: Int, _ header: String, _ isRight: Bool) async throws {
    let server = try S3Server(always: .answer(status, Array("nte".utf8), headers: header))
    let store = try server.store()
    let target = WritableSlice(Buffer(copying: [0, 0, 0]), 0..<3)
    guard !isRight else { return try await store.read("key", at: 2, into: target) }
    let error = await #expect(throws: StoreError.self) { try await store.read("key", at: 2, into: target) }
    guard case .notS3 = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func aRangeThatIsTooShortSaysSo() async throws {
    let server = try S3Server(
      always: .answer(206, Array("nt".utf8), headers: "Content-Range: bytes 2-3/4\r\n"))
    await #expect(throws: StoreError.short(key: "key", expected: 3, received: 2)) {
      try await server.store().read("key", at: 2, into: WritableSlice(Buffer(copying: [0, 0, 0]), 0..<3))
    }
    await #expect(throws: StoreError.self) {
      try await server.store().read("key", at: .max, into: WritableSlice(Buffer(copying: [0, 0, 0]), 0..<3))
    }
  }

  @Test func aDeletionTellsWhatRemains() async throws {
    let server = try S3Server(
      always: .xml(
        "<DeleteResult><Error><Key>p/a</Key><Code>AccessDenied</Code><Message>locked</Message></Error>"
          + "<Error><Key>p/b</Key><Code>NoSuchKey</Code></Error></DeleteResult>"))
    await #expect(throws: StoreError.partial(failures: ["a": "locked"])) {
      try await server.store(prefix: "p").delete(["a", "b", "c"])
    }
  }

  @Test func whereManyCannotBeDeletedTogetherEachIsAlone() async throws {
    let server = try S3Server { request, _ in
      request.method == "POST" ? .error(501, "NotImplemented") : .answer(204)
    }
    let store = try server.store()
    try await store.delete(["a", "b"])
    try await store.delete(["c"])
    #expect(server.requests.map(\.method) == ["POST", "DELETE", "DELETE", "DELETE"])
  }

  @Test func cancellingEndsACallThatHangs() async throws {
    let server = try S3Server(always: .silence)
    // A call that were not ended would throw that the server stands still, as it is not tried again.
    var once = RetryPolicy()
    once.attempts = 1
    let store = RetryingStore(try server.store(), policy: once)
    let calls = [
      Task { _ = try await store.get("key", limit: 1) },
      Task { _ = try await store.put("key", Payload([1])) },
      Task { _ = try await store.list("") },
    ]
    while server.requests.count < 3 { try await Task.sleep(for: .milliseconds(5)) }
    for call in calls { call.cancel() }
    for call in calls { await #expect(throws: CancellationError.self) { try await call.value } }
  }
}

/// Credentials of which the server has taken the old ones back.
private final class RenewedCredentials: CredentialsProvider {
  private let known: Mutex<Credentials>
  private let new: Credentials
  init(old: Credentials, new: Credentials) {
    known = Mutex(old)
    self.new = new
  }
  func credentials() async throws -> Credentials { known.withLock { $0 } }
  func renewed(insteadOf refused: Credentials) async throws -> Credentials? {
    known.withLock { $0 = new }
    return refused == new ? nil : new
  }
}
