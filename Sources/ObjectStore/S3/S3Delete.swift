import Digests
import HTTP
import Platform

extension S3Store {
  /// Removes objects, a thousand a request, or one by one where the server does not know that request.
  public func delete(_ keys: [String]) async throws {
    for key in keys { try requireKey(key, for: .delete) }
    var failures: [String: StoreError] = [:]
    var rest = keys[...]
    while !rest.isEmpty {
      let batch = Array(rest.prefix(1000))
      rest = rest.dropFirst(batch.count)
      try await failures.merge(remove(batch)) { $1 }
    }
    guard !failures.isEmpty else { return }
    // Failures that pass, and no other, are worth the same request again.
    if let passing = failures.values.first, failures.values.allSatisfy(\.isTransient) { throw passing }
    throw StoreError.partial(failures: failures.mapValues(reason))
  }

  private func remove(_ keys: [String]) async throws -> [String: StoreError] {
    if !deletesOneByOne.load(ordering: .relaxed) {
      do {
        return try await removeTogether(keys)
      } catch StoreError.unsupported {
        deletesOneByOne.store(true, ordering: .relaxed)
      } catch StoreError.refused(_, _, status: 405, _, _) {
        deletesOneByOne.store(true, ordering: .relaxed)
      }
    }
    return try await removeOneByOne(keys)
  }

  private func removeTogether(_ keys: [String]) async throws -> [String: StoreError] {
    // With a list of what was deleted: where nothing else is to be said, OSS has no body to answer in quiet mode
    // (help.aliyun.com/en/oss/user-guide/0016-00000610).
    var document = "<Delete xmlns=\"\(s3Namespace)\"><Quiet>false</Quiet>"
    for key in keys { document += "<Object><Key>\(xmlEscaped(session.settings.full(key)))</Key></Object>" }
    document += "</Delete>"
    let body = Array(document.utf8)
    var request = S3Request(.delete, "POST", bucketFor: keys[0])
    request.query = [(name: "delete", value: "")]
    request.headers = [
      (name: "Content-Type", value: "application/xml"),
      (name: "Content-MD5", value: base64(MD5.hash(body))),
    ]
    request.body = Payload(body)
    request.sink = .memory(limit: 8 << 20)
    let response = try await session.send(request)
    guard let root = XMLNode.parse(response.body), root.name == "DeleteResult" else {
      let problem = S3Problem(response)
      throw problem.code.isEmpty
        ? session.notS3(problem.foreign ?? problem.detail) : session.error(problem, request)
    }
    var failures: [String: StoreError] = [:]
    for item in root.all("Error") {
      let key = item["Key"].flatMap { session.settings.relative($0) } ?? item["Key"] ?? ""
      let code = item["Code"] ?? ""
      let problem = S3Problem(code: code, message: item["Message"] ?? "")
      let error = problem.error(
        .delete, key: key, bucket: session.settings.bucket, endpoint: session.settings.endpoint.url, ahead: 0)
      if case .missing = error { continue }
      failures[key] = error
    }
    return failures
  }

  private func removeOneByOne(_ keys: [String]) async throws -> [String: StoreError] {
    var failures: [String: StoreError] = [:]
    for key in keys {
      do {
        _ = try await session.send(S3Request(.delete, "DELETE", key: key))
      } catch StoreError.missing {
        continue
      } catch let error as StoreError {
        if case .unreachable = error { throw error }
        failures[key] = error
      }
    }
    return failures
  }

  private func reason(_ error: StoreError) -> String {
    switch error {
    case .denied(_, _, let message): message.isEmpty ? "access denied" : message
    case .refused(_, _, _, let code, let message): "\(code): \(message)"
    case .transient(_, let detail, _): detail
    case .credentials(let code, let message): "\(code): \(message)"
    default: "\(error)"
    }
  }
}
