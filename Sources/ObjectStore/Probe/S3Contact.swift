import HTTP
import Platform

extension S3Settings {
  /// The server's address without a path, for example `https://minio.example:9000`.
  public var endpointURL: String { endpoint.url }
  /// Whether requests go over TLS.
  public var usesTLS: Bool { endpoint.scheme == "https" }
  /// The port that requests go to.
  public var port: Int { endpoint.port ?? (usesTLS ? 443 : 80) }
  /// The host that requests go to, without brackets and port: the endpoint's, or the bucket's below it.
  public var host: String {
    var host = endpoint.host
    if usesVirtualHost { host = "\(bucket).\(host)" }
    return host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
  }
  /// Whether the bucket is named by the host (`https://bucket.host/key`) and not by the path.
  public var usesVirtualHost: Bool { address(nil, region: region).path == "/" }
}

/// The first signed request to a server, and what its answer tells.
public struct S3Contact: Sendable {
  /// Why the bucket could not be listed; nil where it was.
  public let error: StoreError?
  /// The region that the server wants; that of the settings where it told no other.
  public let region: String
  /// Seconds that this machine's clock is ahead of the server's, or nil where the answer has no time.
  public let clockAhead: Double?
  /// What the server calls itself.
  public let server: String?
  /// Seconds that the answer took, connections and corrections included.
  public let seconds: Double

  /// Asks for the first key below the settings' prefix. Throws `CredentialsError` where there are none, and `CancellationError`.
  public static func make(
    _ settings: S3Settings, _ credentials: any CredentialsProvider, transport: (any HTTPTransport)? = nil
  ) async throws -> S3Contact {
    let store = S3Store(settings, credentials: credentials, transport: transport)
    let session = store.session
    var request = S3Request(.list, "GET", bucketFor: settings.prefix)
    request.query = [
      (name: "list-type", value: "2"), (name: "max-keys", value: "1"),
      (name: "prefix", value: settings.full("")),
    ]
    let start = monotonicSeconds()
    var response: HTTPResponse?
    var failure: StoreError?
    do {
      let answer = try await session.exchange(request)
      response = answer
      let problem = S3Problem(answer)
      if !answer.isSuccess {
        failure = session.error(problem, request)
      } else if XMLNode.parse(answer.body)?.name != "ListBucketResult" {
        failure = session.notS3(problem.foreign ?? problem.detail)
      }
    } catch let error as StoreError {
      failure = error
    }
    let seconds = monotonicSeconds() - start
    let date = response?.headers["date"].flatMap { Timestamp(parsing: $0) }
    return S3Contact(
      error: failure, region: session.region, clockAhead: date.map { Timestamp.now().seconds(since: $0) },
      server: response?.headers["server"], seconds: seconds)
  }
}
