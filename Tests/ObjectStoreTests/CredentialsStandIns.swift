import HTTP
import ObjectStore
import Platform
import Synchronization

/// Stands for the network: answers each request as a test says, and keeps them.
final class StandInService: HTTPTransport {
  private let log = Mutex<[HTTPRequest]>([])
  private let answer: @Sendable (HTTPRequest) throws -> HTTPResponse

  init(_ answer: @escaping @Sendable (HTTPRequest) throws -> HTTPResponse) { self.answer = answer }

  var requests: [HTTPRequest] { log.withLock { $0 } }
  var urls: [String] { requests.map { "\($0.method) \($0.url)" } }

  func send(_ request: HTTPRequest) async throws -> HTTPResponse {
    log.withLock { $0.append(request) }
    return try answer(request)
  }
}

extension HTTPRequest {
  func header(_ name: String) -> String? {
    headers.first { $0.name.lowercased() == name.lowercased() }?.value
  }

  var bodyText: String { String(decoding: body.bytes(), as: UTF8.self) }

  /// The fields of a form.
  var form: [String: String] {
    Dictionary(
      bodyText.split(separator: "&").map { pair in
        let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
        return (parts[0], parts.count > 1 ? parts[1] : "")
      }, uniquingKeysWith: { $1 })
  }
}

extension HTTPResponse {
  static func text(_ body: String, status: Int = 200) -> HTTPResponse {
    HTTPResponse(status: status, body: Array(body.utf8))
  }
}

/// 2026-11-24T03:42:54Z
let noon = Timestamp(seconds: 1_795_491_774)

extension CredentialsSurroundings {
  /// A machine with these variables and files, on which a service answers everything. Its clock stands still, and nobody sleeps.
  static func standIn(
    _ variables: [String: String] = [:], files: [String: String] = [:],
    _ service: StandInService = StandInService { _ in throw HTTPError.connect(reason: "nobody is there") },
    run: @escaping @Sendable ([String]) -> String? = { _ in nil }
  ) -> CredentialsSurroundings {
    var result = CredentialsSurroundings(variables: ["HOME": "/home/u"].merging(variables) { $1 })
    result.read = { path in files[path].map { Array($0.utf8) } }
    result.run = { words in run(words).map { Array($0.utf8) } }
    result.clock = { noon }
    result.sleep = { _ in }
    result.network = { service }
    result.machine = { service }
    return result
  }
}

/// The credentials that these surroundings give at a server.
func find(
  _ surroundings: CredentialsSurroundings, for cloud: S3Settings.Cloud = .amazon, region: String = "eu-west-1"
) async throws -> FoundCredentials {
  try await CredentialsChain.standard(for: cloud, region: region, surroundings).find()
}

/// The place, reason and cure of the failure that these surroundings end in, or nil for anything else.
func failure(
  _ surroundings: CredentialsSurroundings, for cloud: S3Settings.Cloud = .amazon
) async -> (place: String, reason: String, cure: String)? {
  do {
    _ = try await find(surroundings, for: cloud)
    return nil
  } catch CredentialsError.failed(let place, let reason, let cure) {
    return (place, reason, cure)
  } catch {
    return nil
  }
}

/// What STS answers to `action`, one hour good.
func roleAnswer(_ action: String, access: String = "ASIAROLE", expires: String = "2026-11-24T04:42:54Z")
  -> HTTPResponse
{
  .text(
    """
    <\(action)Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><\(action)Result>
      <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>
      <Credentials><AccessKeyId>\(access)</AccessKeyId><SecretAccessKey>secret/role</SecretAccessKey>
      <SessionToken>token+role=</SessionToken><Expiration>\(expires)</Expiration></Credentials>
    </\(action)Result></\(action)Response>
    """)
}

/// What metadata services and programs answer.
func keysAnswer(_ access: String = "ASIAKEYS", expires: String = "2026-11-24T04:42:54Z") -> HTTPResponse {
  .text(
    """
    {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "\(access)", "SecretAccessKey": "secret/keys",
     "Token": "token+keys=", "Expiration": "\(expires)"}
    """)
}
