import Digests
import HTTP
import Platform
import Synchronization
import Testing

@testable import ObjectStore

/// Encryption, storage classes and payers, as requests tell of them.
struct ObjectFieldTests {
  static let key = CustomerKey(file: [UInt8](repeating: 7, count: 32))
  private static let object = "x-amz-server-side-encryption-customer-"
  private static let source = "x-amz-copy-source-server-side-encryption-customer-"

  @Test func keysAreThirtyTwoBytesOrTheirBase64() {
    let bytes = (0..<32).map { UInt8($0) }
    let text = Array(base64(bytes).utf8)
    for file in [bytes, text, text + [10], text + [13, 10]] {
      let fields = CustomerKey(file: file)?.fields(.object).map(\.value)
      #expect(fields == ["AES256", base64(bytes), base64(MD5.hash(bytes))])
    }
    for file in [
      [], Array(bytes.dropLast()), bytes + [0], text.dropLast() + [0x2A], text + [32], text + text,
    ] {
      #expect(CustomerKey(file: Array(file)) == nil)
    }
  }

  @Test func aKeyIsNeverPrinted() throws {
    let key = try #require(CustomerKey(file: Array("0123456789abcdefghijklmnopqrstuv".utf8)))
    var settings = try S3Settings(endpoint: "https://h", bucket: "b")
    try settings.encrypt(with: key)
    var dumped = ""
    dump(settings, to: &dumped)
    for text in ["\(key)", String(reflecting: key), "\(settings)", dumped] {
      #expect(
        !text.contains("0123456789") && !text.contains("48, 49, 50") && !text.contains("MDEyMzQ"), "\(text)")
    }
  }

  @Test func aKeyGoesOverTLSOnly() throws {
    var settings = try S3Settings(endpoint: "http://h:9000", bucket: "b")
    let key = try #require(Self.key)
    #expect(throws: S3Settings.Invalid.customerKeyWithoutTLS("http://h:9000")) {
      try settings.encrypt(with: key)
    }
  }

  @Test func aCustomersKeyGoesWithEveryRequestForAnObjectsBytes() async throws {
    let server = Script()
    let store = try server.store { try $0.encrypt(with: #require(Self.key)) }
    try await exercise(store)
    for request in server.requests {
      let names = Set(request.headers.map { $0.name.lowercased() })
      let needsKey = !["GET ?list-type", "GET ?uploads", "POST ?delete", "DELETE ?uploadId"].contains(
        request.what)
      #expect(names.contains(Self.object + "key") == needsKey, "\(request.what)")
      #expect(
        names.contains(Self.source + "key") == (request.what == "PUT ?partNumber copy"), "\(request.what)")
      #expect(!names.contains("x-amz-server-side-encryption"))
    }
    #expect(server.requests.count == 11)
  }

  @Test func encryptionIsAskedForWhereAnObjectBegins() async throws {
    let server = Script()
    let store = try server.store {
      $0.encryption = .kms
      $0.kmsKeyID = "alias/backups"
    }
    try await exercise(store)
    for request in server.requests {
      let begins = ["PUT", "POST ?uploads"].contains(request.what)
      #expect(request["x-amz-server-side-encryption"] == (begins ? "aws:kms" : nil), "\(request.what)")
      #expect(request["x-amz-server-side-encryption-aws-kms-key-id"] == (begins ? "alias/backups" : nil))
      #expect(request["authorization"]?.contains("x-amz-server-side-encryption") == begins)
    }
  }

  @Test func onlyPacksHaveTheStorageClassAndWhoAsksPaysForEverything() async throws {
    let server = Script()
    let store = try server.store {
      $0.storageClass = "GLACIER_IR"
      $0.storageClassPrefix = "packs/"
      $0.requesterPays = true
    }
    try await exercise(store)
    try await store.put("snapshots/x.json", Payload(Array("content".utf8)))
    _ = try await store.beginMultipart("packsx")
    let classes = server.requests.map { $0["x-amz-storage-class"] }
    #expect(classes.compactMap { $0 } == ["GLACIER_IR", "GLACIER_IR"])
    #expect(classes.suffix(2) == [nil, nil])
    #expect(server.requests.allSatisfy { $0["x-amz-request-payer"] == "requester" })
  }

  @Test func etagsOfEncryptedObjectsAreNotTakenForMD5s() async throws {
    let odd = "0123456789abcdef0123456789abcdef"
    for field in [
      "x-amz-server-side-encryption: aws:kms", "x-amz-server-side-encryption-customer-algorithm: AES256",
    ] {
      let server = try S3Server(
        always: .answer(200, Array("content".utf8), headers: "ETag: \"\(odd)\"\r\n\(field)\r\n"))
      let store = try server.store()
      #expect(try await store.put("key", Payload([1])) == odd)
      #expect(try await store.get("key", limit: 10) == Array("content".utf8))
      let upload = MultipartUpload(key: "key", id: "1")
      let part = try await store.uploadPart(upload, number: 1, offset: 0, Payload([1]), md5: MD5.hash([1]))
      #expect(part.etag == odd && !part.isDigest)
      #expect(
        JoinedObject([part]).matches(
          ObjectInfo(key: "key", size: 1, etag: odd + "-1", modified: .now()),
          opaque: false))
    }
  }

  /// Each call of a store once, on a pack.
  private func exercise(_ store: S3Store) async throws {
    let (key, bytes) = ("packs/x", Array("content".utf8))
    try await store.put(key, Payload(bytes))
    _ = try await store.get(key, limit: 10)
    try await store.read(key, at: 0, into: WritableSlice(Buffer(copying: bytes), 0..<7))
    _ = try await store.head(key)
    let upload = try await store.beginMultipart(key)
    let part = try await store.uploadPart(upload, number: 1, offset: 0, Payload(bytes), md5: MD5.hash(bytes))
    _ = try await store.copyPart(upload, number: 2, of: key, in: store, range: 0..<7)
    try await store.complete(upload, [part])
    try await store.abort(upload)
    _ = try await store.list("")
    try await store.delete([key])
  }
}

