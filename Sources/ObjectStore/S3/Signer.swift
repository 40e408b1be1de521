import Digests
import Platform

/// AWS Signature Version 4, without I/O (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html),
/// by the path rules of S3: the path is percent-encoded once and never normalised.
struct Signer: Sendable {
  /// What a body is declared to be where its bytes are not part of the signature.
  static let unsignedPayload = "UNSIGNED-PAYLOAD"
  /// The digest of a body without bytes.
  static let emptyPayload = hex(SHA256.hash([]))

  /// A signature and the texts that it was made of.
  struct Signature {
    let canonicalRequest: String
    let stringToSign: String
    let signature: String
    /// The header fields that carry it: `X-Amz-Date`, `Authorization` and, with a session token, `X-Amz-Security-Token`.
    let headers: [(name: String, value: String)]
  }

  let credentials: Credentials
  let region: String
  var service = "s3"

  /// Signs a request.
  ///
  /// `path` begins with `/`; it, the query's names and values are as they are, not encoded. All of `headers` are signed, `Host` must be
  /// among them. `payload` is the SHA-256 of the body in hexadecimal, or `unsignedPayload`.
  func sign(
    _ method: String, path: String, query: [(name: String, value: String)],
    headers: [(name: String, value: String)], payload: String, at time: Timestamp
  ) -> Signature {
    var added = [(name: "X-Amz-Date", value: time.basicUTC)]
    if let token = credentials.sessionToken { added.append((name: "X-Amz-Security-Token", value: token)) }
    let fields = canonicalHeaders(headers + added)
    let names = fields.map(\.name).joined(separator: ";")
    let canonicalRequest = [
      method, percentEncoded(path, keeping: "/"), canonicalQuery(query),
      fields.map { "\($0.name):\($0.value)\n" }.joined(), names, payload,
    ].joined(separator: "\n")

    let day = String(time.basicUTC.prefix(8))
    let scope = "\(day)/\(region)/\(service)/aws4_request"
    let stringToSign = [
      "AWS4-HMAC-SHA256", time.basicUTC, scope, hex(SHA256.hash(canonicalRequest.utf8)),
    ].joined(separator: "\n")
    var key = Array("AWS4\(credentials.secretKey)".utf8)
    for text in [day, region, service, "aws4_request"] { key = hmacSHA256(key: key, Array(text.utf8)) }
    let signature = hex(hmacSHA256(key: key, Array(stringToSign.utf8)))

    let authorization =
      "AWS4-HMAC-SHA256 Credential=\(credentials.accessKey)/\(scope), SignedHeaders=\(names), "
      + "Signature=\(signature)"
    return Signature(
      canonicalRequest: canonicalRequest, stringToSign: stringToSign, signature: signature,
      headers: added + [(name: "Authorization", value: authorization)])
  }

  /// Fields by lower-case name; the values of one name are joined by commas, runs of blanks are one blank.
  private func canonicalHeaders(
    _ headers: [(name: String, value: String)]
  ) -> [(name: String, value: String)] {
    var values: [String: [String]] = [:]
    for field in headers {
      let words = field.value.split(whereSeparator: { $0 == " " || $0 == "\t" || $0.isNewline })
      values[field.name.lowercased(), default: []].append(words.joined(separator: " "))
    }
    return values.map { (name: $0.key, value: $0.value.joined(separator: ",")) }
      .sorted { $0.name.precedesBytewise($1.name) }
  }
}

/// A query as it is signed and sent: encoded, in the order of the encoded names, a name without a value with its `=`.
func canonicalQuery(_ query: [(name: String, value: String)]) -> String {
  query.map { (percentEncoded($0.name), percentEncoded($0.value)) }
    .sorted { $0.0 == $1.0 ? $0.1.precedesBytewise($1.1) : $0.0.precedesBytewise($1.0) }
    .map { "\($0.0)=\($0.1)" }
    .joined(separator: "&")
}
