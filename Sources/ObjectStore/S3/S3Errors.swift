import HTTP
import Platform

/// What an unsuccessful answer says.
struct S3Problem {
  let status: Int
  /// The server's code, for example `NoSuchKey`; empty where the answer has none.
  let code: String
  let message: String
  /// The bucket's region, where the answer tells.
  let region: String?
  /// The server's clock.
  let date: Timestamp?
  let retryAfter: Double?
  private let isEmpty: Bool
  /// What the answer is, where it is not S3's: `an HTML page`, `an empty body`.
  let foreign: String?

  /// Reads an answer: any of an unsuccessful status, or one of a successful status with an error in its body.
  init(_ response: HTTPResponse) {
    let root = XMLNode.parse(response.body)
    let error = root?.name == "Error" ? root : nil
    status = response.status
    isEmpty = response.body.isEmpty
    code = error?["Code"] ?? ""
    // The endpoint that a redirect or Alibaba's refusal names is what the user needs to know.
    let words = error?["Message"] ?? ""
    let endpoint = error?["Endpoint"].flatMap { isRegionName($0) && !words.contains($0) ? " (\($0))" : nil }
    message = words + (endpoint ?? "")
    region = (response.headers["x-amz-bucket-region"] ?? error?["Region"]).flatMap {
      isRegionName($0) ? $0 : nil
    }
    date = response.headers["date"].flatMap { Timestamp(parsing: $0) }
    retryAfter = response.headers["retry-after"].flatMap { [date] in seconds(retryAfter: $0, now: date) }
    let location = response.headers["location"].map { " that points to \($0)" } ?? ""
    foreign =
      error?["Code"] != nil ? nil : "HTTP \(response.status)\(location) with \(kind(of: response.body, root))"
  }

  /// One key's error in the answer to a deletion of many.
  init(code: String, message: String) {
    (status, self.code, self.message, isEmpty) = (200, code, message, true)
    (region, date, retryAfter, foreign) = (nil, nil, nil, nil)
  }

  /// The code and the words, or the status where there are none.
  var detail: String { code.isEmpty ? "HTTP \(status)" : message.isEmpty ? code : "\(code): \(message)" }

  /// Whether the server says that it is asked too much of: then fewer requests at once help.
  var meansTooMuch: Bool { status == 429 || status == 503 || Self.busyCodes.contains(code) }

  /// Whether other credentials of the same source may do: these have expired or were exchanged.
  var meansOldCredentials: Bool {
    // The last two are Alibaba Cloud's.
    [
      "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SecurityTokenExpired",
      "InvalidSecurityToken",
    ].contains(code)
  }

  private static let busyCodes: Set<String> = [
    "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "TooManyRequests",
    "RequestLimitExceeded", "RequestThrottled", "ServerBusy", "Busy",
  ]

  /// The error that the answer stands for. `key` is what the request was about, `bucket` and `endpoint` where it went, `ahead` by how
  /// many seconds this machine's clock is ahead of the server's.
  func error(
    _ operation: StoreOperation, key: String, bucket: String, endpoint: String, ahead: Int
  ) -> StoreError {
    let name = operation.rawValue
    switch code {
    case "NoSuchKey": return .missing(key: key)
    case "NoSuchBucket": return .noBucket(name: bucket)
    case "NoSuchUpload": return .noUpload(key: key)
    case "SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "InvalidToken", "InvalidTokenId",
      "TokenRefreshRequired", "InvalidSecurity", "NotSignedUp", "InvalidSecurityToken",
      "SecurityTokenExpired",
      "AccessKeyIdAndSecurityTokenNotMatch":
      return .credentials(code: code, message: message)
    case "AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden":
      return .denied(operation: name, key: key, message: message)
    case "RequestTimeTooSkewed", "RequestExpired": return .clockSkew(seconds: ahead)
    case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
      if let region { return .wrongRegion(expected: region) }
    case _ where Self.busyCodes.contains(code),
      "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted", "TemporaryRedirect",
      "IncompleteBody", "XMinioServerNotInitialized", "XMinioReadQuorum", "XMinioWriteQuorum":
      return .transient(operation: name, detail: detail, retryAfter: retryAfter)
    case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
      return .corruptedInTransit(key: key)
    case "XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage",
      "StorageFull", "TooMuchData":
      return .full(detail: detail)
    case "NotImplemented": return .unsupported(operation: name)
    default: break
    }
    switch status {
    case 301, 307, 308:
      // The answer to a HEAD has no code.
      if let region { return .wrongRegion(expected: region) }
      // It says TemporaryRedirect, where it had a body: the bucket is on its way to where it shall be.
      if status == 307, isEmpty {
        return .transient(operation: name, detail: detail, retryAfter: retryAfter)
      }
    case 507: return .full(detail: detail)
    case 501: return .unsupported(operation: name)
    case 408, 429, 500...: return .transient(operation: name, detail: detail, retryAfter: retryAfter)
    default: break
    }
    if let foreign { return .notS3(endpoint: endpoint, detail: foreign) }
    return .refused(operation: name, key: key, status: status, code: code, message: message)
  }
}

/// The seconds that a `Retry-After` field asks for: a number, or a time, which is held against the answer's own `Date`
/// (RFC 9110, section 10.2.3). Nil for anything else.
private func seconds(retryAfter text: String, now: Timestamp?) -> Double? {
  let seconds = Double(text) ?? now.flatMap { now in Timestamp(parsing: text).map { $0.seconds(since: now) } }
  return seconds.flatMap { $0 >= 0 ? $0 : nil }
}

/// A body in words.
private func kind(of body: [UInt8], _ root: XMLNode?) -> String {
  if body.isEmpty { return "an empty body" }
  if let root, root.name.lowercased() != "html" { return "the XML document <\(root.name)>" }
  let start = String(decoding: body.prefix(1024), as: UTF8.self).lowercased()
  return start.contains("<html") || start.contains("<!doctype html")
    ? "an HTML page" : "a body that is no XML"
}

extension HTTPError {
  /// The error of the store that a request's failure stands for.
  func storeError(_ operation: StoreOperation, key: String, endpoint: String) -> any Error {
    switch self {
    case .resolve(let reason), .connect(let reason), .tls(let reason), .stalled(let reason):
      return StoreError.unreachable(endpoint: endpoint, reason: reason)
    case .certificate(let reason): return StoreError.untrusted(endpoint: endpoint, reason: reason)
    case .interrupted(let reason), .other(_, let reason):
      return StoreError.transient(operation: operation.rawValue, detail: reason, retryAfter: nil)
    case .bodyTooLarge(let limit):
      return StoreError.notS3(endpoint: endpoint, detail: "an answer of more than \(limit) bytes")
    case .headersTooLarge(let limit):
      return StoreError.notS3(
        endpoint: endpoint, detail: "an answer with a header of more than \(limit) bytes")
    case .invalidRequest(let reason):
      return StoreError.refused(
        operation: operation.rawValue, key: key, status: 0, code: "InvalidRequest", message: reason)
    case .closed: return CancellationError()
    }
  }
}
