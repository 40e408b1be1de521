import Glibc
import Platform

/// The first steps of a connection one by one, to tell which of them fails. All calls block.
public enum Reachability {
  /// An address that a host's name stands for.
  public struct Address: Sendable {
    /// As people write it, for example `10.0.0.7`.
    public let text: String
    fileprivate let family: Int32
    fileprivate let bytes: [UInt8]
  }

  /// The addresses of a host, a name or an address itself. Throws `HTTPError.resolve`.
  public static func addresses(of host: String, port: Int) throws(HTTPError) -> [Address] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    // As libcurl does: names below localhost need no entry anywhere (RFC 6761, section 6.3).
    let name = host.hasSuffix(".localhost") ? "localhost" : host
    let code = getaddrinfo(name, "\(port)", &hints, &list)
    guard code == 0 else { throw .resolve(reason: "\(host): \(String(cString: gai_strerror(code)))") }
    defer { freeaddrinfo(list) }
    var found: [Address] = []
    var entry = list
    while let current = entry?.pointee {
      var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      getnameinfo(
        current.ai_addr, current.ai_addrlen, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST)
      let text = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      let bytes = [UInt8](UnsafeRawBufferPointer(start: current.ai_addr, count: Int(current.ai_addrlen)))
      found.append(Address(text: text, family: current.ai_family, bytes: bytes))
      entry = current.ai_next
    }
    return found
  }

  /// Connects to the first of some addresses that answers, each within so many seconds, and gives it and the seconds that it took.
  ///
  /// Throws `HTTPError.connect` with the reason of each.
  public static func connect(
    _ addresses: [Address], seconds: Double
  ) throws(HTTPError) -> (address: Address, seconds: Double) {
    var reasons: [String] = []
    for address in addresses {
      let start = ContinuousClock.now
      let code = connect(address, seconds: seconds)
      if code == 0 { return (address, (ContinuousClock.now - start) / .seconds(1)) }
      reasons.append("\(address.text): \(String(cString: strerror(code)))")
    }
    throw .connect(reason: reasons.joined(separator: "; "))
  }

  /// 0, or the error.
  private static func connect(_ address: Address, seconds: Double) -> Int32 {
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let descriptor = socket(address.family, kind, 0)
    guard descriptor >= 0 else { return errno }
    defer { close(descriptor) }
    let code = address.bytes.withUnsafeBytes { bytes in
      bytes.withMemoryRebound(to: sockaddr.self) {
        Glibc.connect(descriptor, $0.baseAddress, socklen_t(bytes.count))
      }
    }
    if code == 0 { return 0 }
    guard errno == EINPROGRESS else { return errno }
    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    let ready = poll(&waiting, 1, Int32(seconds * 1000))
    guard ready > 0 else { return ready == 0 ? ETIMEDOUT : errno }
    var error: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno
  }
}
