import Glibc
import HTTP
import Platform
import Synchronization
import TestSupport
import Testing

struct HTTPClientTests {
  private let text = Array("0123456789".utf8)

  @Test func bodiesMadeOfSlicesArriveUnchanged() async throws {
    let server = try TestServer {
      .answer(200, $0.body, headers: "X-Head: \($0.head.split(separator: " ")[0])\r\n")
    }
    let client = HTTPClient()
    let buffer = Buffer(copying: (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) })
    var body = Payload()
    for start in stride(from: 0, to: 3_000_000, by: 77_777) {
      body.append(buffer.slice(start..<min(3_000_000, start + 77_777)))
    }
    for method in ["PUT", "POST"] {
      let answer = try await client.send(
        HTTPRequest(method, server.url, body: body, sink: .memory(limit: 3_000_000)))
      #expect(answer.status == 200 && answer.received == 3_000_000)
      #expect(answer.headers["x-HEAD"] == method)
      #expect(buffer.readable.elementsEqual(answer.body))
    }
    #expect(client.traffic.sent == 6_000_000 && client.traffic.received == 6_000_000)
  }

  @Test func requestsSayExactlyWhatTheyWereTold() async throws {
    let server = try TestServer { .answer(200, Array($0.head.utf8)) }
    let client = HTTPClient()
    let request = HTTPRequest(
      "PUT", server.url + "/a/../b%20c?x=",
      headers: [(name: "X-A", value: "1"), (name: "X-Empty", value: "")])
    let head = String(decoding: try await client.send(request).body, as: UTF8.self)
    #expect(head.hasPrefix("PUT /a/../b%20c?x= HTTP/1.1\r\n"))
    for line in ["X-A: 1", "Content-Length: 0", "User-Agent: ckbackup"] {
      #expect(head.contains(line + "\r\n"))
    }
    #expect(head.contains("X-Empty:") && !head.contains("Expect") && !head.contains("Transfer-Encoding"))
  }

  @Test func successfulBodiesGoToTheBufferAndOthersToMemory() async throws {
    let server = try TestServer { [text] in $0.head.contains("/bad") ? .answer(404, text) : .answer(206, text)
    }
    let client = HTTPClient()
    let buffer = Buffer(copying: [UInt8](repeating: 1, count: 14))
    let sink = HTTPRequest.Sink.buffer(WritableSlice(buffer, 2..<12))
    let bad = try await client.send(HTTPRequest("GET", server.url + "/bad", sink: sink))
    #expect(bad.status == 404 && bad.body == text)
    #expect(Array(buffer.readable) == [UInt8](repeating: 1, count: 14))
    let good = try await client.send(HTTPRequest("GET", server.url, sink: sink))
    #expect(good.status == 206 && good.body.isEmpty && good.received == 10)
    #expect(Array(buffer.readable) == [1, 1] + text + [1, 1])
  }

  @Test func moreBytesThanThereIsRoomForAreAnErrorAndNeverWritten() async throws {
    let server = try TestServer { [text] _ in .answer(200, text) }
    let client = HTTPClient()
    let buffer = Buffer(copying: [UInt8](repeating: 1, count: 20))
    await #expect(throws: HTTPError.bodyTooLarge(limit: 9)) {
      try await client.send(HTTPRequest("GET", server.url, sink: .buffer(WritableSlice(buffer, 0..<9))))
    }
    #expect(Array(buffer.readable[9...]) == [UInt8](repeating: 1, count: 11))
    await #expect(throws: HTTPError.bodyTooLarge(limit: 9)) {
      try await client.send(HTTPRequest("GET", server.url, sink: .memory(limit: 9)))
    }
    #expect(try await client.send(HTTPRequest("GET", server.url, sink: .memory(limit: 10))).body == text)
  }

  @Test func errorBodiesAreCutAtTheirLimit() async throws {
    let server = try TestServer { _ in .answer(500, [UInt8](repeating: 65, count: 100_000)) }
    let answer = try await HTTPClient().send(HTTPRequest("GET", server.url))
    #expect(answer.status == 500 && answer.body.count == 64 << 10 && answer.received == 100_000)
  }

  @Test func endlessErrorBodiesAreGivenUp() async throws {
    let server = try TestServer { _ in .answer(500, [UInt8](repeating: 65, count: 4 << 20)) }
    await #expect(throws: HTTPError.bodyTooLarge(limit: 1 << 20)) {
      try await HTTPClient().send(HTTPRequest("GET", server.url))
    }
  }

  @Test func aHeadHasALengthAndNoBody() async throws {
    let server = try TestServer { _ in
      .raw(Array("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: \"x\"\r\n\r\n".utf8))
    }
    let answer = try await HTTPClient().send(HTTPRequest("HEAD", server.url))
    #expect(
      answer.headers["content-length"] == "12345" && answer.headers["etag"] == "\"x\"" && answer.body.isEmpty)
  }

  @Test(arguments: [
    "", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
    "SSH-2.0\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
  ])
  func answersThatEndEarlyAreInterrupted(_ answer: String) async throws {
    let server = try TestServer { _ in .rawThenClose(Array(answer.utf8)) }
    let error = await #expect(throws: HTTPError.self) {
      try await HTTPClient().send(HTTPRequest("GET", server.url))
    }
    guard case .interrupted = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func endlessHeadersAreRefused() async throws {
    let line = "X-Long: \(String(repeating: "x", count: 1000))\r\n"
    let server = try TestServer { _ in .answer(200, headers: String(repeating: line, count: 70)) }
    await #expect(throws: HTTPError.headersTooLarge(limit: 64 << 10)) {
      try await HTTPClient().send(HTTPRequest("GET", server.url))
    }
  }

  @Test func addressesThatDoNotAnswerAreToldApart() async throws {
    let client = HTTPClient()
    let refused = await #expect(throws: HTTPError.self) {
      try await client.send(HTTPRequest("GET", "http://127.0.0.1:1"))
    }
    guard case .connect = refused else {
      Issue.record("\(String(describing: refused))")
      return
    }
    let server = try TestServer(greeting: Array("this is no TLS\r\n".utf8)) { _ in .answer(200) }
    let plain = server.url.replacing("http:", with: "https:")
    let tls = await #expect(throws: HTTPError.self) { try await client.send(HTTPRequest("GET", plain)) }
    guard case .tls = tls else {
      Issue.record("\(String(describing: tls))")
      return
    }
  }

  @Test func cancelledRequestsEndBeforeTheyAreGivenUp() async throws {
    let server = try TestServer { _ in .silence }
    let client = HTTPClient()
    let task = Task { try await client.send(HTTPRequest("GET", server.url)) }
    while server.connections == 0 { try await Task.sleep(for: .milliseconds(1)) }
    task.cancel()
    // Left alone it would throw that the transfer stands still.
    await #expect(throws: CancellationError.self) { try await task.value }
    let early = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await client.send(HTTPRequest("GET", server.url))
    }
    await #expect(throws: CancellationError.self) { try await early.value }
  }

  @Test func cancellationsAtAnyMomentLeaveNothingHanging() async throws {
    let server = try TestServer { _ in .answer(200) }
    let client = HTTPClient()
    await withTaskGroup(of: Void.self) { group in
      for index in 0..<300 {
        group.addTask {
          let task = Task { try await client.send(HTTPRequest("GET", server.url)) }
          if index % 3 > 0 { try? await Task.sleep(for: .microseconds(index * 7 % 500)) }
          task.cancel()
          _ = await task.result
        }
      }
    }
    #expect(try await client.send(HTTPRequest("GET", server.url)).status == 200)
  }

  @Test func standingTransfersAreGivenUp() async throws {
    let server = try TestServer { _ in .silence }
    var options = HTTPOptions()
    options.stallSeconds = 1
    let client = HTTPClient(options)
    let error = await #expect(throws: HTTPError.self) {
      try await client.send(HTTPRequest("GET", server.url))
    }
    guard case .stalled = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func connectionsAreKeptAndBounded() async throws {
    let server = try TestServer { _ in .answer(200) }
    var options = HTTPOptions()
    options.connections = 3
    let client = HTTPClient(options)
    try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<60 { group.addTask { try await client.send(HTTPRequest("GET", server.url)).status } }
      for try await status in group { #expect(status == 200) }
    }
    #expect((1...3).contains(server.connections))
  }

  @Test func waitingForAConnectionCountsNeitherAsConnectingNorAsStanding() async throws {
    let server = try TestServer { _ in
      usleep(400_000)
      return .answer(200)
    }
    var options = HTTPOptions()
    options.connections = 1
    options.connectSeconds = 1
    options.stallSeconds = 1
    let client = HTTPClient(options)
    try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<5 { group.addTask { try await client.send(HTTPRequest("GET", server.url)).status } }
      for try await status in group { #expect(status == 200) }
    }
  }

  @Test func aKeptConnectionThatDiedIsReplacedAndTheBodySentAgain() async throws {
    let server = try TestServer { request in
      // The second request on the first connection finds it closed without a word.
      if request.connection == 1 {
        return .rawThenClose(Array("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".utf8))
      }
      return .answer(200, request.body)
    }
    let client = HTTPClient()
    let body = [UInt8](repeating: 7, count: 100_000)
    _ = try await client.send(HTTPRequest("PUT", server.url, body: Payload(body)))
    #expect(try await client.send(HTTPRequest("PUT", server.url, body: Payload(body))).body == body)
  }

  @Test func closedClientsAnswerEverybody() async throws {
    let server = try TestServer { _ in .silence }
    let client = HTTPClient()
    let task = Task { try await client.send(HTTPRequest("GET", server.url)) }
    try await Task.sleep(for: .milliseconds(50))
    client.close()
    await #expect(throws: HTTPError.closed) { try await task.value }
    await #expect(throws: HTTPError.closed) { try await client.send(HTTPRequest("GET", server.url)) }
  }

  @Test func lineBreaksInHeadersAreRefused() async throws {
    let client = HTTPClient()
    for request in [
      HTTPRequest("GET", "http://127.0.0.1:1", headers: [(name: "A", value: "b\r\nC: d")]),
      HTTPRequest("GET", "http://127.0.0.1:1/\n"), HTTPRequest("GET", "ftp://127.0.0.1/"),
    ] {
      let error = await #expect(throws: HTTPError.self) { try await client.send(request) }
      guard case .invalidRequest = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
    }
  }
}
