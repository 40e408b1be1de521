import Digests
import FoundationEssentials
import Platform
import TestSupport
import Testing

@testable import ObjectStore

/// Listings over several pages, in all the forms that servers give them, and documents made to harm.
struct S3ListingTests {
  private func item(_ key: String, size: String = "1", time: String = "2026-11-24T03:42:54.000Z") -> String {
    "<Contents><Key>\(key)</Key><LastModified>\(time)</LastModified><ETag>&quot;e&quot;</ETag>"
      + "<Size>\(size)</Size></Contents>"
  }

  private func page(
    _ items: [String], next: String? = nil, encoding: String? = "url", count: String? = nil
  ) -> String {
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
      + "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
      + (encoding.map { "<EncodingType>\($0)</EncodingType>" } ?? "")
      + (count.map { "<KeyCount>\($0)</KeyCount>" } ?? "") + items.joined()
      + (next.map { "<IsTruncated>true</IsTruncated><NextContinuationToken>\($0)</NextContinuationToken>" }
        ?? "<IsTruncated>false</IsTruncated>") + "</ListBucketResult>"
  }

  @Test func pagesAreJoinedUntilTheLast() async throws {
    let server = try S3Server { [self] request, number in
      let date = "Date: Tue, 24 Nov 2026 03:5\(number):00 GMT\r\n"
      return switch number {
      case 1: .xml(page([item("p/a"), item("p/b")], next: "t&amp;1=/+"), headers: date)
      case 2: .xml(page([], next: "t2"), headers: date)
      default: .xml(page([item("p/c", size: "2")]), headers: date)
      }
    }
    let listing = try await server.store(prefix: "p").list("")
    #expect(listing.objects.map(\.key) == ["a", "b", "c"] && listing.objects.map(\.size) == [1, 1, 2])
    #expect(listing.now == Timestamp(parsing: "2026-11-24T03:51:00Z"), "the time of the first answer")
    #expect(listing.objects.first?.etag == "e")
    let queries = server.requests.map(\.query)
    #expect(queries.map { $0.contains("continuation-token=") } == [false, true, true])
    #expect(queries[1].contains("continuation-token=t%261%3D%2F%2B&") && queries[0].contains("prefix=p%2F"))
  }

  @Test func keysAreDecodedAsTheServerSaysThatItEncodedThem() async throws {
    let encoded = try S3Server(
      always: .xml(
        page([item("100%25"), item("a+b%2Bc"), item("it&apos;s"), item("~*!"), item("%E6%97%A5%2Fx")])))
    let keys = try await encoded.store().list("").objects.map(\.key)
    #expect(Set(keys) == ["a b+c", "日/x", "100%", "it's", "~*!"])
    let plain = try S3Server(always: .xml(page([item("&lt;&#x26;&gt;"), item("a+b%2Bc")], encoding: nil)))
    #expect(try await plain.store().list("").objects.map(\.key) == ["<&>", "a+b%2Bc"])
  }

  @Test func whatIsNoKeyOfTheContractIsLeftOut() async throws {
    let server = try S3Server(
      always: .xml(
        page(
          ["%00", "../up", "a//b", "folder/", "ok", String(repeating: "x", count: 300), "%FF%FE"].map {
            item($0)
          })))
    #expect(try await server.store().list("").objects.map(\.key) == ["ok"])
  }

  @Test func timesBeyondAllBoundsAreOnlyTimes() async throws {
    let times = ["9999-12-31T23:59:59.999999999Z", "0000-01-01T00:00:00.5Z", "1969-12-31T23:59:59.5Z"]
    let server = try S3Server(
      always: .xml(
        page(times.enumerated().map { item("k\($0.offset)", time: $0.element) }),
        headers: "Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n"))
    #expect(try await server.store().list("").objects.count == 3)
  }

