import Glibc
import Platform
import Synchronization

/// A server on this machine's loopback that does to each request what a test says.
public final class TestServer: Sendable {
  /// What a client sent.
  public struct Request: Sendable {
    /// The request line and the headers, as they came.
    public let head: String
    /// The bytes that followed.
    public let body: [UInt8]
    /// Which connection it came on, and which request on that it was, both from 1.
    public let connection: Int
    /// See `connection`.
    public let turn: Int
  }

  /// What to do with a request.
  public enum Reply: Sendable {
    /// Sends these bytes and waits for the next request.
    case raw([UInt8])
    /// Sends these bytes and ends the connection.
    case rawThenClose([UInt8])
    /// Says nothing until the client goes.
    case silence

    /// A whole answer.
    public static func answer(_ status: Int, _ body: [UInt8] = [], headers: String = "") -> Reply {
      .raw(Array("HTTP/1.1 \(status) X\r\nContent-Length: \(body.count)\r\n\(headers)\r\n".utf8) + body)
    }
  }

  /// Its address, `http://127.0.0.1:PORT`.
  public let url: String
  private let listener: Int32
  private let reply: @Sendable (Request) -> Reply
  private let opened = Atomic<Int>(0)

  /// How many connections there were so far.
  public var connections: Int { opened.load(ordering: .sequentiallyConsistent) }

  /// A server that sends `greeting` as soon as a client has connected, and then a reply to each request.
  public init(greeting: [UInt8] = [], _ reply: @escaping @Sendable (Request) -> Reply) throws {
    self.reply = reply
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withUnsafeMutablePointer(to: &address) { [listener] pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, length) | listen(listener, 64) | getsockname(listener, $0, &length)
      }
    }
    guard code == 0 else { throw SystemError.last("listen", "127.0.0.1") }
    url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
    startThread { [listener, weak self] in
      // Only this thread closes the listener: its number may be another server's as soon as it is closed.
      defer { close(listener) }
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        guard let self else {
          close(connection)
          return
        }
        let number = self.opened.add(1, ordering: .sequentiallyConsistent).newValue
        startThread { [reply = self.reply] in serve(connection, number, greeting, reply) }
      }
    }
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
  }
}

private func serve(
  _ connection: Int32, _ number: Int, _ greeting: [UInt8], _ reply: (TestServer.Request) -> TestServer.Reply
) {
  defer { close(connection) }
  var received: [UInt8] = []
  func more() -> Bool {
    var block = [UInt8](repeating: 0, count: 1 << 16)
    let count = recv(connection, &block, block.count, 0)
    if count > 0 { received += block.prefix(count) }
    return count > 0
  }
  func send(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
  send(greeting)
  var turn = 0
  while true {
    var scanned = 0
    var end: Int?
    while end == nil {
      end = (scanned..<max(scanned, received.count - 3)).first {
        received[$0..<$0 + 4].elementsEqual("\r\n\r\n".utf8)
      }
      scanned = max(0, received.count - 3)
      if end == nil, !more() { return }
    }
    let headEnd = (end ?? 0) + 4
    let head = String(decoding: received.prefix(headEnd), as: UTF8.self)
    let length =
      head.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
      .flatMap { Int($0.split(separator: " ").last ?? "") } ?? 0
    while received.count < headEnd + length { if !more() { return } }
    turn += 1
    let body = Array(received[headEnd..<headEnd + length])
    received.removeFirst(headEnd + length)
    switch reply(.init(head: head, body: body, connection: number, turn: turn)) {
    case .raw(let bytes): send(bytes)
    case .rawThenClose(let bytes):
      send(bytes)
      return
    case .silence:
      while more() {}
      return
    }
  }
}
