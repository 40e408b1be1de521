import Digests
import HTTP
import Platform

extension S3Store {
  /// Whether an object can be read, as a HEAD tells
  /// (docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html, `x-amz-restore`; Alibaba OSS's fields are of the same form).
  public func archiveState(of key: String) async throws -> ArchiveState {
    try requireKey(key, for: .head)
    let request = S3Request(.head, "HEAD", key: key)
    let response = try await session.exchange(request)
    if response.status == 404 { throw StoreError.missing(key: key) }
    guard response.isSuccess else { throw session.error(S3Problem(response), request) }
    let (fields, prefixes) = (response.headers, ["x-amz-", "x-oss-"])
    let name = prefixes.compactMap { fields[$0 + "storage-class"] }.first
    // The tier of an object in INTELLIGENT_TIERING, which alone says whether it is in an archive.
    let tier = fields["x-amz-archive-status"]
    let copy = prefixes.compactMap { fields[$0 + "restore"] }.first?.filter { $0 != " " && $0 != "\"" }
    if let copy, copy.contains("ongoing-request=true") {
      return ArchiveState(.thawing, storageClass: tier ?? name)
    }
    if let copy, copy.contains("ongoing-request=false") { return ArchiveState(.readable, storageClass: name) }
    let isFrozen = (tier ?? name).flatMap { ArchiveClass($0) } != nil
    return ArchiveState(isFrozen ? .frozen : .readable, storageClass: tier ?? name)
  }

  /// Asks for an object of an archive class to be brought back, and gives its state then
  /// (docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html; help.aliyun.com/en/oss/developer-reference/restoreobject).
  /// One that was asked for already is not asked for again.
  public func thaw(_ key: String, _ thaw: ThawRequest) async throws -> ArchiveState {
    let state = try await archiveState(of: key)
    if state.stage == .thawing { return state }
    let name = state.storageClass
    let body = Array(document(thaw, storageClass: name).utf8)
    var request = S3Request(.thaw, "POST", key: key)
    request.query = [(name: "restore", value: "")]
    request.headers = [
      (name: "Content-Type", value: "application/xml"),
      (name: "Content-MD5", value: base64(MD5.hash(body))),
    ]
    request.body = Payload(body)
    let response = try await session.exchange(request)
    // 202 begins it, 200 finds a copy that can be read already.
    if response.isSuccess {
      return ArchiveState(response.status == 200 ? .readable : .thawing, storageClass: name)
    }
    let problem = S3Problem(response)
    if problem.code == "RestoreAlreadyInProgress" { return ArchiveState(.thawing, storageClass: name) }
    throw session.error(problem, request)
  }

  /// A tier of INTELLIGENT_TIERING takes no days: what is brought back stays until nobody reads it for long.
  private func document(_ thaw: ThawRequest, storageClass name: String?) -> String {
    let isTier = name?.uppercased().hasSuffix("_ACCESS") == true
    let days = isTier ? "" : "<Days>\(thaw.days)</Days>"
    let tier = "<Tier>\(thaw.tier.rawValue)</Tier>"
    guard session.settings.cloud == .alibaba else {
      return
        "<RestoreRequest xmlns=\"\(s3Namespace)\">\(days)<GlacierJobParameters>\(tier)</GlacierJobParameters></RestoreRequest>"
    }
    // Its Archive knows no tiers.
    let parameters =
      name.flatMap { ArchiveClass($0) } == .archive ? "" : "<JobParameters>\(tier)</JobParameters>"
    return "<RestoreRequest>\(days)\(parameters)</RestoreRequest>"
  }
}
