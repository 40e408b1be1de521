/// A server's address: `https://host`, `http://10.0.0.1:9000`, `http://[::1]:9000`.
struct Endpoint: Equatable, Sendable {
  let scheme: String
  let host: String
  /// Nil for the scheme's own.
  let port: Int?

  /// Nil where the text has anything but a scheme, a host and a port.
  init?(_ text: String) {
    guard let colon = text.firstRange(of: "://") else { return nil }
    let scheme = text[..<colon.lowerBound].lowercased()
    guard scheme == "http" || scheme == "https" else { return nil }
    var rest = text[colon.upperBound...]
    while rest.last == "/" { rest = rest.dropLast() }
    var port: Int?
    if let mark = rest.lastIndex(of: ":"), !rest[mark...].contains("]") {
      let digits = rest[rest.index(after: mark)...]
      let isNumber = digits.utf8.count <= 5 && digits.utf8.allSatisfy { isDigit($0) }
      guard isNumber, let number = Int(digits), (1...65_535).contains(number) else { return nil }
      port = number
      rest = rest[..<mark]
    }
    let name = rest.lowercased()
    let inner = name.hasPrefix("[") && name.hasSuffix("]") ? name.dropFirst().dropLast() : name[...]
    let allowed = inner.utf8.allSatisfy { byte in
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
        || isDigit(byte)
        || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
        || (byte == UInt8(ascii: ":") && inner.count != name.count)
    }
    guard !inner.isEmpty, allowed else { return nil }
    self.init(scheme: scheme, host: name, port: port == (scheme == "http" ? 80 : 443) ? nil : port)
  }

  private init(scheme: String, host: String, port: Int?) {
    self.scheme = scheme
    self.host = host
    self.port = port
  }

  /// Host and port as the `Host` field has them.
  var authority: String { port.map { "\(host):\($0)" } ?? host }
  /// The URL without a path.
  var url: String { "\(scheme)://\(authority)" }

  /// Whether the host is one of a domain's.
  func isIn(_ domain: String) -> Bool { host.hasSuffix("." + domain) }

  /// The same scheme and port at another host.
  func with(host: String) -> Endpoint { Endpoint(scheme: scheme, host: host, port: port) }
}

/// Whether a byte is a decimal digit.
func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
