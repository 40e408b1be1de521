import Digests
import Platform
import Synchronization
import TestSupport
import Testing

@testable import ObjectStore

/// A bucket's lifecycle in this process.
private final class LifecycleBucket: Sendable {
  let document: Shared<[UInt8]?>
  private let server: S3Server

  /// A bucket with a document; `keep` is what it makes of one that is set, itself by default.
  init(_ text: String? = nil, keep: @escaping @Sendable (String) -> String = { $0 }) throws {
    let document = Shared(text.map { Array($0.utf8) })
    self.document = document
    server = try S3Server { request, _ in
      guard request.query == "lifecycle=" else { return .error(400, "InvalidArgument") }
      switch request.method {
      case "PUT":
        guard request.headers["content-md5"] == base64(MD5.hash(request.body)) else {
          return .error(400, "InvalidDigest")
        }
        document.set(Array(keep(String(decoding: request.body, as: UTF8.self)).utf8))
        return .answer(200)
      case "DELETE":
        document.set(nil)
        return .answer(204)
      default:
        guard let bytes = document.get() else { return .error(404, "NoSuchLifecycleConfiguration") }
        return .answer(
          200, bytes, headers: "x-amz-transition-default-minimum-object-size: varies_by_storage_class\r\n")
      }
    }
  }

  func store() throws -> S3Store { try server.store(prefix: "some/prefix") }
  var text: String? { document.get().map { String(decoding: $0, as: UTF8.self) } }
  /// The fields of the last request that set something.
  var lastWrite: S3Server.Request? { server.requests.last { $0.method == "PUT" } }
}

/// A value that threads share.
private final class Shared<Value: Sendable>: Sendable {
  private let value: Mutex<Value>
  init(_ value: Value) { self.value = Mutex(value) }
  func get() -> Value { value.withLock { $0 } }
  func set(_ new: Value) { value.withLock { $0 = new } }
}

private let strangers =
  """
  <?xml version="1.0" encoding="UTF-8"?>
  <LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <Rule><ID>logs &amp; more</ID><Filter><And><Prefix>logs/é</Prefix><Tag><Key>a</Key><Value>b</Value></Tag></And></Filter>
      <Status>Enabled</Status><Expiration><Days>3</Days></Expiration><Unheard of="it"/></Rule>
    <!-- kept --><Rule><ID>old</ID><Filter/><Status>Disabled</Status><NoncurrentVersionExpiration><NoncurrentDays>90</NoncurrentDays></NoncurrentVersionExpiration></Rule>
  </LifecycleConfiguration>
  """

@Suite("A bucket's lifecycle") struct LifecycleTests {
  private func own() throws -> OwnLifecycle {
    OwnLifecycle(try S3Settings(bucket: "bucket", prefix: "some/prefix"))
  }

  @Test("strangers' rules go back byte for byte, with what this program does not know")
  func strangersStay() async throws {
    let bucket = try LifecycleBucket(strangers)
    let (store, own) = (try bucket.store(), try own())
    let before = try await store.lifecycle()
    #expect(before.rules.map(\.id) == ["logs & more", "old"])
    #expect(before.rules[0].isNarrowed && before.rules[0].prefix == "logs/é")
    #expect(before.rules[0].actions == [.delete(when: "3 days"), .other("Unheard")])
    #expect(!before.rules[1].isEnabled)
    let set = try before.replacing([], by: [own.abortion(days: 7)], dialect: .s3)
    let stored = try await store.setLifecycle(set, replacing: before)
    #expect(stored.rules == before.rules + [own.abortion(days: 7)])
    let end = "</LifecycleConfiguration>"
    let text = try #require(bucket.text)
    #expect(text.hasPrefix(String(strangers.dropLast(end.count))) && text.hasSuffix(end))
    #expect(
      bucket.lastWrite?.headers["x-amz-transition-default-minimum-object-size"] == "varies_by_storage_class")

