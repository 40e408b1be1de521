import Digests
import Platform
import TestSupport
import Testing

@testable import ObjectStore

@Suite("Objects in archive classes") struct ArchiveTests {
  /// A HEAD's answer with these fields.
  private static func head(_ fields: String) -> TestServer.Reply {
    .raw(
      Array(
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nLast-Modified: Tue, 24 Nov 2026 03:42:54 GMT\r\n\(fields)\r\n"
          .utf8))
  }

  @Test(
    "a HEAD tells whether an object must be brought back, and whether it is on its way",
    arguments: [
      ("", ArchiveState(.readable)),
      ("x-amz-storage-class: STANDARD_IA\r\n", ArchiveState(.readable, storageClass: "STANDARD_IA")),
      ("x-amz-storage-class: GLACIER_IR\r\n", ArchiveState(.readable, storageClass: "GLACIER_IR")),
      ("x-amz-storage-class: GLACIER\r\n", ArchiveState(.frozen, storageClass: "GLACIER")),
      ("x-oss-storage-class: ColdArchive\r\n", ArchiveState(.frozen, storageClass: "ColdArchive")),
      (
        "x-amz-storage-class: DEEP_ARCHIVE\r\nx-amz-restore: ongoing-request=\"true\"\r\n",
        ArchiveState(.thawing, storageClass: "DEEP_ARCHIVE")
      ),
      (
        "x-amz-storage-class: GLACIER\r\nx-amz-restore: ongoing-request=\"false\", expiry-date=\"Fri, 23 Dec 2026 00:00:00 GMT\"\r\n",
        ArchiveState(.readable, storageClass: "GLACIER")
      ),
      (
        "x-amz-storage-class: INTELLIGENT_TIERING\r\nx-amz-archive-status: DEEP_ARCHIVE_ACCESS\r\n",
        ArchiveState(.frozen, storageClass: "DEEP_ARCHIVE_ACCESS")
      ),
      (
        "x-amz-storage-class: INTELLIGENT_TIERING\r\n",
        ArchiveState(.readable, storageClass: "INTELLIGENT_TIERING")
      ),
    ])
  func states(_ fields: String, _ state: ArchiveState) async throws {
    let server = try S3Server(always: Self.head(fields))
    let store = try server.store()
    #expect(try await store.archiveState(of: "packs/a") == state)
    #expect(server.requests.count == 1)
  }

  @Test("a thaw is asked for with days, tier and a digest; a tier of INTELLIGENT_TIERING takes no days")
  func asks() async throws {
    for (fields, hasDays) in [
      ("x-amz-storage-class: GLACIER\r\n", true), ("x-amz-archive-status: ARCHIVE_ACCESS\r\n", false),
    ] {
      let server = try S3Server { request, _ in request.method == "HEAD" ? Self.head(fields) : .answer(202) }
      let store = RetryingStore(try server.store(prefix: "p"))
      let state = try await store.thaw("packs/a", ThawRequest(days: 3, tier: .bulk))
      #expect(state.stage == .thawing)
      let post = try #require(server.requests.last)
      #expect(post.method == "POST" && post.path == "/bucket/p/packs/a" && post.query == "restore=")
      #expect(post.headers["content-md5"] == base64(MD5.hash(post.body)) && post.isSigned())
      let root = try #require(XMLNode.parse(post.body))
      #expect(root.name == "RestoreRequest" && root["Days"] == (hasDays ? "3" : nil))
      #expect(root.all("GlacierJobParameters").first?["Tier"] == "Bulk")
    }
  }

  @Test("what is on its way is not asked for again, and a server's word for it is no error")
  func underWay() async throws {
    let server = try S3Server(
      always: Self.head("x-amz-storage-class: GLACIER\r\nx-amz-restore: ongoing-request=\"true\"\r\n"))
    let store = try server.store()
    #expect(try await store.thaw("packs/a", ThawRequest()).stage == .thawing)
    #expect(server.requests.map(\.method) == ["HEAD"])

    let racing = try S3Server { request, _ in
      request.method == "HEAD"
        ? Self.head("x-amz-storage-class: GLACIER\r\n") : .error(409, "RestoreAlreadyInProgress")
    }
    let other = try racing.store()
    #expect(try await other.thaw("packs/a", ThawRequest()).stage == .thawing)
    #expect(racing.requests.count == 2)
  }

  @Test("a refused thaw and a missing object are errors, and a read of an archived object is known as such")
  func refusals() async throws {
    let server = try S3Server { request, _ in
      switch request.method {
      case "HEAD": Self.head("x-amz-storage-class: GLACIER\r\n")
      case "GET": .error(403, "InvalidObjectState")
      default: .error(403, "AccessDenied")
      }
    }
    let store = try server.store()
    await #expect(throws: StoreError.denied(operation: "thaw", key: "packs/a", message: "words")) {
      try await store.thaw("packs/a", ThawRequest())
    }
    let error = await #expect(throws: StoreError.self) { try await store.get("packs/a", limit: 10) }
    #expect(error?.isArchived == true)
    let buffer = Buffer(copying: [UInt8](repeating: 0, count: 64))
    let read = await #expect(throws: StoreError.self) {
      try await store.read("packs/a", at: 4, into: WritableSlice(buffer, 0..<64))
    }
    #expect(read?.isArchived == true)
    let empty = try S3Server { _, _ in .raw(Array("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n".utf8)) }
    let other = try empty.store()
    await #expect(throws: StoreError.missing(key: "packs/a")) { try await other.archiveState(of: "packs/a") }
    #expect(server.requests.count == 4 && empty.requests.count == 1)
  }
}
