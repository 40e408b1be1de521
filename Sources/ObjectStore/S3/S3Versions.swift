import HTTP

extension S3Store {
  /// Whether the bucket keeps versions and no rule of it ends old ones of the repository. A server that does not tell has none.
  public func keepsOldVersions() async throws -> Bool {
    let versioning = try await setting("versioning")
    guard versioning.isSuccess, XMLNode.parse(versioning.body)?["Status"] == "Enabled" else { return false }
    let rules = lifecycleRules(try await setting("lifecycle")) ?? []
    let place = session.settings.full("")
    return !rules.contains { rule in
      guard !rule.isNarrowed, place.hasBytePrefix(rule.prefix) else { return false }
      return rule.actions.contains { if case .deleteOldVersions = $0 { true } else { false } }
    }
  }

  private func setting(_ name: String) async throws -> HTTPResponse {
    var request = S3Request(.list, "GET", bucketFor: "")
    request.query = [(name: name, value: "")]
    return try await session.exchange(request)
  }
}
