import Digests
import HTTP
import Platform

extension S3Store {
  /// Whether an upload's answers told so. Amazon says that ETags of what it encrypts with keys of KMS or the client are no MD5
  /// (docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html), Alibaba that those of joined objects are unique values
  /// (help.aliyun.com/en/oss/developer-reference/completemultipartupload); both look like those that are.
  public var hasOpaqueETags: Bool { sawOpaqueETags.load(ordering: .relaxed) }

  private func noteETags(of response: HTTPResponse) {
    let isAlibaba =
      session.settings.endpoint.isIn("aliyuncs.com")
      || response.headers.fields.contains { $0.name.lowercased().hasPrefix("x-oss-") }
    if isAlibaba || hasKeyOfItsOwn(response) { sawOpaqueETags.store(true, ordering: .relaxed) }
  }

  /// Begins an object that is sent in parts.
  public func beginMultipart(_ key: String) async throws -> MultipartUpload {
    try requireKey(key, for: .beginMultipart)
    var request = S3Request(.beginMultipart, "POST", key: key)
    request.query = [(name: "uploads", value: "")]
    request.headers = [(name: "Content-Type", value: "application/octet-stream")]
    let response = try await session.send(request)
    noteETags(of: response)
    guard let root = XMLNode.parse(response.body), root.name.hasPrefix("InitiateMultipartUpload"),
      let id = root["UploadId"], !id.isEmpty
    else { throw unexpected(response, request) }
    return MultipartUpload(key: key, id: id)
  }

  /// Sends a part with its MD5 signed. S3 takes the place of a part from its number, not from `offset`.
  public func uploadPart(
    _ upload: MultipartUpload, number: Int, offset: Int, _ payload: Payload, md5: [UInt8]
  ) async throws -> PartReceipt {
    try requireKey(upload.key, for: .uploadPart)
    var request = S3Request(.uploadPart, "PUT", key: upload.key)
    request.query = [(name: "partNumber", value: "\(number)"), (name: "uploadId", value: upload.id)]
    request.headers = [(name: "Content-MD5", value: base64(md5))]
    request.body = payload
    let response = try await session.send(request)
    noteETags(of: response)
    guard let etag = try checkedETag(response, md5: md5, key: upload.key) else {
      throw session.notS3("a part without an ETag")
    }
    return PartReceipt(
      number: number, etag: etag, size: payload.count, isDigest: etag.lowercased() == hex(md5))
  }

  /// Makes a part of an object on the same server, as far as the same credentials see both
  /// (docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html). As with a completion, the body of the answer decides.
  public func copyPart(
    _ upload: MultipartUpload, number: Int, of key: String, in other: any ObjectStore, range: Range<Int>
  ) async throws -> PartReceipt? {
    try requireKey(upload.key, for: .copyPart)
    guard let other = other as? S3Store, !range.isEmpty, try await session.sharesServer(with: other.session)
    else { return nil }
    let settings = other.session.settings
    let source = percentEncoded("/\(settings.bucket)/\(settings.full(key))", keeping: "/")
    var request = S3Request(.copyPart, "PUT", key: upload.key)
    request.query = [(name: "partNumber", value: "\(number)"), (name: "uploadId", value: upload.id)]
    request.headers = [
      (name: "x-amz-copy-source", value: source),
      (name: "x-amz-copy-source-range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)"),
    ]
    if let key = settings.customerKey { request.headers += key.fields(.copySource) }
    let response = try await session.send(request)
    guard let root = XMLNode.parse(response.body), root.name.hasPrefix("CopyPart"),
      let etag = root["ETag"].flatMap(plainETag)
    else {
      let problem = S3Problem(response)
      // A server that does not know the header takes the request for a part without bytes.
      throw problem.code.isEmpty
        ? StoreError.unsupported(operation: StoreOperation.copyPart.rawValue)
        : session.error(problem, request)
    }
    return PartReceipt(
      number: number, etag: etag, size: range.count, isDigest: !hasKeyOfItsOwn(response))
  }

  /// Joins the parts. Only the body of the answer says whether that was done: a 200 may carry an error, sent after the server had
  /// begun to answer (docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html).
  @discardableResult
  public func complete(_ upload: MultipartUpload, _ parts: [PartReceipt]) async throws -> String? {
    try requireKey(upload.key, for: .complete)
    var document = "<CompleteMultipartUpload xmlns=\"\(s3Namespace)\">"
    for part in parts.sorted(by: { $0.number < $1.number }) {
      let etag = xmlEscaped("\"\(part.etag)\"")
      document += "<Part><PartNumber>\(part.number)</PartNumber><ETag>\(etag)</ETag></Part>"
    }
    document += "</CompleteMultipartUpload>"
    var request = S3Request(.complete, "POST", key: upload.key)
    request.query = [(name: "uploadId", value: upload.id)]
    request.headers = [(name: "Content-Type", value: "application/xml")]
    request.body = Payload(Array(document.utf8))
    let response = try await session.send(request)
    guard let root = XMLNode.parse(response.body) else {
      throw StoreError.transient(
        operation: StoreOperation.complete.rawValue, detail: "the answer is no XML document", retryAfter: nil)
    }
    guard root.name.hasPrefix("CompleteMultipartUpload") else { throw unexpected(response, request) }
    noteETags(of: response)
    return root["ETag"].flatMap(plainETag)
  }

  /// Ends an upload and frees its parts.
  public func abort(_ upload: MultipartUpload) async throws {
    try requireKey(upload.key, for: .abort)
    var request = S3Request(.abort, "DELETE", key: upload.key)
    request.query = [(name: "uploadId", value: upload.id)]
    do {
      _ = try await session.send(request)
    } catch StoreError.noUpload, StoreError.missing {}
  }

  /// The error in a successful answer, or that it is none of S3's.
  private func unexpected(_ response: HTTPResponse, _ request: S3Request) -> StoreError {
    let problem = S3Problem(response)
    guard problem.code.isEmpty else { return session.error(problem, request) }
    return session.notS3(problem.foreign ?? problem.detail)
  }
}

/// The namespace of S3's documents.
let s3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
