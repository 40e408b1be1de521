import Digests
import FoundationEssentials
import ObjectStore
import Platform
import TestSupport
import Testing

/// What a store sends, seen from the other end of the wire.
struct S3RequestTests {
  static let keys = [
    "plain/key", "with space", "plus+plus", "100%", "%41", "a&b=c;d,e", "quote'\"", "~t(i)l*de!", "ünï/日本/🙂",
    "$@:", "a?b#c", "[x]{y}^`|<>",
  ]

  @Test(arguments: [S3Settings.Addressing.path, .virtual], [false, true])
  func everyRequestIsSignedAsItIsSent(_ addressing: S3Settings.Addressing, signPayload: Bool) async throws {
    let server = try S3Server { request, _ in echo(request) }
    let store = try server.store(
      host: "localhost", prefix: "some prefix/x", addressing: addressing, signPayload: signPayload)
    let bytes = Array("content".utf8)
    for key in Self.keys {
      try await store.put(key, Payload(bytes))
      _ = try await store.head(key)
      try await store.read(key, at: 2, into: WritableSlice(Buffer(copying: bytes), 0..<3))
      let upload = try await store.beginMultipart(key)
      let part = try await store.uploadPart(
        upload, number: 3, offset: 9, Payload(bytes), md5: MD5.hash(bytes))
      try await store.complete(upload, [part])
      try await store.abort(upload)
      _ = try await store.list(key)
      _ = try await store.listUploads(key)
      try await store.delete([key])
    }
    let requests = server.requests
    #expect(requests.count == Self.keys.count * 10)
    for request in requests {
      let what: Comment = "\(request.method) \(request.path)?\(request.query)"
      #expect(request.isSigned(), what)
      let port = server.authority.split(separator: ":")[1]
      let isVirtual = addressing == .virtual
      #expect(request.headers["host"] == (isVirtual ? "bucket." : "") + "localhost:\(port)", what)
      #expect(request.path.hasPrefix(isVirtual ? "/" : "/bucket"), what)
      #expect(request.headers["x-amz-security-token"] == S3Server.credentials.sessionToken, what)
      let digest = signPayload ? hex(SHA256.hash(request.body)) : "UNSIGNED-PAYLOAD"
      #expect(request.headers["x-amz-content-sha256"] == digest, what)
      let mustBeSigned = request.headers.keys.filter {
        $0.hasPrefix("x-amz-") || ["host", "content-md5", "content-type", "range"].contains($0)
      }
      #expect(Set(mustBeSigned).isSubset(of: request.signedHeaders), what)
      // The start and the end of an upload have nothing whose loss would go unnoticed.
      let isGuarded = request.method == "PUT" || request.query == "delete="
      if isGuarded { #expect(request.headers["content-md5"] == base64(MD5.hash(request.body)), what) }
      #expect(request.headers["content-encoding"] == nil && request.headers["transfer-encoding"] == nil, what)
    }
    let place = (addressing == .virtual ? "" : "/bucket") + "/some%20prefix/x/"
    #expect(requests.first?.path == place + "plain/key")
    #expect(requests.contains { $0.path == place + "plus%2Bplus" })
    #expect(requests.contains { $0.path == place + "%2541" })
  }

  @Test func withoutASessionTokenNoneIsSent() async throws {
    let server = try S3Server { request, _ in echo(request) }
    let credentials = Credentials(accessKey: "A", secretKey: "B")
    try await server.store(provider: StaticCredentials(credentials)).put("key", Payload([1]))
    let request = try #require(server.requests.first)
    #expect(request.isSigned(credentials) && request.headers["x-amz-security-token"] == nil)
  }

  @Test func aDeletionSendsAThousandKeysARequest() async throws {
    let server = try S3Server(always: .xml("<DeleteResult/>"))
    try await server.store(prefix: "p").delete((0..<1001).map { "a&b<\($0)" })
    let requests = server.requests
    #expect(
      requests.map { String(decoding: $0.body, as: UTF8.self).split(separator: "<Object>").count - 1 } == [
        1000, 1,
      ])
    #expect(String(decoding: requests[1].body, as: UTF8.self).contains("<Key>p/a&amp;b&lt;1000</Key>"))
  }

