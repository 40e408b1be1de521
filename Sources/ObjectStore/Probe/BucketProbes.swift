import HTTP
import Platform

/// What the bucket is set to, read only.
let bucketProbes: [Probe] = [
  Probe("signature-checked", .useful, .s3, writes: false) { it in
    guard let s3 = it.s3 else { return .unknown("not tried") }
    let error = try await s3.session.errorWithWrongSecret()
    return error
      ? .holds("a wrong secret key is refused")
      : .doesNotHold("a wrong secret key is accepted: anybody who reaches the server reads and writes")
  },
  Probe("versioning", .informative, .s3, writes: false) { it in
    let answer = try await it.raw("GET", query: [(name: "versioning", value: "")])
    guard let root = XMLNode.parse(answer.body), answer.isSuccess, root.name.contains("Versioning") else {
      return untold(answer)
    }
    return root["Status"] == "Enabled"
      ? .holds(
        "the bucket keeps versions: what is overwritten or deleted can be had again, and is paid for until a rule ends old versions (NoncurrentVersionExpiration)"
      )
      : .doesNotHold("the bucket keeps no versions: what is overwritten is gone")
  },
  Probe("object-lock", .informative, .s3, writes: false) { it in
    let answer = try await it.raw("GET", query: [(name: "object-lock", value: "")])
    if S3Problem(answer).code.hasPrefix("ObjectLockConfigurationNotFound") {
      return .doesNotHold("objects are not locked against deletion")
    }
    guard let root = XMLNode.parse(answer.body), answer.isSuccess, root.name == "ObjectLockConfiguration"
    else { return untold(answer) }
    guard root["ObjectLockEnabled"] == "Enabled" else {
      return .doesNotHold("objects are not locked against deletion")
    }
    let rule = root.all("Rule").first?.all("DefaultRetention").first
    let time = rule.map { $0["Days"].map { "\($0) days" } ?? $0["Years"].map { "\($0) years" } ?? "" }
    return .holds(
      time.map { "objects are locked for \($0) (\(rule?["Mode"] ?? ""))" }
        ?? "objects can be locked (push --lock-for), and are not by default")
  },
  Probe("lifecycle-abort", .useful, .s3, writes: false) { it in
    let answer = try await it.raw("GET", query: [(name: "lifecycle", value: "")])
    guard let rules = lifecycleRules(answer), let s3 = it.s3 else { return untold(answer) }
    let place = s3.session.settings.full("")
    let days = rules.filter { place.hasBytePrefix($0.prefix) }.flatMap(\.actions).compactMap { action in
      if case .abortUploads(let days) = action { days } else { nil }
    }
    guard let days = days.min() else {
      return .doesNotHold(
        "no rule of the bucket ends abandoned uploads; prune does, or one that ckbackup lifecycle sets")
    }
    return .holds("the bucket ends abandoned uploads after \(days) days")
  },
  Probe("lifecycle-expiration", .needed, .s3, writes: false) { it in
    let answer = try await it.raw("GET", query: [(name: "lifecycle", value: "")])
    guard let rules = lifecycleRules(answer), let s3 = it.s3 else { return untold(answer) }
    let place = s3.session.settings.full("")
    for rule in rules where rule.touches(place) {
      for case .delete(let after) in rule.actions {
        return .doesNotHold(
          "the bucket's rule \(quoted(rule.id)) deletes objects of the repository after \(after): take it away, or backups are lost"
        )
      }
    }
    return .holds("no rule of the bucket deletes objects of the repository")
  },
]

/// A setting that cannot be read.
private func untold(_ answer: HTTPResponse) -> ProbeFinding {
  .unknown(
    answer.isSuccess
      ? "the server answers another question" : "the server does not tell (\(answer.told))")
}

/// The bucket's rules that are in force; nil where the server does not tell.
func lifecycleRules(_ answer: HTTPResponse) -> [LifecycleRule]? {
  if LifecycleDocument.codesOfNone.contains(S3Problem(answer).code) { return [] }
  guard answer.isSuccess else { return nil }
  return LifecycleDocument(answer.body)?.rules.filter(\.isEnabled)
}

extension S3Session {
  /// Whether a request that is signed with another secret is refused.
  fileprivate func errorWithWrongSecret() async throws -> Bool {
    let other = try await withSecret("not-the-secret")
    var request = S3Request(.list, "GET", bucketFor: "")
    request.query = [
      (name: "list-type", value: "2"), (name: "max-keys", value: "1"),
      (name: "prefix", value: settings.full("doctor/")),
    ]
    let answer = try await other.exchange(request)
    guard answer.status < 500, answer.status != 429 else {
      throw StoreError.transient(
        operation: StoreOperation.list.rawValue, detail: "HTTP \(answer.status)", retryAfter: nil)
    }
    return !answer.isSuccess
  }
}
