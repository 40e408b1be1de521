import Digests
import HTTP
import Platform
import TestSupport
import Testing

@testable import ObjectStore

/// Stores whose ETags look like MD5s and are something else.
struct OpaqueETagTests {
  private static let bytes = Array("content".utf8)
  private static let made = "\(String(repeating: "A1", count: 16))-1"

  /// A server that takes an upload of one part. `fields` are in all its answers; completions are refused after the first.
  private static func server(fields: String) throws -> S3Server {
    let completions = Counter()
    return try S3Server { request, _ in
      switch (request.method, request.query) {
      case ("POST", "uploads="):
        return .xml(
          "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>",
          headers: fields)
      case ("PUT", _):
        return .answer(200, headers: "ETag: \"\(hex(MD5.hash(bytes)).uppercased())\"\r\n" + fields)
      case ("HEAD", _):
        return .raw(
          Array(
            "HTTP/1.1 200 OK\r\nContent-Length: \(bytes.count)\r\nETag: \"\(made)\"\r\nLast-Modified: Tue, 24 Nov 2026 03:42:54 GMT\r\n\(fields)\r\n"
              .utf8))
      default:
        return completions.next() == 1
          ? .rawThenClose([]) : .error(404, "NoSuchUpload", headers: fields)
      }
    }
  }

  private func upload(to server: S3Server) async throws -> (store: RetryingStore<S3Store>, etag: String?) {
    let store = RetryingStore(try server.store(), sleep: { _ in })
    let upload = try await store.beginMultipart("key")
    let part = try await store.uploadPart(
      upload, number: 1, offset: 0, Payload(Self.bytes), md5: MD5.hash(Self.bytes))
    return (store, try await store.complete(upload, [part]))
  }

  @Test(arguments: [
    "x-oss-request-id: 1\r\n", "x-amz-server-side-encryption: aws:kms\r\n",
    "x-amz-server-side-encryption-customer-algorithm: AES256\r\n",
  ])
  func aLostCompletionIsSettledByTheSizeWhereETagsAreOpaque(_ fields: String) async throws {
    let (store, etag) = try await upload(to: try Self.server(fields: fields))
    #expect(etag == Self.made)
    #expect(store.hasOpaqueETags)
  }

  @Test func anETagThatIsNotOursDoesNotSettleItElsewhere() async throws {
    let error = await #expect(throws: StoreError.self) {
      try await upload(to: try Self.server(fields: "Server: S3\r\n"))
    }
    #expect(error == .noUpload(key: "key"))
  }

  @Test func aRangeBeyondTheEndThatBringsTheWholeObjectIsAShortObject() async throws {
    let whole = [UInt8](repeating: 7, count: 100)
    let server = try S3Server { request, _ in
      let fields = "Last-Modified: Tue, 24 Nov 2026 03:42:54 GMT\r\n"
      return request.method == "HEAD"
        ? .raw(Array("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\(fields)\r\n".utf8))
        : .answer(200, whole, headers: fields)
    }
    let store = try server.store()
    for (offset, count, received) in [(90, 20, 10), (200, 50, 0), (50, 200, 50)] {
      let target = WritableSlice(Buffer(copying: [UInt8](repeating: 0, count: count)), 0..<count)
      await #expect(throws: StoreError.short(key: "key", expected: count, received: received)) {
        try await store.read("key", at: offset, into: target)
      }
    }
    // The object has the range, and the server does not know what one is.
    let target = WritableSlice(Buffer(copying: [0, 0]), 0..<2)
    let error = await #expect(throws: StoreError.self) { try await store.read("key", at: 5, into: target) }
    if case .notS3 = error {} else { Issue.record("\(String(describing: error))") }
  }
}