  @Test func completionsListThePartsInOrder() async throws {
    let server = try S3Server { request, _ in echo(request) }
    let parts = [3, 1, 2].map { PartReceipt(number: $0, etag: "e\($0)", size: 1) }
    try await server.store().complete(MultipartUpload(key: "key", id: "id &+"), parts)
    let request = try #require(server.requests.first)
    let text = String(decoding: request.body, as: UTF8.self)
    #expect(text.contains("<PartNumber>1</PartNumber><ETag>&quot;e1&quot;</ETag></Part><Part><PartNumber>2<"))
    #expect(request.query == "uploadId=id%20%26%2B")
  }

  @Test func deletionsAskForTheListOfWhatWasDeleted() async throws {
    // To a quiet one Alibaba OSS has no body to answer, and an empty answer says nothing.
    let server = try S3Server { request, _ in
      String(decoding: request.body, as: UTF8.self).contains("<Quiet>false</Quiet>")
        ? .xml("<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>") : .answer(200)
    }
    try await server.store().delete(["a", "b"])
    #expect(server.requests.count == 1)
  }

  @Test(arguments: [
    TestServer.Reply.error(
      400, "AuthorizationHeaderMalformed", headers: "x-amz-bucket-region: eu-north-7\r\n"),
    .answer(
      400, Array("<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-7</Region></Error>".utf8)),
    .error(301, "PermanentRedirect", headers: "x-amz-bucket-region: eu-north-7\r\n"),
    .error(307, "TemporaryRedirect", headers: "x-amz-bucket-region: eu-north-7\r\n"),
  ])
  func redirectsToAnotherRegionAreFollowedOnce(_ redirect: TestServer.Reply) async throws {
    let server = try S3Server { request, _ in
      request.headers["authorization"]?.contains("/eu-north-7/") == true
        ? .answer(200, Array("content".utf8)) : redirect
    }
    let store = try server.store()
    for _ in 1...2 { #expect(try await store.get("key", limit: 10) == Array("content".utf8)) }
    #expect(server.requests.count == 3 && server.requests.allSatisfy { $0.isSigned() })
  }

  @Test func aClockThatIsOffIsPutRightByTheServers() async throws {
    let server = try S3Server { request, _ in
      request.headers["x-amz-date"] == "20261124T044254Z"
        ? .answer(200, Array("content".utf8))
        : .error(403, "RequestTimeTooSkewed", headers: "Date: Tue, 24 Nov 2026 04:42:54 GMT\r\n")
    }
    let store = try server.store()
    for _ in 1...2 { #expect(try await store.get("key", limit: 10) == Array("content".utf8)) }
    #expect(server.requests.count == 3 && server.requests.allSatisfy { $0.isSigned() })
  }
}

/// The answer of a server that does as it is asked.
private func echo(_ request: S3Server.Request) -> TestServer.Reply {
  let modified = "Last-Modified: Tue, 24 Nov 2026 03:42:54 GMT\r\n"
  switch (request.method, request.query.split(separator: "=").first ?? "") {
  case ("PUT", _): return .answer(200, headers: "ETag: \"\(hex(MD5.hash(request.body)))\"\r\n")
  case ("POST", "uploads"):
    return .xml(
      "<InitiateMultipartUploadResult><UploadId>id &amp;+/</UploadId></InitiateMultipartUploadResult>")
  case ("POST", "delete"): return .xml("<DeleteResult/>")
  case ("POST", _):
    return .xml("<CompleteMultipartUploadResult><ETag>\"x-1\"</ETag></CompleteMultipartUploadResult>")
  case ("HEAD", _): return .raw(Array("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\(modified)\r\n".utf8))
  case ("GET", "encoding-type"):
    let name = request.query.contains("uploads=") ? "ListMultipartUploadsResult" : "ListBucketResult"
    return .xml("<\(name)><IsTruncated>false</IsTruncated></\(name)>")
  case ("GET", _): return .answer(206, Array("nte".utf8), headers: "Content-Range: bytes 2-4/7\r\n")
  default: return .answer(204)
  }
}