    let without = try stored.replacing([own.namePrefix + "uploads"], by: [], dialect: .s3)
    _ = try await store.setLifecycle(without, replacing: stored)
    #expect(bucket.text == strangers)
  }

  @Test("a bucket without rules gets a document, and none again when the last rule goes")
  func emptyBucket() async throws {
    let bucket = try LifecycleBucket()
    let (store, own) = (try bucket.store(), try own())
    let before = try await store.lifecycle()
    #expect(before.rules.isEmpty)
    let wanted = [own.abortion(days: 9), own.training(to: "GLACIER", days: 30)]
    let set = try before.replacing([], by: wanted, dialect: before.dialect(for: .other))
    let stored = try await store.setLifecycle(set, replacing: before)
    #expect(stored.rules == wanted)
    #expect(wanted[1].prefix == "some/prefix/packs/training/")
    let gone = try stored.replacing(wanted.map(\.id), by: [], dialect: .s3)
    #expect(try await store.setLifecycle(gone, replacing: stored).rules.isEmpty)
    #expect(bucket.text == nil)
  }

  @Test("a rule is written as the bucket's others are: in a filter, bare, or in OSS's own words")
  func dialects() throws {
    let own = try own()
    let bare =
      "<LifecycleConfiguration><Rule><ID>x</ID><Prefix>a/</Prefix><Status>Enabled</Status><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration></Rule></LifecycleConfiguration>"
    let document = try #require(LifecycleDocument(Array(bare.utf8)))
    #expect(document.dialect(for: .amazon) == .s3WithoutFilter)
    #expect(document.dialect(for: .alibaba) == .oss)
    #expect(LifecycleDocument().dialect(for: .amazon) == .s3)
    for dialect in [LifecycleDocument.Dialect.s3, .s3WithoutFilter, .oss] {
      let changed = try document.replacing(
        [], by: [own.abortion(days: 7), own.training(to: "IA", days: 1)], dialect: dialect)
      #expect(
        changed.rules == document.rules + [own.abortion(days: 7), own.training(to: "IA", days: 1)])
      let text = String(decoding: changed.bytes, as: UTF8.self)
      #expect(text.contains("<Filter>") == (dialect == .s3))
      #expect(text.contains("<AbortMultipartUpload><Days>7<") == (dialect == .oss))
    }
  }

  @Test("rules that somebody changed meanwhile are not written over")
  func race() async throws {
    let bucket = try LifecycleBucket(strangers)
    let store = try bucket.store()
    let before = try await store.lifecycle()
    let other = strangers.replacing("<Days>3<", with: "<Days>4<")
    bucket.document.set(Array(other.utf8))
    let set = try before.replacing([], by: [try own().abortion(days: 7)], dialect: .s3)
    await #expect(throws: LifecycleError.changed) { try await store.setLifecycle(set, replacing: before) }
    #expect(bucket.text == other)
  }

  @Test("what a server drops of a rule is seen in what it has afterwards")
  func dropping() async throws {
    let bucket = try LifecycleBucket { text in
      text.replacing(
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
        with: "")
    }
    let own = try own()
    let set = try LifecycleDocument().replacing([], by: [own.abortion(days: 7)], dialect: .s3)
    let stored = try await bucket.store().setLifecycle(set, replacing: LifecycleDocument())
    #expect(stored.rules.first?.id == own.namePrefix + "uploads" && stored.rules.first?.actions == [])
    #expect(bucket.text != nil)
  }

  @Test(
    "servers without lifecycle rules say so, or something else, and get nothing written",
    arguments: [
      TestServer.Reply.error(501, "NotImplemented"), .error(405, "MethodNotAllowed"),
      .xml("<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"),
      .xml("<a:LifecycleConfiguration xmlns:a=\"urn:x\"/>"), .xml("<LifecycleConfiguration>"),
    ])
  func unsupported(_ reply: TestServer.Reply) async throws {
    let server = try S3Server(always: reply)
    let store = try server.store()
    await #expect(throws: LifecycleError.self) { try await store.lifecycle() }
    #expect(!server.requests.contains { $0.method != "GET" })
  }

  @Test("Alibaba's word for a bucket without rules is understood, and a refusal is an error")
  func otherAnswers() async throws {
    let empty = try S3Server(always: .error(404, "NoSuchLifecycle"))
    #expect(try await empty.store().lifecycle().rules.isEmpty)
    let server = try S3Server(always: .error(403, "AccessDenied"))
    let store = try server.store()
    await #expect(throws: StoreError.denied(operation: "lifecycle", key: "s3://bucket", message: "words")) {
      try await store.lifecycle()
    }
    #expect(empty.requests.count == 1 && server.requests.count == 1)
  }

  @Test("mutated documents are refused or keep every other byte")
  func hostile() throws {
    var numbers = Seeded()
    let own = try own()
    for _ in 0..<300 {
      var bytes = Array(strangers.utf8)
      for _ in 0..<Int.random(in: 1...4, using: &numbers) {
        bytes[Int.random(in: bytes.indices, using: &numbers)] =
          UInt8.random(in: 0...255, using: &numbers)
      }
      guard let document = LifecycleDocument(bytes) else { continue }
      // One that would not be read again is refused.
      guard let changed = try? document.replacing([], by: [own.abortion(days: 7)], dialect: .s3) else {
        continue
      }
      #expect(changed.rules.count == document.rules.count + 1)
      #expect(changed.bytes.starts(with: document.bytes.dropLast(40)))
    }
  }
}
