import Glibc
import Platform
import Synchronization

/// Credentials from AWS's credentials file (docs.aws.amazon.com/sdkref/latest/guide/file-format.html).
public final class ProfileCredentials: CredentialsProvider {
  /// Seconds for which what was read counts: other programs renew temporary credentials in the file.
  private static let lifetime = 60.0

  private let path: String?
  private let profile: String
  private let read: @Sendable (String) async throws -> [UInt8]?
  private let clock: @Sendable () -> Double
  private let known = Mutex<(credentials: Credentials, since: Double)?>(nil)

  /// A provider over `AWS_SHARED_CREDENTIALS_FILE` or `~/.aws/credentials` of an environment, and its `AWS_PROFILE` or `default`.
  ///
  /// `profile` beats the environment. `read` gives the bytes of a file, or nil where it is not there; `clock` gives seconds that
  /// never go back.
  public init(
    environment: [String: String], profile: String? = nil,
    read: @escaping @Sendable (String) async throws -> [UInt8]? = readSmallFile,
    clock: @escaping @Sendable () -> Double = monotonicSeconds
  ) {
    let home = environment["HOME"].map { $0 + "/.aws/credentials" }
    path = environment["AWS_SHARED_CREDENTIALS_FILE"] ?? home
    self.profile = profile ?? environment["AWS_PROFILE"] ?? "default"
    self.read = read
    self.clock = clock
  }

  /// The profile's credentials; the file is read once a minute. Throws `CredentialsError`.
  public func credentials() async throws -> Credentials {
    let now = clock()
    if let known = known.withLock({ $0 }), now - known.since < Self.lifetime { return known.credentials }
    let credentials = try await readProfile()
    known.withLock { $0 = (credentials, now) }
    return credentials
  }

  /// Reads the file at once, however short ago it was read.
  public func renewed(insteadOf refused: Credentials) async throws -> Credentials? {
    let credentials = try await readProfile()
    known.withLock { $0 = (credentials, clock()) }
    return credentials == refused ? nil : credentials
  }

  private func readProfile() async throws -> Credentials {
    guard let path else { throw CredentialsError.missing(looked: ["~/.aws/credentials (HOME is not set)"]) }
    let content: [UInt8]?
    do {
      content = try await read(path)
    } catch let error as SystemError {
      throw CredentialsError.unreadable(path: path, reason: error.reason)
    }
    guard let content else { throw CredentialsError.missing(looked: [path]) }
    let section = INI(String(decoding: content, as: UTF8.self)).sections[profile] ?? [:]
    func value(_ name: String) -> String? { section[name].flatMap { $0.isEmpty ? nil : $0 } }
    return try complete(
      value("aws_access_key_id"), value("aws_secret_access_key"), value("aws_session_token"),
      names: ("aws_access_key_id", "aws_secret_access_key"), place: "the profile [\(profile)] of \(path)")
  }
}

/// A file of `[sections]` with `name = value` lines. Names are compared in lower case; sections of one name are one; of two values
/// for one name the later counts.
struct INI {
  private(set) var sections: [String: [String: String]] = [:]

  init(_ text: String) {
    var section: String?
    for line in text.split(whereSeparator: \.isNewline) {
      // An indented line goes on with the one above it; no value of credentials has such lines.
      guard let first = line.first, !"#; \t".contains(first) else { continue }
      if first == "\u{FEFF}" || first == "[" {
        guard let open = line.firstIndex(of: "["), let close = line.firstIndex(of: "]"), open < close else {
          section = nil
          continue
        }
        section = trim(line[line.index(after: open)..<close])
      } else if let section, let equals = line.firstIndex(of: "=") {
        let value = trim(withoutComment(line[line.index(after: equals)...]))
        sections[section, default: [:]][trim(line[..<equals]).lowercased()] = value
      }
    }
  }

  /// A comment begins at a `#` or `;` after a blank.
  private func withoutComment(_ text: Substring) -> Substring {
    var wasBlank = true
    for index in text.indices {
      if wasBlank, text[index] == "#" || text[index] == ";" { return text[..<index] }
      wasBlank = text[index] == " " || text[index] == "\t"
    }
    return text
  }

  private func trim(_ text: Substring) -> String {
    var text = text
    while let first = text.first, first.isWhitespace { text = text.dropFirst() }
    while let last = text.last, last.isWhitespace { text = text.dropLast() }
    return String(text)
  }
}

/// The bytes of a file of at most 1 MiB, or nil where it is not there. Throws `SystemError`.
@Sendable
public func readSmallFile(_ path: String) async throws -> [UInt8]? {
  try await BlockingPool(threads: 1).run {
    do {
      let file = try OpenFile(path)
      guard file.size <= 1 << 20 else { throw SystemError(operation: "read", path: path, code: EFBIG) }
      return try file.bytes(at: 0, count: file.size)
    } catch let error as SystemError where error.isMissing {
      return nil
    }
  }
}
