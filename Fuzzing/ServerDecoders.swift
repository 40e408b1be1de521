import Commands
import FoundationEssentials
import Glibc
import HTTP
import ObjectStore
import Platform
import Synchronization

/// The readers of a server's answers and of the configuration file.
func serverDecoders(_ scratch: String) throws -> [Decoder] {
  let bodies = [
    Examples.listing, Examples.uploads, Examples.failure, Examples.deleted, Examples.begun,
    Examples.completed, "",
    "<html><body>Sign in</body></html>",
  ]
  let server = Server()
  let settings = try S3Settings(endpoint: "http://127.0.0.1:1", bucket: "bucket", prefix: "team")
  let credentials = StaticCredentials(Credentials(accessKey: "key", secretKey: "secret"))
  let store = S3Store(
    settings, credentials: credentials, transport: server, clock: { Timestamp(seconds: 1_795_491_774) })
  return [
    Decoder(
      name: "server", share: 60, seeds: bodies.map { Array((Examples.head + $0).utf8) }, isText: true,
      // The first byte says what is asked: answers to other questions than theirs are among them.
      wrap: { bytes, mutator in
        let status = mutator.pick([
          "200", "200", "200", "206", "301", "400", "403", "404", "416", "500", "503",
        ])
        return [UInt8(mutator.below(256))] + Array(status.utf8) + bytes.dropFirst(3)
      },
      bombs: [{ [0] + Array(("200\nDate: x\n\n<L>" + String(repeating: "<a/>", count: 250_000)).utf8) }],
      read: { bytes in try await ask(bytes, store) }),
    Decoder(
      name: "configuration", share: 50, seeds: [Array(exampleConfiguration.utf8)], isText: true,
      read: { bytes in
        let path = "\(scratch)/config.toml"
        try Data(bytes).write(to: URL(filePath: path))
        var configuration = Configuration()
        try ConfigurationFile.load(named: path, environment: [:], into: &configuration)
      }),
  ]

  @Sendable func ask(_ input: [UInt8], _ store: S3Store) async throws {
    server.answer(input.dropFirst())
    let upload = MultipartUpload(key: "packs/x", id: "u")
    switch (input.first ?? 0) % 10 {
    case 0...2:
      let objects = try await store.list("packs/").objects
      guard
        objects.allSatisfy({
          $0.key.hasPrefix("packs/") && (try? RelativePath($0.key)) != nil && $0.size >= 0
        })
      else { throw Broken(rule: "what is listed lies under its prefix") }
    case 3: _ = try await store.listUploads("packs/")
    case 4: _ = try await store.get("packs/x", limit: 1 << 20)
    case 5:
      let buffer = Buffer(copying: [UInt8](repeating: 0, count: 10))
      try await store.read("packs/x", at: 0, into: WritableSlice(buffer, 0..<10))
    case 6: _ = try await store.head("packs/x")
    case 7: try await store.delete(["a", "b"])
    case 8: _ = try await store.beginMultipart("packs/x")
    default: _ = try await store.complete(upload, [PartReceipt(number: 1, etag: "e", size: 1)])
    }
  }
}

/// A server that gives one answer to whatever it is asked: status, header lines, an empty line, the body.
private final class Server: HTTPTransport {
  private let response = Mutex(HTTPResponse(status: 200))

  func answer(_ bytes: ArraySlice<UInt8>) {
    var status = 0
    for byte in bytes.prefix(3) { status = status * 10 + Int(byte &- UInt8(ascii: "0")) % 10 }
    var headers = HTTPHeaders()
    var rest = bytes.dropFirst(3)
    if rest.first == UInt8(ascii: "\n") { rest = rest.dropFirst() }
    while let end = rest.firstIndex(of: UInt8(ascii: "\n")), end != rest.startIndex {
      headers.append(line: rest[..<end])
      rest = rest[(end + 1)...]
    }
    let answer = HTTPResponse(
      status: min(599, max(100, status)), headers: headers, body: Array(rest.dropFirst()))
    response.withLock { $0 = answer }
  }

  func send(_ request: HTTPRequest) async throws -> HTTPResponse {
    var answer = response.withLock { $0 }
    switch request.sink {
    case .memory(let limit):
      if answer.body.count > limit { throw HTTPError.bodyTooLarge(limit: limit) }
    case .buffer(let target):
      guard answer.isSuccess else { break }
      answer.received = min(answer.body.count, target.count)
      answer.body = []
    }
    return answer
  }
}

private let exampleConfiguration = """
  repository = "s3://backups/llama"
  endpoint = "https://minio.example:9000"
  connections = 8
  memory = "512MiB"
  verify_tls = true
  grace = "24h"
  best = "eval_loss:min"
  [prune]
  keep_last = 3
  keep_best = ["2:eval_loss:min", "1"]
  keep_within = "30d"
  keep_tags = ["a", "b"]

  """
