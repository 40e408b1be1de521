import FoundationEssentials
import HTTP
import Platform

/// Credentials as an answer has them, not looked at yet.
struct CredentialsFields {
  var accessKey: String?
  var secretKey: String?
  var sessionToken: String?
  var expires: String?
}

/// The JSON that metadata services and credential programs answer with. Names differ by service; each has at most one of a kind.
struct CredentialsDocument: Decodable {
  private enum CodingKeys: String, CodingKey {
    case accessKeyID = "AccessKeyId", secretAccessKey = "SecretAccessKey", accessKeySecret = "AccessKeySecret"
    case token = "Token", sessionToken = "SessionToken", securityToken = "SecurityToken"
    case expiration = "Expiration", version = "Version"
    case code = "Code", message = "Message", plainCode = "code", plainMessage = "message"
  }
  private let accessKeyID: String?
  private let secretAccessKey: String?
  /// Alibaba Cloud's name for the secret half.
  private let accessKeySecret: String?
  private let token: String?
  private let sessionToken: String?
  /// Alibaba Cloud's name for the token.
  private let securityToken: String?
  private let expiration: String?
  /// `Success`, where the service says how it went.
  let code: String?
  private let message: String?
  private let plainCode: String?
  private let plainMessage: String?
  /// Of a program's output.
  let version: Int?

  /// Nil where the bytes are something else.
  static func read(_ bytes: [UInt8]) -> CredentialsDocument? {
    try? JSONDecoder().decode(CredentialsDocument.self, from: Data(bytes))
  }

  var fields: CredentialsFields {
    CredentialsFields(
      accessKey: accessKeyID, secretKey: secretAccessKey ?? accessKeySecret,
      sessionToken: token ?? sessionToken ?? securityToken, expires: expiration)
  }

  /// What it says went wrong.
  var words: String { "\(code ?? plainCode ?? "") \(message ?? plainMessage ?? "")" }
}

extension FoundCredentials {
  /// Takes credentials from outside: both halves are there and fit into a header, and they have not ended.
  ///
  /// - Parameters:
  ///   - now: this machine's clock.
  ///   - date: the clock of whoever gave them, as its answer tells; this machine's may be wrong.
  static func checked(
    _ fields: CredentialsFields, of place: CredentialsPlace, origin: String, now: Timestamp = .now(),
    date: Timestamp? = nil
  ) throws -> FoundCredentials {
    guard let access = fields.accessKey, let secret = fields.secretKey, !access.isEmpty, !secret.isEmpty
    else {
      throw place.failed("it gave no access key and secret key")
    }
    let token = fields.sessionToken.flatMap { $0.isEmpty ? nil : $0 }
    guard isHeaderValue(access, limit: 1024), isHeaderValue(secret, limit: 4096),
      isHeaderValue(token ?? "", limit: 32 << 10)
    else { throw place.failed("the keys have characters that no key has, or are too long") }
    var expires: Timestamp?
    if let text = fields.expires, !text.isEmpty {
      guard let time = moment(text) else {
        throw place.failed("the time at which the credentials end cannot be read")
      }
      expires = now.adding(seconds: time.seconds(since: date ?? now))
      guard time > date ?? now else { throw place.failed("its credentials ended at \(time.rfc3339)") }
    }
    return FoundCredentials(
      Credentials(accessKey: access, secretKey: secret, sessionToken: token), origin: origin,
      expires: expires)
  }
}

/// Whether a text can be a header's value as it is: printable ASCII without a blank at either end.
func isHeaderValue(_ text: String, limit: Int) -> Bool {
  text.utf8.count <= limit && text.utf8.allSatisfy { (32...126).contains($0) } && text.first != " "
    && text.last != " "
}

/// A time of RFC 3339 in any zone; programs write their own (`2026-11-24T04:42:54+01:00`).
func moment(_ text: String) -> Timestamp? {
  if let time = Timestamp(parsing: text) { return time }
  let zone = Array(text.utf8.suffix(6))
  guard zone.count == 6, zone[0] == UInt8(ascii: "+") || zone[0] == UInt8(ascii: "-"),
    zone[3] == UInt8(ascii: ":"),
    let hours = Int(String(decoding: zone[1...2], as: UTF8.self)),
    let minutes = Int(String(decoding: zone[4...5], as: UTF8.self)), (0...23).contains(hours),
    (0...59).contains(minutes), let local = Timestamp(parsing: "\(text.dropLast(6))Z")
  else { return nil }
  let offset = Double(hours * 3600 + minutes * 60)
  return local.adding(seconds: zone[0] == UInt8(ascii: "+") ? -offset : offset)
}
