import Digests
import FoundationEssentials
import Platform
import Synchronization
import TestSupport
import Testing

@testable import ObjectStore

/// A server that answers an S3 store as a test says and keeps what it was asked.
final class S3Server: Sendable {
  /// A request as it came over the wire.
  struct Request: Sendable {
    let method: String
    /// Path and query, not decoded.
    let path: String, query: String
    /// By lower-case name.
    let headers: [String: String]
    let body: [UInt8]
  }

  static let credentials = Credentials(accessKey: "AKTEST", secretKey: "s3cr3tkey", sessionToken: "t0k3n/+=")

  private let server: TestServer
  private let log: Log
  private final class Log: Sendable {
    let requests = Mutex<[Request]>([])
  }

  /// A server that gives `answer` of each request and its number, from 1.
  init(_ answer: @escaping @Sendable (Request, Int) -> TestServer.Reply) throws {
    let log = Log()
    self.log = log
    server = try TestServer { received in
      let request = Request(received.head, received.body)
      let number = log.requests.withLock { requests in
        requests.append(request)
        return requests.count
      }
      return answer(request, number)
    }
  }

  /// A server that gives one reply to everything.
  convenience init(always reply: TestServer.Reply) throws { try self.init { _, _ in reply } }

  var requests: [Request] { log.requests.withLock { $0 } }
  /// `127.0.0.1:PORT`
  var authority: String { String(server.url.dropFirst("http://".count)) }

  /// A store on this server, which it keeps alive. Its clock stands still.
  func store(
    host: String? = nil, prefix: String = "", addressing: S3Settings.Addressing = .path,
    signPayload: Bool = false, provider: any CredentialsProvider = StaticCredentials(S3Server.credentials)
  ) throws -> S3Store {
    let port = authority.split(separator: ":")[1]
    var settings = try S3Settings(
      endpoint: "http://\(host ?? "127.0.0.1"):\(port)", bucket: "bucket", prefix: prefix)
    settings.addressing = addressing
    settings.signPayload = signPayload
    return S3Store(settings, credentials: provider, clock: { self.now })
  }

  /// 2026-11-24T03:42:54Z
  private let now = Timestamp(seconds: 1_795_491_774)
}

extension S3Server.Request {
  fileprivate init(_ head: String, _ body: [UInt8]) {
    let lines = head.split(separator: "\r\n").map(String.init)
    let words = lines[0].split(separator: " ").map(String.init)
    let target = words[1].split(separator: "?", maxSplits: 1).map(String.init)
    method = words[0]
    path = target[0]
    query = target.count > 1 ? target[1] : ""
    headers = Dictionary(
      lines.dropFirst().map { line in
        let field = line.split(separator: ":", maxSplits: 1).map(String.init)
        return (field[0].lowercased(), field.count > 1 ? String(field[1].drop { $0 == " " }) : "")
      }, uniquingKeysWith: { "\($0),\($1)" })
    self.body = body
  }

  /// The names of the fields that the signature covers.
  var signedHeaders: [String] { parameter("SignedHeaders").split(separator: ";").map(String.init) }

  /// Whether the signature is right for what came over the wire: path and query stand as they came.
  func isSigned(_ credentials: Credentials = S3Server.credentials) -> Bool {
    let scope = parameter("Credential").split(separator: "/").dropFirst()
    let canonical = [
      method, path, query.split(separator: "&").sorted().joined(separator: "&"),
      signedHeaders.map { "\($0):\(headers[$0] ?? "")\n" }.joined(), signedHeaders.joined(separator: ";"),
      headers["x-amz-content-sha256"] ?? "",
    ].joined(separator: "\n")
    let text = [
      "AWS4-HMAC-SHA256", headers["x-amz-date"] ?? "", scope.joined(separator: "/"),
      hex(SHA256.hash(canonical.utf8)),
    ].joined(separator: "\n")
    var key = Array("AWS4\(credentials.secretKey)".utf8)
    for word in scope { key = hmacSHA256(key: key, Array(word.utf8)) }
    return parameter("Signature") == hex(hmacSHA256(key: key, Array(text.utf8)))
  }

  private func parameter(_ name: String) -> String {
    let words = headers["authorization"]?.split(whereSeparator: { $0 == " " || $0 == "," }) ?? []
    return words.first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.count + 1)) } ?? ""
  }
}

extension TestServer.Reply {
  /// An S3 error document.
  static func error(_ status: Int, _ code: String, _ message: String = "words", headers: String = "") -> Self
  {
    .answer(
      status,
      Array("<?xml version=\"1.0\"?><Error><Code>\(code)</Code><Message>\(message)</Message></Error>".utf8),
      headers: headers)
  }

  /// A successful answer with a document.
  static func xml(_ text: String, headers: String = "") -> Self {
    .answer(200, Array(text.utf8), headers: headers)
  }
}

/// Counts.
final class Counter: Sendable {
  private let count = Atomic<Int>(0)
  var value: Int { count.load(ordering: .sequentiallyConsistent) }
  /// One more than before.
  func next() -> Int { count.add(1, ordering: .sequentiallyConsistent).newValue }
}
