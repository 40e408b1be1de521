import HTTP
import ObjectStore
import Platform

extension Examination {
  /// Who the requests come from, as it may be shown.
  struct Identity {
    /// The access key's ends.
    let key: String
    /// Where the credentials are from, in words.
    let origin: String
    let hasToken: Bool
  }

  /// The credentials, which the server is yet to judge.
  mutating func examineCredentials(_ provider: any CredentialsProvider) async throws -> Identity {
    do {
      let found = try await provider.credentials()
      return Identity(
        key: found.maskedAccessKey, origin: try await provider.origin(), hasToken: found.sessionToken != nil)
    } catch let error as CancellationError {
      throw error
    } catch {
      report.add("credentials", error)
      throw ExaminationEnd()
    }
  }

  /// The first answers: who is there, and whether clock, addressing, region and bucket are right.
  mutating func examineServer(
    _ settings: inout S3Settings, _ provider: any CredentialsProvider, _ identity: Identity
  ) async throws {
    var contact = try await S3Contact.make(settings, provider, transport: transport(settings))
    var other: S3Settings.Addressing?
    if let error = contact.error, error.mayComeFromAddressing {
      var changed = settings
      changed.addressing = settings.usesVirtualHost ? .path : .virtual
      let second = try await S3Contact.make(changed, provider, transport: transport(changed))
      if second.error == nil {
        (other, contact, settings) = (changed.addressing, second, changed)
      }
    }
    try await report(contact, identity, settings)
    reportClock(contact)
    if let other {
      report.add(
        "addressing", .failed,
        "the server takes the bucket's name in the \(other == .path ? "path" : "host name"), and not as it is configured",
        change: "addressing = \"\(other.rawValue)\"")
    } else {
      report.add(
        "addressing", .ok,
        settings.usesVirtualHost ? "the bucket is named by the host" : "the bucket is named by the path")
    }
    if contact.region != settings.region {
      report.add(
        "region", .warning,
        "the bucket is in \(contact.region), not in \(settings.region): each start of ckbackup asks twice",
        change: "region = \"\(contact.region)\"")
    } else {
      report.add("region", .ok, settings.region)
    }
    if contact.error?.isDenial == true {
      report.add("bucket", .info, "\(settings.bucket) may not be listed by these credentials")
    } else {
      report.add("bucket", .ok, settings.bucket)
    }
  }

  /// Ends the examination where the server cannot be worked with.
  private mutating func report(
    _ contact: S3Contact, _ identity: Identity, _ settings: S3Settings
  ) async throws {
    let name = contact.server.map { " (\($0))" } ?? ""
    let isS3: Bool =
      switch contact.error {
      case nil, .credentials, .clockSkew, .noBucket, .wrongRegion, .denied: true
      case let error?: error.isDenial
      }
    if isS3 { report.add("server", .ok, "answers as an S3 server does\(name)") }
    var isRefused = false
    if case .credentials = contact.error { isRefused = true }
    if isS3, !isRefused {
      let token = identity.hasToken ? ", with a session token" : ""
      report.add("credentials", .ok, "\(identity.key) from \(identity.origin)\(token)")
    }
    guard let error = contact.error, !error.isDenial else { return }
    let url = settings.endpointURL
    switch error {
    case .credentials(let code, _):
      report.add(
        "credentials", .failed, refusal(code, identity), code: .refused)
    case .clockSkew:
      report.add("clock", error, run: "timedatectl set-ntp true")
    case .noBucket(let bucket):
      report.add(
        "bucket", .failed, "there is no bucket \(bucket): create it, or correct repository",
        run: "aws s3 mb s3://\(bucket) --endpoint-url \(url) --region \(settings.region)")
    case .wrongRegion(let region):
      report.add("region", error, change: "region = \"\(region)\"")
    case .notS3, .transient, .unreachable:
      if try await speaksTLS(settings) {
        report.add(
          "server", .failed, "the server speaks TLS at port \(settings.port): the endpoint is https",
          change: "endpoint = \"https\(url.dropFirst("http".count))\"")
      } else if case .notS3(_, let detail) = error {
        report.add(
          "server", .failed,
          "\(url) answers, but not as an S3 server does: \(detail). It may be a proxy, a web console or another service",
          change: "endpoint = \"http[s]://HOST:PORT\"")
      } else {
        report.add("server", error)
      }
    default: report.add("server", error)
    }
    throw ExaminationEnd()
  }

  /// Whether a server that is spoken to in plain http wants TLS.
  private func speaksTLS(_ settings: S3Settings) async throws -> Bool {
    guard !settings.usesTLS else { return false }
    var options = settings.httpOptions
    options.verifyTLS = false
    let (unchecked, url) = (options, "https\(settings.endpointURL.dropFirst("http".count))/")
    return (try? await pool.run { try Certificate.chain(of: url, unchecked) }) != nil
  }

  private mutating func reportClock(_ contact: S3Contact) {
    guard let ahead = contact.clockAhead else {
      report.add("clock", .info, "the server does not tell its time")
      return
    }
    guard abs(ahead) > 60 else {
      report.add("clock", .ok, "agrees with the server's to \(max(1, Int(abs(ahead).rounded(.up)))) s")
      return
    }
    let words =
      "this machine's clock is \(Quantity.format(seconds: abs(ahead))) \(ahead > 0 ? "ahead of" : "behind") the server's"
    report.add(
      "clock", .warning,
      "\(words): set it. ckbackup signs by the server's time, but snapshots get this machine's, and other programs are refused",
      run: "timedatectl set-ntp true")
  }

  private func refusal(_ code: String, _ identity: Identity) -> String {
    let (key, source) = (identity.key, identity.origin)
    return switch code {
    case "SignatureDoesNotMatch":
      "the secret key does not belong to the access key \(key) from \(source) (\(code))"
    case "InvalidAccessKeyId": "the server does not know the access key \(key) from \(source) (\(code))"
    case "ExpiredToken", "TokenRefreshRequired":
      "the session token of \(key) from \(source) has expired (\(code)): renew it"
    default: "the server refuses the credentials \(key) from \(source) (\(code))"
    }
  }
}

extension StoreError {
  /// Whether the bucket's name in another place of the address could help.
  fileprivate var mayComeFromAddressing: Bool {
    switch self {
    case .clockSkew, .transient, .gaveUp, .full: false
    case .denied: false
    default: true
    }
  }
}
