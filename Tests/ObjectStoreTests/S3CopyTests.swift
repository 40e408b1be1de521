import ObjectStore
import Platform
import TestSupport
import Testing

/// Parts that a server copies by itself.
struct S3CopyTests {
  private static let upload = MultipartUpload(key: "packs/a b", id: "id")

  private func copy(_ store: S3Store, from other: any ObjectStore) async throws -> PartReceipt? {
    try await store.copyPart(Self.upload, number: 2, of: "packs/ü+1", in: other, range: 10..<30)
  }

  @Test func itAsksForTheRangeAndSignsWhatItAsksFor() async throws {
    let server = try S3Server(
      always: .xml(
        "<CopyPartResult><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag></CopyPartResult>"))
    let other = try server.store(prefix: "from here")
    let receipt = try await copy(try server.store(prefix: "to"), from: other)
    #expect(receipt == PartReceipt(number: 2, etag: "0123456789abcdef0123456789abcdef", size: 20))
    let request = try #require(server.requests.first)
    #expect(request.method == "PUT" && request.path == "/bucket/to/packs/a%20b")
    #expect(request.query == "partNumber=2&uploadId=id" && request.body.isEmpty)
    #expect(request.headers["x-amz-copy-source"] == "/bucket/from%20here/packs/%C3%BC%2B1")
    #expect(request.headers["x-amz-copy-source-range"] == "bytes=10-29")
    #expect(request.isSigned() && request.signedHeaders.contains("x-amz-copy-source"))
  }

  @Test func otherServersAndCredentialsAreNotAsked() async throws {
    let (server, second) = (try S3Server(always: .xml("")), try S3Server(always: .xml("")))
    let store = try server.store()
    let stranger = try server.store(
      provider: StaticCredentials(Credentials(accessKey: "OTHER", secretKey: "x")))
    #expect(try await copy(store, from: try second.store()) == nil)
    #expect(try await copy(store, from: stranger) == nil)
    #expect(try await copy(store, from: MemoryStore()) == nil)
    #expect(server.requests.isEmpty && second.requests.isEmpty)
  }

  @Test(arguments: ["", "<ListBucketResult/>", "<CopyPartResult/>"])
  func anAnswerThatIsNoneMeansThatItCannot(_ body: String) async throws {
    let server = try S3Server(always: .xml(body))
    let store = try server.store()
    await #expect(throws: StoreError.unsupported(operation: "copyPart")) {
      try await copy(store, from: store)
    }
  }

  @Test func anErrorInASuccessfulAnswerIsOne() async throws {
    let server = try S3Server(always: .error(200, "InternalError"))
    let store = try server.store()
    do {
      _ = try await copy(store, from: store)
      Issue.record("it was taken for a part")
    } catch let error as StoreError {
      #expect(error.isTransient)
    }
  }
}
