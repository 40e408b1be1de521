import HTTP
import Testing

@testable import Commands
@testable import ObjectStore

/// What a user reads when a server answers badly: why, and what to do, with the exit code that fits.
struct ServerAnswerTests {
  /// An answer and words of the sentence that it becomes.
  struct Case: Sendable, CustomTestStringConvertible {
    let status: Int, code: String, message: String, exit: ExitCode, cause: String, cure: String
    var testDescription: String { code.isEmpty ? "\(status) \(cause)" : code }

    init(
      _ status: Int, _ code: String, _ exit: ExitCode, _ cause: String, _ cure: String,
      message: String = "Words."
    ) {
      (self.status, self.code, self.message) = (status, code, message)
      (self.exit, self.cause, self.cure) = (exit, cause, cure)
    }

    var response: HTTPResponse {
      let body = "<?xml version=\"1.0\"?><Error><Code>\(code)</Code><Message>\(message)</Message></Error>"
      return HTTPResponse(status: status, body: Array(body.utf8))
    }
  }

  static let cases: [Case] = [
    Case(403, "AccessDenied", .refused, "may not write", "Ask for that permission"),
    Case(403, "SignatureDoesNotMatch", .refused, "not the one of this access key", "Check the secret key"),
    Case(403, "InvalidAccessKeyId", .refused, "does not know the access key", "Check the access key"),
    Case(403, "RequestTimeTooSkewed", .refused, "clock", "Set the clock"),
    Case(404, "NoSuchBucket", .failed, "no bucket", "Create the bucket first"),
    Case(400, "ExpiredToken", .refused, "session has ended", "new session credentials"),
    Case(400, "InvalidToken", .refused, "session has ended", "unset AWS_SESSION_TOKEN"),
    Case(403, "InvalidTokenId", .refused, "session has ended", "unset AWS_SESSION_TOKEN"),
    Case(403, "SecurityTokenExpired", .refused, "session has ended", "new session credentials"),
    Case(403, "InvalidSecurityToken", .refused, "session has ended", "new session credentials"),
    Case(400, "AuthorizationHeaderMalformed", .failed, "signed for another region", "Set --region"),
    Case(301, "PermanentRedirect", .failed, "reached at another endpoint", "Set --endpoint and --region"),
    Case(403, "QuotaExceeded", .failed, "full", "raise the quota"),
    Case(507, "XMinioStorageFull", .failed, "full", "Free space"),
    Case(400, "EntityTooLarge", .failed, "larger than this server takes", "pack_size"),
    Case(400, "EntityTooSmall", .failed, "larger parts than 16 MiB", "pack_size = \"16MiB\""),
    Case(403, "InvalidObjectState", .refused, "archive class", "brought back"),
    Case(503, "SlowDown", .failed, "kept failing", "run the same command again"),
    Case(400, "BadDigest", .failed, "arrived changed", "check the network"),
    Case(400, "InvalidDigest", .failed, "arrived changed", "check the network"),
    Case(400, "KMS.DisabledException", .failed, "key that the bucket is encrypted with", "key enabled"),
    Case(400, "KMS.NotFoundException", .failed, "key that the bucket is encrypted with", "kms:Decrypt"),
    Case(
      403, "AccessDenied", .refused, "key that the bucket is encrypted with", "kms:GenerateDataKey",
      message: "not authorized to perform: kms:GenerateDataKey"),
    Case(
      403, "SecondLevelDomainForbidden", .refused, "bucket in the host's name", "addressing = \"virtual\""),
    Case(403, "UserDisable", .refused, "suspended or has not paid", "Settle"),
    Case(403, "InDebt", .refused, "suspended or has not paid", "Settle"),
    Case(400, "InvalidBucketName", .failed, "no bucket's name", "--repo"),
    Case(
      403, "AccessDenied", .refused, "public endpoint in mainland China", "internal endpoint",
      message: "The bucket cannot be accessed by the default public endpoint."),
    Case(
      403, "AccessDenied", .refused, "another endpoint", "Set --endpoint",
      message: "The bucket you are attempting to access must be addressed using the specified endpoint."),
    Case(501, "NotImplemented", .failed, "does not know how to", "docs/stores.md"),
    Case(400, "InvalidStorageClass", .failed, "storage class", "default storage class"),
    Case(405, "MethodNotAllowed", .failed, "no console, website or proxy", "--endpoint"),
    Case(403, "NeverHeardOf", .refused, "NeverHeardOf (403)", "Words"),
  ]

  private func text(of response: HTTPResponse) -> ErrorText {
    let error = S3Problem(response).error(
      .put, key: "key", bucket: "bucket", endpoint: "https://host", ahead: 4000)
    return ErrorText(error)
  }

  @Test(arguments: cases)
  func aBadAnswerSaysCauseAndCure(_ item: Case) {
    let text = text(of: item.response)
    let words = text.sentences.joined(separator: " ")
    #expect(text.code == item.exit, "\(words)")
    #expect(words.contains(item.cause) && words.contains(item.cure), "\(words)")
    #expect(!words.contains("..") && !words.contains(" ()"), "\(words)")
  }

  @Test(
    arguments: [
      (404, "<!DOCTYPE html><html></html>", [:], "an HTML page"), (403, "", [:], "an empty body"),
      (302, "", ["location": "https://login.example/"], "https://login.example/"),
      (404, "{\"error\": \"no\"}", [:], "no XML"), (404, "<rss/>", [:], "<rss>"),
    ] as [(Int, String, HTTPHeaders, String)])
  func whatIsNoS3IsToldFromARefusal(_ status: Int, _ body: String, _ fields: HTTPHeaders, _ detail: String) {
    let text = text(of: HTTPResponse(status: status, headers: fields, body: Array(body.utf8)))
    let words = text.sentences.joined(separator: " ")
    #expect(text.code == .failed)
    #expect(
      words.contains(detail) && words.contains("--endpoint") && words.contains("sign-in page"), "\(words)")
  }

  @Test func theEndpointThatARefusalNamesIsTold() {
    let body =
      "<Error><Code>AccessDenied</Code><Message>must be addressed using the specified endpoint</Message><Endpoint>oss-cn-shanghai.aliyuncs.com</Endpoint></Error>"
    let text = text(of: HTTPResponse(status: 403, body: Array(body.utf8)))
    #expect(text.sentences.joined().contains("oss-cn-shanghai.aliyuncs.com"))
  }

  @Test func adviceForASecondRepositoryNamesItsOptions() {
    for item in Self.cases {
      let error = S3Problem(item.response).error(
        .put, key: "key", bucket: "bucket", endpoint: "https://host", ahead: 4000)
      let words = ErrorText(SecondPlaceError(error: error, option: "--from", place: "s3://bucket/copy"))
        .sentences.joined(separator: " ")
      #expect(
        !words.contains("--repo") && !words.contains("--endpoint") && !words.contains("--region"), "\(words)")
    }
  }
}
