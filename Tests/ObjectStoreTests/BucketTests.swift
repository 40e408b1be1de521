import TestSupport
import Testing

@testable import ObjectStore

/// How buckets are made.
struct BucketTests {
  private func create(region: String? = nil, _ answer: @escaping TestServerAnswer) async throws -> (
    Bool, S3Server
  ) {
    let server = try S3Server { request, _ in answer(request) }
    let settings = try S3Settings(endpoint: "http://\(server.authority)", region: region, bucket: "bucket")
    let store = S3Store(settings, credentials: StaticCredentials(S3Server.credentials))
    return (try await store.createBucket(), server)
  }
  private typealias TestServerAnswer = @Sendable (S3Server.Request) -> TestServer.Reply

  @Test(arguments: [(nil, ""), ("us-east-1", ""), ("eu-central-1", "<LocationConstraint>eu-central-1<")])
  func theRegionIsSaidWhereItIsNotUsEast1(_ region: String?, _ expected: String) async throws {
    let (made, server) = try await create(region: region) { _ in .answer(200) }
    let request = try #require(server.requests.first)
    #expect(made && request.method == "PUT" && request.path == "/bucket" && request.isSigned())
    let body = String(decoding: request.body, as: UTF8.self)
    #expect(expected.isEmpty ? body.isEmpty : body.contains(expected))
  }

  @Test func aBucketOfOnesOwnIsFine() async throws {
    #expect(try await !create { _ in .error(409, "BucketAlreadyOwnedByYou") }.0)
    let (made, _) = try await create { request in
      request.method == "PUT"
        ? .error(409, "BucketAlreadyExists")
        : .xml("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    }
    #expect(!made)
  }

  @Test func aBucketOfSomebodyElseIsAnError() async throws {
    await #expect {
      _ = try await create {
        $0.method == "PUT" ? .error(409, "BucketAlreadyExists") : .error(403, "AccessDenied")
      }
    } throws: { error in
      if case StoreError.refused(_, "bucket", 409, "BucketAlreadyExists", _) = error { return true }
      return false
    }
  }
}
