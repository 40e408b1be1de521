import ObjectStore

/// What to do about a server's refusals, by their codes: the one place where codes become advice.
///
/// Codes of Amazon S3 are those of docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, those of Alibaba OSS those of
/// alibabacloud.com/help/en/oss/user-guide/http-403-error-code; the rest were seen.
struct ServerAdvice: Sendable {
  /// Why, as a clause that follows the code; empty where the code or the server's own words say it.
  let cause: String
  /// What to do: a sentence.
  let cure: String

  private init(_ cause: String, _ cure: String) {
    self.cause = cause
    self.cure = cure
  }

  /// What is known of a code; `words` are the server's own, which tell apart what some servers have one code for. Nil where nothing is.
  init?(code: String, words: String) {
    let text = words.lowercased()
    if let row = Self.byWords.first(where: { text.contains($0.words) && ($0.code ?? code) == code }) {
      self = row.advice
    } else if let advice = Self.byCode[code] {
      self = advice
    } else if code.hasPrefix("KMS") {
      self = Self.encryptionKey
    } else {
      return nil
    }
  }

  private static let encryptionKey = ServerAdvice(
    "the key that the bucket is encrypted with cannot be used",
    "Have the key enabled, and ask for kms:GenerateDataKey and kms:Decrypt on it.")
  private static let account = ServerAdvice(
    "the account that owns the bucket is suspended or has not paid",
    "Settle that with the provider, then run the same command again.")
  private static let session = ServerAdvice(
    "the session has ended or its token is not this access key's",
    "Get new session credentials; with permanent keys, unset AWS_SESSION_TOKEN.")
  private static let server = ServerAdvice(
    "what answers does not keep objects",
    "Check that --endpoint is the S3 service, and no console, website or proxy.")

  /// Codes alone.
  private static let byCode: [String: ServerAdvice] = [
    "SignatureDoesNotMatch": .init(
      "the secret key is not the one of this access key, or something on the way changes requests",
      "Check the secret key, blanks and line ends in it too, and a proxy before the server."),
    "InvalidAccessKeyId": .init(
      "this server does not know the access key",
      "Check the access key, and that it belongs to this --endpoint."),
    "ExpiredToken": session, "InvalidToken": session, "InvalidTokenId": session,
    "TokenRefreshRequired": session,
    "InvalidSecurityToken": session, "SecurityTokenExpired": session,
    "AccessKeyIdAndSecurityTokenNotMatch": session,
    "NotSignedUp": account, "UserDisable": account, "InDebt": account, "InDebtOverdue": account,
    "AbnormalBucketOwnerStatus": account, "BucketDisable": account,
    "AuthorizationHeaderMalformed": .init(
      "the request was signed for another region", "Set --region to the bucket's."),
    "AuthorizationParametersError": .init("", "Set --region to the one that the server is configured with."),
    "PermanentRedirect": .init(
      "the bucket is reached at another endpoint", "Set --endpoint and --region to the bucket's."),
    "IllegalLocationConstraintException": .init(
      "the bucket is in another region", "Set --region to the bucket's."),
    "SecondLevelDomainForbidden": .init(
      "this server wants the bucket in the host's name", "Set addressing = \"virtual\" in the configuration."),
    "NonStandardHostForbidden": .init(
      "this server does not take that host name",
      "Set --endpoint to the service's own name, without the bucket."),
    "InvalidBucketName": .init(
      "that is no bucket's name here", "Check the bucket in --repo, and addressing in the configuration."),
    "BucketNotBelongTo": .init(
      "the bucket is somebody else's", "Check the bucket in --repo, and whose the access key is."),
    "EntityTooLarge": .init(
      "the object is larger than this server takes",
      "Set a smaller pack_size in the configuration, for example \"256MiB\"."),
    "EntityTooSmall": .init(
      "this server asks for larger parts than 16 MiB",
      "Set pack_size = \"16MiB\" in the configuration: then no pack is sent in parts."),
    "InvalidObjectState": .init(
      "the object was moved to an archive class, by a lifecycle rule perhaps",
      "Have it brought back to a class that can be read at once, and keep such rules off this prefix."),
    "InvalidStorageClass": .init(
      "the bucket asks for a storage class that this server does not have",
      "Change the bucket's default storage class."),
    "MethodNotAllowed": server, "UnsupportedOperation": server,
    "ObjectLocked": .init("the object is locked", "Wait for the end of its retention, or lift it."),
    "FileImmutable": .init(
      "a retention policy of the bucket keeps the object", "Wait for the end of its retention."),
    "FileAlreadyExists": .init(
      "the bucket forbids to overwrite objects", "Let this prefix be overwritten: labels and ledgers are."),
    "InvalidPart": .init("parts of the upload are gone", "Run the same command again."),
    "InvalidPartOrder": .init("", "Run the same command again."),
    "KeyTooLongError": .init("the key is too long for this server", "Take a shorter prefix or run."),
    "MissingContentMD5": .init(
      "something on the way drops Content-MD5", "Check the proxy before the server."),
    "MissingContentLength": .init(
      "something on the way drops Content-Length", "Check the proxy before the server."),
    "RequestExpired": .init("the request arrived too late", "Check the clock and the network."),
    "UbsmsInvalidBid": encryptionKey,
  ]

  /// Words of the server, where one code stands for different things; `code` nil for any.
  private static let byWords: [(code: String?, words: String, advice: ServerAdvice)] = [
    (
      nil, "must be addressed using the specified endpoint",
      .init("the bucket is reached at another endpoint", "Set --endpoint and --region to the bucket's.")
    ),
    (
      "AccessDenied", "public endpoint",
      .init(
        "buckets of accounts since March 2025 are not reached by OSS's public endpoint in mainland China",
        "Map a domain of your own to the bucket, or use the internal endpoint (docs/stores.md, Alibaba OSS).")
    ),
    (
      "AccessDenied", "cname",
      .init(
        "this bucket is to be reached by a domain of its own",
        "Map a domain of your own to the bucket, or use the internal endpoint (docs/stores.md, Alibaba OSS).")
    ),
    ("AccessDenied", "kms", encryptionKey),
    (
      "AccessDenied", "object protected by object lock",
      .init("the object is locked", "Wait for the end of its retention, or lift it.")
    ),
    (
      "AccessDenied", "anonymous",
      .init("the request arrived without a signature", "Check the proxy before the server.")
    ),
    (
      nil, "must use aws4-hmac-sha256",
      .init("", "Set --region to the bucket's.")
    ),
  ]
}