/// A transport that plays a server behind TLS.
private final class Script: HTTPTransport {
  struct Sent: Sendable {
    let what: String
    let headers: [(name: String, value: String)]
    subscript(name: String) -> String? { headers.first { $0.name.lowercased() == name }?.value }
  }
  private let sent = Mutex<[Sent]>([])
  var requests: [Sent] { sent.withLock { $0 } }

  func store(_ change: (inout S3Settings) throws -> Void) throws -> S3Store {
    var settings = try S3Settings(endpoint: "https://host", bucket: "bucket")
    try change(&settings)
    return S3Store(settings, credentials: StaticCredentials(S3Server.credentials), transport: self)
  }

  func send(_ request: HTTPRequest) async throws -> HTTPResponse {
    let query = request.url.split(separator: "?").dropFirst().first?.split(separator: "&") ?? []
    let names = Set(query.map { $0.split(separator: "=")[0] })
    let name = ["list-type", "uploads", "delete", "partNumber", "uploadId"].first {
      names.contains(Substring($0))
    }
    let isCopy = request.headers.contains { $0.name == "x-amz-copy-source" }
    let what = request.method + (name.map { " ?\($0)" } ?? "") + (isCopy ? " copy" : "")
    sent.withLock { $0.append(Sent(what: what, headers: request.headers)) }
    var response = HTTPResponse(status: 200)
    let etag = hex(MD5.hash(Array("content".utf8)))
    for line in ["Content-Length: 7", "Last-Modified: Tue, 24 Nov 2026 03:42:54 GMT", "ETag: \"\(etag)\""] {
      Array(line.utf8).withUnsafeBytes { response.headers.append(line: $0) }
    }
    let document: [String: String] = [
      "POST ?uploads":
        "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
      "PUT ?partNumber copy": "<CopyPartResult><ETag>\(etag)</ETag></CopyPartResult>",
      "POST ?uploadId": "<CompleteMultipartUploadResult/>", "POST ?delete": "<DeleteResult/>",
      "GET ?list-type": "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    ]
    response.body = Array((document[what] ?? (request.method == "GET" ? "content" : "")).utf8)
    if case .buffer(let target) = request.sink {
      response.body.withUnsafeBytes { target.write($0, at: 0) }
    }
    response.received = response.body.count
    return response
  }
}
