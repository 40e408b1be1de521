import Digests
import HTTP
import Platform

extension S3Store {
  /// Whether the bucket was made with object lock. A server that does not know the question, or answers another one, has none.
  public func offersLocks() async throws -> Bool {
    var request = S3Request(.retention, "GET", bucketFor: "the bucket \(session.settings.bucket)")
    request.query = [(name: "object-lock", value: "")]
    let response = try await session.exchange(request)
    if response.isSuccess {
      let root = XMLNode.parse(response.body)
      return root?.name == "ObjectLockConfiguration" && root?["ObjectLockEnabled"] == "Enabled"
    }
    let problem = S3Problem(response)
    if problem.meansNoLock { return false }
    throw session.error(problem, request)
  }

  /// The retention of an object's newest version, or nil where it has none or is not there.
  public func retention(of key: String) async throws -> ObjectRetention? {
    try requireKey(key, for: .retention)
    var request = S3Request(.retention, "GET", key: key)
    request.query = [(name: "retention", value: "")]
    let response = try await session.exchange(request)
    guard response.isSuccess else {
      let problem = S3Problem(response)
      if problem.meansNoLock || problem.code == "NoSuchKey" { return nil }
      throw session.error(problem, request)
    }
    // Servers that do not know the question may answer with the object.
    guard let root = XMLNode.parse(response.body), root.name == "Retention" else { return nil }
    guard root["Mode"] != nil || root["RetainUntilDate"] != nil else { return nil }
    guard let mode = root["Mode"].flatMap({ ObjectRetention.Mode(rawValue: $0.lowercased()) }),
      let until = root["RetainUntilDate"].flatMap({ Timestamp(parsing: $0) })
    else {
      // What is locked in a way that is not understood must not be taken for free.
      throw StoreError.transient(
        operation: StoreOperation.retention.rawValue, detail: "a lock that is not understood",
        retryAfter: nil)
    }
    return ObjectRetention(mode: mode, until: until)
  }

  /// Locks an object's newest version. What holds it longer or more strictly already stays: servers are not relied on to refuse less.
  @discardableResult
  public func lock(_ key: String, _ retention: ObjectRetention) async throws -> Bool {
    let present = try await self.retention(of: key)
    let wanted = retention.joined(with: present)
    if wanted == present { return false }
    // A part of a second would be cut off by `rfc3339`.
    let until = wanted.until.seconds(since: Timestamp(seconds: wanted.until.seconds)) > 0 ? 1 : 0
    let date = Timestamp(seconds: wanted.until.seconds + Int64(until)).rfc3339
    let body = Array(
      "<Retention xmlns=\"\(s3Namespace)\"><Mode>\(wanted.mode.rawValue.uppercased())</Mode><RetainUntilDate>\(date)</RetainUntilDate></Retention>"
        .utf8)
    var request = S3Request(.lock, "PUT", key: key)
    request.query = [(name: "retention", value: "")]
    request.headers = [
      (name: "Content-Type", value: "application/xml"),
      (name: "Content-MD5", value: base64(MD5.hash(body))),
    ]
    request.body = Payload(body)
    _ = try await session.send(request)
    return true
  }
}

extension S3Problem {
  /// Whether the answer says that the bucket or object has no lock, or that the server has none at all.
  ///
  /// Amazon answers InvalidRequest to questions about objects of a bucket without object lock.
  fileprivate var meansNoLock: Bool {
    code.hasPrefix("ObjectLockConfigurationNotFound") || code == "NoSuchObjectLockConfiguration"
      || ["NotImplemented", "MethodNotAllowed", "InvalidRequest"].contains(code)
      || [405, 501].contains(status)
  }
}
