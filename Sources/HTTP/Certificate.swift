import CCurl
import CPlatform
import Platform

/// A certificate that a server shows, as far as libcurl tells (curl.se/libcurl/c/CURLINFO_CERTINFO.html).
public struct Certificate: Sendable {
  /// Whom it is for, for example `CN = minio.example`.
  public let subject: String
  /// Who signed it.
  public let issuer: String
  /// The names that it is good for, without their kind; empty where it has none.
  public let names: [String]
  /// When it ends.
  public let expires: Timestamp?

  /// Whether it signed itself.
  public var isSelfSigned: Bool { !subject.isEmpty && subject == issuer }

  /// The chain that a server shows, its own certificate first. Connects and sends nothing; blocks.
  ///
  /// Throws `HTTPError`, where `options` check certificates also for one that is not trusted.
  public static func chain(of url: String, _ options: HTTPOptions) throws(HTTPError) -> [Certificate] {
    guard libraryStarted, let easy = curl_easy_init() else {
      throw .other(code: Int(CURLE_OUT_OF_MEMORY.rawValue), reason: "out of memory")
    }
    defer { curl_easy_cleanup(easy) }
    let transfer = Transfer(HTTPRequest("GET", url), Traffic())
    transfer.configure(easy, options)
    defer { curl_slist_free_all(transfer.headerList) }
    ck_curl_set_long(easy, CURLOPT_CERTINFO, 1)
    ck_curl_set_long(easy, CURLOPT_CONNECT_ONLY, 1)
    transfer.easy = easy
    defer { transfer.easy = nil }
    let code = curl_easy_perform(easy)
    guard code == CURLE_OK else {
      let error = transfer.error(code)
      throw error as? HTTPError ?? .other(code: Int(code.rawValue), reason: "\(error)")
    }
    guard let list = ck_curl_certificates(easy)?.pointee, let entries = list.certinfo else { return [] }
    return (0..<Int(list.num_of_certs)).map { index in Certificate(lines(entries[index])) }
  }

  private static func lines(_ list: UnsafeMutablePointer<curl_slist>?) -> [String] {
    var lines: [String] = []
    var entry = list
    while let current = entry?.pointee {
      if let data = current.data { lines.append(String(cString: data)) }
      entry = current.next
    }
    return lines
  }

  /// Reads libcurl's lines: `Subject:CN = host`, `Expire date:Dec 31 23:59:59 2027 GMT`, `X509v3 Subject Alternative Name:DNS:host`.
  init(_ lines: [String]) {
    func value(_ name: String) -> String {
      lines.first { $0.hasPrefix(name + ":") }.map { String($0.dropFirst(name.count + 1)) } ?? ""
    }
    subject = value("Subject")
    issuer = value("Issuer")
    names = value("X509v3 Subject Alternative Name").split(separator: ",").map { name in
      String(name.split(separator: ":", maxSplits: 1).last ?? "").split(separator: " ").joined()
    }
    let date = value("Expire date")
    var seconds: Int64 = 0
    let patterns = ["%b %d %H:%M:%S %Y", "%Y-%m-%d %H:%M:%S"]
    expires = patterns.contains { ck_parse_time(date, $0, &seconds) > 0 } ? Timestamp(seconds: seconds) : nil
  }
}