  @Test func documentsThatAreNoListingAreRefused() async throws {
    let bomb =
      "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\">"
      + (1...30).map {
        "<!ENTITY a\($0) \"\(String(repeating: "&a\($0 == 1 ? "" : "\($0 - 1)");", count: 10))\">"
      }.joined()
      + "]><ListBucketResult><Contents><Key>&a30;</Key></Contents></ListBucketResult>"
    let external =
      "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><ListBucketResult><Name>&f;</Name></ListBucketResult>"
    let deep = String(repeating: "<a>", count: 500_000)
    let deepRoot =
      "<ListBucketResult>" + String(repeating: "<a>", count: 20) + String(repeating: "</a>", count: 20)
    let wide = "<ListBucketResult>" + String(repeating: "<a/>", count: 200_001) + "</ListBucketResult>"
    let valid = page([item("key")])
    var documents = [
      bomb, external, deep, deepRoot + "</ListBucketResult>", wide, "", "<", "<html><body>Hi</body></html>",
      "{}",
      "<ListBucketResult>", valid + valid, "<Error><Code>Strange</Code></Error>",
      "<ListBucketResult>&x;</ListBucketResult>",
      page([item("key", size: "-1")]), page([item("key", size: "99999999999999999999")]),
      page([item("key", size: "")]), page([item("key", time: "yesterday")]), page([item("broken%zz")]),
      page([], next: ""), "<ListBucketResult/>",
      "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
      "<?xml version=\"1.0\" encoding=\"x-unknown\"?><ListBucketResult/>",
    ]
    for cut in stride(from: 0, to: valid.utf8.count, by: 7) { documents.append(String(valid.prefix(cut))) }
    for document in documents {
      let server = try S3Server(always: .xml(document))
      let error = await #expect(throws: StoreError.self, "\(document.prefix(80))") {
        try await server.store().list("")
      }
      switch error {
      case .notS3: break
      default: Issue.record("\(document.prefix(80)): \(String(describing: error))")
      }
    }
  }

  @Test func keysOutsideThePrefixAreRefused() async throws {
    let server = try S3Server(always: .xml(page([item("other/key")])))
    let error = await #expect(throws: StoreError.self) { try await server.store(prefix: "mine").list("") }
    guard case .notS3 = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    await #expect(throws: StoreError.self) { try await server.store().list("wanted") }
  }

  @Test func answersThatAreTooLongAreNotTakenIn() async throws {
    let server = try S3Server(always: .answer(200, [UInt8](repeating: 32, count: (8 << 20) + 1)))
    let error = await #expect(throws: StoreError.self) { try await server.store().list("") }
    guard case .notS3 = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  /// Holds a listing of these pages to be refused as nothing that an S3 server gives, and counts the requests.
  private func expectRefusal(_ rule: Comment, requests: Int, _ pages: [String]) async throws {
    let server = try S3Server { _, number in .xml(pages[min(number, pages.count) - 1]) }
    let error = await #expect(throws: StoreError.self, rule) { try await server.store().list("") }
    guard case .notS3 = error else {
      Issue.record("\(rule): \(String(describing: error))")
      return
    }
    #expect(server.requests.count == requests, rule)
  }

  @Test func aListingThatGoesInCirclesIsRefused() async throws {
    try await expectRefusal("the same page", requests: 2, [page([item("a")], next: "same")])
    try await expectRefusal(
      "a token of long ago", requests: 3,
      [page([item("a")], next: "1"), page([item("b")], next: "2"), page([item("c")], next: "1")])
    try await expectRefusal(
      "a server that does not know the token gives the first page again", requests: 2,
      [page([item("a"), item("b")], next: "1"), page([item("a"), item("b")], next: "2")])
  }

  @Test func aListingWhoseKeysAreOutOfOrderIsRefused() async throws {
    try await expectRefusal("in a page", requests: 1, [page([item("b"), item("a")])])
    try await expectRefusal("a key twice", requests: 1, [page([item("a"), item("a")])])
    try await expectRefusal(
      "between pages", requests: 2, [page([item("a"), item("c")], next: "1"), page([item("b")])])
    try await expectRefusal(
      "in both orders by turns", requests: 1,
      [page(["a/x", "a-b/x", "c-d/x", "c/x"].map { item($0) })])
  }

  @Test func aListingInTheOrderOfPathComponentsIsTakenAndSorted() async throws {
    let keys = ["a/x", "a/y", "a-b/x", "a.b/x", "b", "é/x"]
    let server = try S3Server(always: .xml(page(keys.map { item($0) }, encoding: nil)))
    #expect(
      try await server.store().list("").objects.map(\.key) == ["a-b/x", "a.b/x", "a/x", "a/y", "b", "é/x"])
  }

  @Test func aPageThatSaysAnotherNumberOfEntriesIsRefused() async throws {
    for count in ["2", "0", "-1", "many"] {
      try await expectRefusal("\(count)", requests: 1, [page([item("a")], count: count)])
    }
    try await expectRefusal("none", requests: 1, [page([], count: "1")])
    // What has no key of the contract is an entry all the same.
    for (items, count) in [([item("a"), item("folder/")], "2"), ([], "0"), ([item("a")], "")] {
      let server = try S3Server(always: .xml(page(items, count: count)))
      #expect(try await server.store().list("").objects.count == min(items.count, 1))
    }
  }

  @Test func emptyPagesWithoutAnEndAreRefused() {
    var pages = ListingPages()
    for number in 1...ListingPages.mostEmptyPages {
      #expect(pages.fault(keys: [], count: 0, keyCount: "0", next: "t\(number)") == nil)
    }
    #expect(pages.fault(keys: [], count: 0, keyCount: "0", next: "more") != nil)
    #expect(pages.fault(keys: ["a"], count: 1, keyCount: "1", next: "and more") == nil)
  }

  @Test func openUploadsAreListedOverPages() async throws {
    @Sendable func upload(_ key: String, _ id: String) -> String {
      "<Upload><Key>\(key)</Key><UploadId>\(id)</UploadId><Initiated>2026-11-24T03:42:54Z</Initiated></Upload>"
    }
    let server = try S3Server { request, number in
      number == 1
        ? .xml(
          "<ListMultipartUploadsResult><EncodingType>url</EncodingType>\(upload("p/a+b", "1"))"
            + "<IsTruncated>true</IsTruncated><NextKeyMarker>p/a+b</NextKeyMarker>"
            + "<NextUploadIdMarker>1</NextUploadIdMarker></ListMultipartUploadsResult>")
        : .xml(
          "<ListMultipartUploadsResult>\(upload("p/c", "2"))<IsTruncated>false</IsTruncated>"
            + "</ListMultipartUploadsResult>")
    }
    let found = try await server.store(prefix: "p").listUploads("")
    #expect(found.map(\.upload) == [.init(key: "a b", id: "1"), .init(key: "c", id: "2")])
    #expect(server.requests[1].query.contains("key-marker=p%2Fa%20b&"))
  }

  @Test(arguments: [
    TestServer.Reply.error(501, "NotImplemented"), .xml("<ListBucketResult/>"), .xml("something else"),
    .error(404, "NoSuchUpload"),
  ])
  func aServerThatCannotListUploadsHasNone(_ reply: TestServer.Reply) async throws {
    #expect(try await S3Server(always: reply).store().listUploads("").isEmpty)
  }
}
