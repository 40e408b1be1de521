import Digests
import HTTP
import Platform

/// AWS's Security Token Service, or one that is like it (docs.aws.amazon.com/STS/latest/APIReference). MinIO has one at its own address.
struct SecurityTokenService: Sendable {
  private let url: String
  private let region: String
  private let surroundings: CredentialsSurroundings

  /// The service of a region, unless `AWS_ENDPOINT_URL_STS`, `AWS_ENDPOINT_URL` or a profile's `endpoint_url` names another
  /// (docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html).
  init(region: String, configured: String? = nil, _ surroundings: CredentialsSurroundings) {
    let named = [
      surroundings.value("AWS_ENDPOINT_URL_STS"), surroundings.value("AWS_ENDPOINT_URL"), configured,
    ]
    let isIgnored = surroundings.isTrue("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
    url =
      (isIgnored ? nil : named.compactMap { $0 }.first)
      ?? "https://sts.\(region).\(amazonDomain(of: region))"
    self.region = region
    self.surroundings = surroundings
  }

  /// Asks for the credentials of a role.
  ///
  /// - Parameters:
  ///   - action: `AssumeRole` or `AssumeRoleWithWebIdentity`, whose answer has the same form.
  ///   - signer: what the request is signed with; nil leaves it unsigned.
  ///   - secrets: values of the parameters that no error may show.
  func credentials(
    _ action: String, _ parameters: [(name: String, value: String)], signedWith signer: Credentials? = nil,
    at place: CredentialsPlace, origin: String, secrets: [String] = []
  ) async throws -> FoundCredentials {
    guard let endpoint = Endpoint(url), isRegionName(region) else {
      throw place.failed("\(url.debugDescription) is no address of a token service")
    }
    let form = ([(name: "Action", value: action), (name: "Version", value: "2011-06-15")] + parameters)
      .map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))" }.joined(separator: "&")
    let client = surroundings.network()
    func answer(at time: Timestamp) async throws -> HTTPResponse {
      let request = self.request(Array(form.utf8), to: endpoint, signedWith: signer, at: time)
      return try await place.answer(to: request, by: client, surroundings)
    }
    let now = surroundings.clock()
    var response = try await answer(at: now)
    // A signature counts for a few minutes only; a clock that is off is put right by the service's.
    if signer != nil, !response.isSuccess, let date = response.date, abs(date.seconds(since: now)) > 240 {
      response = try await answer(at: date)
    }
    guard response.isSuccess else { throw place.failed(place.refusal(response, secrets: secrets)) }
    guard let root = XMLNode.parse(response.body), root.name == "\(action)Response",
      let answer = root.all("\(action)Result").first?.all("Credentials").first
    else { throw place.failed("\(endpoint.url) answered with something else than the credentials of a role") }
    return try FoundCredentials.checked(
      CredentialsFields(
        accessKey: answer["AccessKeyId"], secretKey: answer["SecretAccessKey"],
        sessionToken: answer["SessionToken"], expires: answer["Expiration"]),
      of: place, origin: origin, now: surroundings.clock(), date: response.date)
  }

  private func request(
    _ body: [UInt8], to endpoint: Endpoint, signedWith signer: Credentials?, at time: Timestamp
  ) -> HTTPRequest {
    var headers = [
      (name: "Host", value: endpoint.authority),
      (name: "Content-Type", value: "application/x-www-form-urlencoded; charset=utf-8"),
    ]
    if let signer {
      headers +=
        Signer(credentials: signer, region: region, service: "sts").sign(
          "POST", path: "/", query: [], headers: headers, payload: hex(SHA256.hash(body)), at: time
        ).headers
    }
    return HTTPRequest("POST", "\(endpoint.url)/", headers: headers, body: Payload(body))
  }
}

extension CredentialsSurroundings {
  /// The name of a session where nobody gave one; it appears in AWS's logs.
  var sessionName: String { "ckbackup-\(clock().seconds)" }
}

/// The domain of Amazon's services in a region: its regions of China, `cn-north-1` and `cn-northwest-1`, have their own.
func amazonDomain(of region: String) -> String {
  region.hasPrefix("cn-north") ? "amazonaws.com.cn" : "amazonaws.com"
}
