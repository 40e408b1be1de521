import HTTP

/// Credentials of a container, from the agent beside it: Amazon ECS, and EKS Pod Identity
/// (docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html).
struct ContainerCredentials: CredentialsSource {
  private static let variables = (
    relative: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", full: "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    token: "AWS_CONTAINER_AUTHORIZATION_TOKEN", tokenFile: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
  )
  /// The agents of ECS and EKS. The token goes to them, to this machine itself, and to whoever proves by TLS who he is.
  private static let agents = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"]

  private let surroundings: CredentialsSurroundings

  init(_ surroundings: CredentialsSurroundings) { self.surroundings = surroundings }

  func find() async throws -> FoundCredentials {
    let names = Self.variables
    let place: CredentialsPlace
    let url: String
    if let path = surroundings.value(names.relative) {
      url = "http://\(Self.agents[0])\(path)"
      place = CredentialsPlace(name: names.relative, cure: "Check the role of this task")
      guard path.hasPrefix("/") else { throw place.failed("it must begin with a slash") }
    } else if let full = surroundings.value(names.full) {
      url = full
      place = CredentialsPlace(
        name: names.full, cure: "Check the agent that answers there, and the role of this pod")
      guard isAllowed(full) else {
        throw CredentialsError.failed(
          place: names.full, reason: "its host is none that credentials are taken from",
          cure: "It must be https, this machine itself, 169.254.170.2 or 169.254.170.23")
      }
    } else {
      throw CredentialsError.missing(looked: [names.full])
    }
    var request = HTTPRequest("GET", url, headers: [(name: "Accept", value: "application/json")])
    // The file beats the variable, and is read each time: Kubernetes replaces it.
    var token = surroundings.value(names.token)
    if let file = surroundings.value(names.tokenFile) { token = trim(try await surroundings.text(of: file)) }
    if let token {
      guard isHeaderValue(token, limit: 32 << 10) else {
        throw place.failed("the authorization token has characters that no token has")
      }
      request.headers.append((name: "Authorization", value: token))
    }
    return try await place.document(
      of: request, by: surroundings.machine(), surroundings, origin: "the role of this container",
      secrets: [token ?? ""])
  }

  private func isAllowed(_ url: String) -> Bool {
    guard let scheme = url.firstRange(of: "://") else { return false }
    let authority = url[scheme.upperBound...].prefix { !"/?#".contains($0) }
    guard let endpoint = Endpoint("\(url[..<scheme.lowerBound])://\(authority)") else { return false }
    return endpoint.scheme == "https" || endpoint.isLoopback || Self.agents.contains(endpoint.host)
  }
}

extension Endpoint {
  /// Whether it is this machine itself, by a name or address that cannot be anybody else's.
  var isLoopback: Bool {
    let numbers = host.split(separator: ".", omittingEmptySubsequences: false).map {
      // Numbers that begin with 0 are octal to some readers.
      $0.count > 1 && $0.first == "0" ? nil : UInt8($0)
    }
    return host == "localhost" || host == "[::1]"
      || numbers.count == 4 && numbers[0] == 127 && !numbers.contains(nil)
  }
}
