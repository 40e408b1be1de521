import HTTP
import Platform

extension CredentialsSurroundings {
  /// Bytes of an answer at most; the longest tokens have a few KiB.
  static let answerLimit = 64 << 10

  /// Sends a request and gives its answer, whatever the status. Failures that may pass are tried again, up to `tries` times in all.
  /// Redirects are answers: nothing that was sent to one place is ever sent to another.
  ///
  /// - Throws: `HTTPError`, `CancellationError`.
  func answer(
    to request: HTTPRequest, by transport: any HTTPTransport, tries: Int = 3
  ) async throws -> HTTPResponse {
    var request = request
    request.sink = .memory(limit: Self.answerLimit)
    var attempt = 1
    while true {
      do {
        let response = try await transport.send(request)
        guard attempt < tries, response.status == 429 || response.status >= 500 else { return response }
      } catch let error as HTTPError {
        guard attempt < tries, error.mayPass else { throw error }
      }
      try await sleep(0.5 * Double(attempt))
      attempt += 1
    }
  }
}

extension CredentialsPlace {
  /// The answer to a request, whatever its status. Throws `.failed` where none came.
  func answer(
    to request: HTTPRequest, by transport: any HTTPTransport, _ surroundings: CredentialsSurroundings
  ) async throws -> HTTPResponse {
    do {
      return try await surroundings.answer(to: request, by: transport)
    } catch let error as HTTPError {
      throw failed(error.words)
    }
  }

  /// A successful answer. Throws `.failed` for any other and where none came.
  func success(
    of request: HTTPRequest, by transport: any HTTPTransport, _ surroundings: CredentialsSurroundings,
    secrets: [String]
  ) async throws -> HTTPResponse {
    let response = try await answer(to: request, by: transport, surroundings)
    guard response.isSuccess else { throw failed(refusal(response, secrets: secrets)) }
    return response
  }

  /// The JSON of a successful answer. Throws `.failed`.
  func document(
    of request: HTTPRequest, by transport: any HTTPTransport, _ surroundings: CredentialsSurroundings,
    origin: String, secrets: [String] = []
  ) async throws -> FoundCredentials {
    let response = try await success(of: request, by: transport, surroundings, secrets: secrets)
    guard let document = CredentialsDocument.read(response.body) else {
      throw failed("it answered with \(kind(of: response.body)) instead of credentials")
    }
    if let code = document.code, code != "Success" {
      throw failed("it says \(clean(document.words, without: secrets))")
    }
    return try FoundCredentials.checked(
      document.fields, of: self, origin: origin, now: surroundings.clock(), date: response.date)
  }

  /// An unsuccessful answer in words: the service's own where it is the XML or JSON of one, without any secret that was sent to it.
  func refusal(_ response: HTTPResponse, secrets: [String]) -> String {
    if (300..<400).contains(response.status) {
      return "it answered with a redirect (HTTP \(response.status))"
    }
    var words = ""
    if let error = XMLNode.parse(response.body).flatMap({ $0["Code"] == nil ? $0.all("Error").first : $0 }) {
      words = "\(error["Code"] ?? "") \(error["Message"] ?? "")"
    } else if let document = CredentialsDocument.read(response.body) {
      words = document.words
    }
    let said = clean(words, without: secrets)
    return "it answered HTTP \(response.status)\(said.isEmpty ? "" : ": \(said)")"
  }
}

/// A service's words on one line, at most 300 characters, without a full stop at the end and without what it was sent in confidence.
private func clean(_ text: String, without secrets: [String]) -> String {
  var text = text
  for secret in secrets where !secret.isEmpty { text = text.replacing(secret, with: "***") }
  text = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  if text.count > 300 { text = text.prefix(300) + "…" }
  while text.last == "." || text.last == " " { text.removeLast() }
  return text
}

private func kind(of body: [UInt8]) -> String {
  let start = String(decoding: body.prefix(1024), as: UTF8.self).lowercased()
  if body.isEmpty { return "an empty body" }
  return start.contains("<html") || start.contains("<!doctype html") ? "an HTML page" : "something else"
}

extension HTTPResponse {
  /// The clock of whoever answered.
  var date: Timestamp? { headers["date"].flatMap { Timestamp(parsing: $0) } }
}

extension HTTPError {
  /// Whether the same request may succeed a moment later.
  fileprivate var mayPass: Bool {
    switch self {
    case .resolve, .connect, .stalled, .interrupted, .other: true
    case .invalidRequest, .tls, .certificate, .bodyTooLarge, .headersTooLarge, .closed: false
    }
  }

  /// What happened, as a clause without its full stop.
  var words: String {
    switch self {
    case .invalidRequest(let reason), .resolve(let reason), .connect(let reason), .tls(let reason),
      .certificate(let reason), .stalled(let reason), .interrupted(let reason), .other(_, let reason):
      var reason = reason
      while reason.last == "." { reason.removeLast() }
      return reason
    case .bodyTooLarge(let limit), .headersTooLarge(let limit):
      return "its answer has more than \(limit) bytes"
    case .closed: return "the connection was closed"
    }
  }
}
