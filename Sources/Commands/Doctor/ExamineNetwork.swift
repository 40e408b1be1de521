import HTTP
import ObjectStore
import Platform

extension Examination {
  /// Name, connection, certificate: what must stand before a request can be sent.
  mutating func examineNetwork(_ settings: inout S3Settings) async throws {
    if let proxy = Proxy.of(settings, environment.variables) {
      report.add("name", .info, "requests go through the proxy \(proxy), which looks names up")
      report.add("connection", .info, "not tried by itself, because of the proxy")
    } else {
      let addresses = try await examineName(&settings)
      try await examineConnection(settings, addresses)
    }
    guard settings.usesTLS else {
      report.add("certificate", .info, "none: plain http, so that everybody on the way can read the data")
      return
    }
    try await examineCertificate(settings)
  }

  private mutating func examineName(
    _ settings: inout S3Settings
  ) async throws -> [Reachability.Address] {
    let (host, port) = (settings.host, settings.port)
    do {
      let addresses = try await pool.run { try Reachability.addresses(of: host, port: port) }
      let texts = addresses.map(\.text)
      report.add(
        "name", .ok,
        texts == [host] ? "\(host) is an address" : "\(host) is \(texts.prefix(4).joined(separator: ", "))")
      return addresses
    } catch {
      if settings.usesVirtualHost {
        var other = settings
        other.addressing = .path
        let bare = other.host
        if let found = try? await pool.run({ try Reachability.addresses(of: bare, port: port) }) {
          report.add(
            "name", .failed,
            "\(host) has no address, though \(bare) has: the bucket must be named by the path",
            change: "addressing = \"path\"")
          settings = other
          return found
        }
      }
      report.add(
        "name", .failed, "\(host) has no address (\(reason(error))): check endpoint and this machine's DNS",
        change: "endpoint = \"http[s]://HOST:PORT\"")
      throw ExaminationEnd()
    }
  }

  private mutating func examineConnection(
    _ settings: S3Settings, _ addresses: [Reachability.Address]
  ) async throws {
    let port = settings.port
    do {
      let found = try await pool.run { try Reachability.connect(addresses, seconds: 5) }
      report.add(
        "connection", .ok,
        "\(found.address.text), port \(port), in \(Quantity.fixed(found.seconds * 1000, digits: 1)) ms")
    } catch {
      report.add(
        "connection", .failed,
        "nothing answers at port \(port) of \(settings.host) (\(reason(error))): is the server up, is the port right, does a firewall stand between?",
        change: "endpoint = \"\(settings.usesTLS ? "https" : "http")://\(settings.host):PORT\"")
      throw ExaminationEnd()
    }
  }

  private mutating func examineCertificate(_ settings: S3Settings) async throws {
    let url =
      "https://\(settings.host.contains(":") ? "[\(settings.host)]" : settings.host):\(settings.port)/"
    let options = settings.httpOptions
    do {
      let chain = try await pool.run { try Certificate.chain(of: url, options) }
      let sentence = chain.first.map { words($0) } ?? "trusted"
      guard options.verifyTLS else {
        report.add(
          "certificate", .warning,
          "\(sentence), and nobody checks it: who stands between can read and change all",
          change: "verify_tls = true")
        return
      }
      let days = chain.first?.expires.map { $0.seconds(since: .now()) / 86_400 }
      if let days, days < 14 {
        report.add("certificate", .warning, "\(sentence): it ends in \(Int(days)) days")
      } else {
        report.add("certificate", .ok, sentence)
      }
    } catch {
      var lax = options
      lax.verifyTLS = false
      let unchecked = lax
      // Nothing is sent over it: it only shows what the server has.
      let chain = (try? await pool.run { try Certificate.chain(of: url, unchecked) }) ?? []
      report.add(
        "certificate", .failed, tlsSentence(reason(error), chain.first, settings),
        change: tlsChange(reason(error), chain.first, settings))
      throw ExaminationEnd()
    }
  }

  private func tlsSentence(_ reason: String, _ shown: Certificate?, _ settings: S3Settings) -> String {
    let what = shown.map { " (\(words($0)))" } ?? ""
    if reason.contains("wrong version number") || reason.contains("packet length too long") {
      return "the server does not speak TLS at port \(settings.port), but perhaps plain http"
    }
    if reason.contains("verify locations") || reason.contains("CAfile") {
      return "ca_file \(settings.caFile ?? "") cannot be used: \(reason)"
    }
    if let shown, let expires = shown.expires, expires < .now() {
      return "the certificate has ended\(what): renew it, or set this machine's clock"
    }
    if reason.contains("subject name") || reason.contains("does not match") {
      let names = shown?.names.prefix(6).joined(separator: ", ") ?? ""
      return "the certificate is not for \(settings.host)\(names.isEmpty ? what : ", but for \(names)")"
    }
    if let shown, shown.isSelfSigned {
      return
        "the certificate is signed by itself\(what) and is not trusted: save it as a file and set ca_file to that"
    }
    if reason.contains("issuer certificate") || reason.contains("self-signed")
      || reason.contains("self signed")
    {
      return
        "nobody that this machine trusts has signed the certificate\(what): set ca_file to its authority's"
    }
    return "TLS fails: \(reason)\(what)"
  }

  private func tlsChange(_ reason: String, _ shown: Certificate?, _ settings: S3Settings) -> String? {
    if reason.contains("wrong version number") || reason.contains("packet length too long") {
      return "endpoint = \"\(settings.endpointURL.replacingPrefix("https://", by: "http://"))\""
    }
    let isForeign =
      shown?.isSelfSigned == true || reason.contains("issuer certificate") || reason.contains("self-signed")
    return isForeign || reason.contains("CAfile") ? "ca_file = \"/etc/ckbackup/ca.pem\"" : nil
  }

  private func words(_ certificate: Certificate) -> String {
    let end = certificate.expires.map { ", until \($0.format("%Y-%m-%d", local: false))" } ?? ""
    return "\(certificate.subject), by \(certificate.isSelfSigned ? "itself" : certificate.issuer)\(end)"
  }

  private func reason(_ error: any Error) -> String {
    switch error as? HTTPError {
    case .resolve(let text), .connect(let text), .tls(let text), .stalled(let text), .interrupted(let text),
      .other(_, let text), .invalidRequest(let text):
      text
    default: "\(error)"
    }
  }
}

/// The proxy that libcurl takes from the environment (curl.se/libcurl/c/libcurl-env.html).
enum Proxy {
  /// The proxy of requests to a server, without user and password; nil where there is none.
  static func of(_ settings: S3Settings, _ variables: [String: String]) -> String? {
    let names =
      settings.usesTLS
      ? ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
      : ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    guard let proxy = names.compactMap({ variables[$0] }).first(where: { !$0.isEmpty }) else { return nil }
    let excepted = (variables["no_proxy"] ?? variables["NO_PROXY"] ?? "").split { $0 == "," || $0 == " " }
    let host = settings.host
    let isExcepted = excepted.contains { entry in
      let name = entry.hasPrefix(".") ? entry.dropFirst() : entry
      return entry == "*" || host == name || host.hasSuffix(".\(name)")
    }
    return isExcepted ? nil : String(proxy.split(separator: "@").last ?? "")
  }
}

extension String {
  /// The text with another beginning, where it has this one.
  fileprivate func replacingPrefix(_ old: String, by new: String) -> String {
    hasPrefix(old) ? new + dropFirst(old.count) : self
  }
}
