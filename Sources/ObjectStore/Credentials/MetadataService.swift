import HTTP

/// A service that tells an instance of a cloud of itself. AWS's and Alibaba Cloud's differ in names only.
struct MetadataService {
  let name: String
  let url: String
  /// Where the name of the role stands, and below it the role's credentials.
  let rolesPath: String
  /// The field that carries the session's token.
  let header: String
  /// Whose role it is, in words.
  let owner: String
  let surroundings: CredentialsSurroundings

  /// The credentials of a role, or of the one that the service names.
  ///
  /// - Parameter withoutToken: whether to go on where the service gives no token for a session.
  /// - Throws: `.missing` where there is no such service or the instance has no role, `.failed` where it has one and gives nothing.
  func credentials(of role: String?, withoutToken: Bool) async throws -> FoundCredentials {
    let client = surroundings.machine()
    var headers: [(name: String, value: String)] = []
    let token = try await token(by: client, isNeeded: !withoutToken)
    if let token { headers = [(name: header, value: token)] }
    var names = role
    if names == nil {
      names = try await firstRole(headers, client)
    }
    guard let role = names, isRoleName(role) else {
      throw CredentialsError.failed(
        place: name, reason: "the name of the role cannot be read", cure: "Check what answers at \(url)")
    }
    let place = CredentialsPlace(
      name: "the role \(role) of \(owner)", cure: "Check that the role is still attached")
    return try await place.document(
      of: HTTPRequest("GET", "\(url)\(rolesPath)\(percentEncoded(role, keeping: "+=,@"))", headers: headers),
      by: client,
      surroundings, origin: place.name, secrets: [token ?? ""])
  }

  /// A token for a session of six hours, the longest there is. Asked once: most machines have no such service.
  private func token(by client: any HTTPTransport, isNeeded: Bool) async throws -> String? {
    let request = HTTPRequest(
      "PUT", "\(url)/latest/api/token", headers: [(name: "\(header)-ttl-seconds", value: "21600")])
    do {
      let response = try await surroundings.answer(to: request, by: client, tries: 1)
      let token = String(decoding: response.body, as: UTF8.self)
      if response.status == 200, !token.isEmpty, !token.contains(" "), isHeaderValue(token, limit: 4096) {
        return token
      }
      if isNeeded { throw missing("HTTP \(response.status) instead of a token") }
    } catch let error as HTTPError {
      // Without an answer there is no service, and no need to ask for more.
      throw missing(error.words)
    }
    return nil
  }

  private func firstRole(
    _ headers: [(name: String, value: String)], _ client: any HTTPTransport
  ) async throws -> String {
    let request = HTTPRequest("GET", "\(url)\(rolesPath)", headers: headers)
    do {
      let response = try await surroundings.answer(to: request, by: client)
      if response.status == 404 { throw missing("the instance has no role") }
      guard response.isSuccess else { throw missing("HTTP \(response.status)") }
      return trim(String(decoding: response.body, as: UTF8.self).prefix { !$0.isNewline })
    } catch let error as HTTPError {
      throw missing(error.words)
    }
  }

  private func missing(_ why: String) -> CredentialsError { .missing(looked: ["\(name) (\(why))"]) }

  /// What names of roles are made of (docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html).
  private func isRoleName(_ text: String) -> Bool {
    (1...128).contains(text.utf8.count)
      && text.unicodeScalars.allSatisfy {
        $0.isASCII && ($0.properties.isAlphabetic || "0123456789_+=,.@-".unicodeScalars.contains($0))
      }
  }
}
