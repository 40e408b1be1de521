import Digests
import HTTP
import Platform
import Synchronization

/// A prefix of a bucket on a server that speaks S3.
///
/// It asks for the common denominator of the servers seen: signed Content-MD5 on everything that is sent, no chunked signatures, no
/// conditions, ETags taken for MD5s only where they look like them.
public final class S3Store: ObjectStore {
  let session: S3Session
  let hashing: BlockingPool
  /// Whether the server turned out not to know deletions of many keys at once.
  let deletesOneByOne = Atomic<Bool>(false)
  /// Whether an answer to an upload showed that ETags of joined objects are not made of MD5s.
  let sawOpaqueETags = Atomic<Bool>(false)

  /// A store over settings and credentials. Without a transport it makes a client of its own; `clock` is this machine's.
  public init(
    _ settings: S3Settings, credentials: any CredentialsProvider, transport: (any HTTPTransport)? = nil,
    clock: @escaping @Sendable () -> Timestamp = { Timestamp.now() }
  ) {
    hashing = BlockingPool(threads: 2)
    session = S3Session(
      settings, credentials, transport ?? HTTPClient(settings.httpOptions), hashing: hashing, clock: clock)
  }

  /// `s3://bucket/prefix`
  public var name: String { session.settings.name }

  /// Stores a whole object and gives its ETag.
  @discardableResult
  public func put(_ key: String, _ payload: Payload) async throws -> String? {
    try requireKey(key, for: .put)
    let md5 = try await hashing.run { MD5.hash(each: [payload])[0] }
    var request = S3Request(.put, "PUT", key: key)
    request.headers = [
      (name: "Content-Type", value: "application/octet-stream"),
      (name: "Content-MD5", value: base64(md5)),
    ]
    request.body = payload
    return try checkedETag(try await session.send(request), md5: md5, key: key)
  }

  /// A whole small object. Bytes that do not match its MD5 are looked at twice: what comes again is what the store has.
  public func get(_ key: String, limit: Int) async throws -> [UInt8] {
    try requireKey(key, for: .get)
    let first = try await getOnce(key, limit: limit)
    if try await matchesETag(first) { return first.body }
    let second = try await getOnce(key, limit: limit)
    if second.body == first.body { return second.body }
    if try await matchesETag(second) { return second.body }
    throw StoreError.transient(
      operation: StoreOperation.get.rawValue, detail: "\(key) arrived with other bytes each time",
      retryAfter: nil)
  }

  private func getOnce(_ key: String, limit: Int) async throws -> HTTPResponse {
    var request = S3Request(.get, "GET", key: key)
    request.sink = .memory(limit: limit)
    let response = try await session.send(request)
    try refusePage(response)
    // Without them nothing would tell a whole object from one whose connection broke.
    guard response.headers["content-length"] != nil || response.headers["transfer-encoding"] != nil else {
      throw session.notS3("an object without a length")
    }
    return response
  }

  /// Throws where a successful answer is a page for people, as those of networks that ask to sign in are. No object is one.
  private func refusePage(_ response: HTTPResponse) throws {
    guard response.headers["content-type"]?.lowercased().hasPrefix("text/html") == true else { return }
    throw session.notS3("HTTP \(response.status) with an HTML page")
  }

  /// Whether a whole object's bytes match its ETag, so far as that is an MD5.
  private func matchesETag(_ response: HTTPResponse) async throws -> Bool {
    guard let expected = md5(in: response) else { return true }
    // A marker's digest takes less time than a thread to make it on.
    guard response.body.count > 16 << 10 else { return MD5.hash(response.body) == expected }
    return try await hashing.run { [body = response.body] in MD5.hash(body) == expected }
  }

  /// Reads part of an object by a Range request; whatever answers something else than the range fails.
  public func read(_ key: String, at offset: Int, into target: WritableSlice) async throws {
    try requireKey(key, for: .read)
    guard target.count > 0 else {
      guard let info = try await head(key) else { throw StoreError.missing(key: key) }
      guard info.size >= offset else { throw StoreError.short(key: key, expected: 0, received: 0) }
      return
    }
    guard offset <= Int.max - target.count else {
      throw StoreError.short(key: key, expected: target.count, received: 0)
    }
    var request = S3Request(.read, "GET", key: key)
    request.headers = [(name: "Range", value: "bytes=\(offset)-\(offset + target.count - 1)")]
    request.sink = .buffer(target)
    let response: HTTPResponse
    do {
      response = try await session.exchange(request)
      if response.isSuccess { try refusePage(response) }
      if response.status == 200, offset > 0, response.headers["content-range"] == nil {
        throw session.notS3("HTTP 200 without the range that was asked for")
      }
    } catch let error as StoreError {
      // To a range beyond the end Alibaba OSS answers with the whole object (help.aliyun.com/en/oss, how-to-obtain-oss-resources-by-segmenting-http-range-requests).
      guard case .notS3 = error, let info = try await head(key), info.size - target.count < offset else {
        throw error
      }
      throw StoreError.short(
        key: key, expected: target.count, received: max(0, info.size - min(offset, info.size)))
    }
    if response.status == 416 { throw StoreError.short(key: key, expected: target.count, received: 0) }
    guard response.isSuccess else { throw session.error(S3Problem(response), request) }
    try checkRange(response, key: key, offset: offset, count: target.count)
  }

  /// Size, ETag and time of an object.
  public func head(_ key: String) async throws -> ObjectInfo? {
    try requireKey(key, for: .head)
    let request = S3Request(.head, "HEAD", key: key)
    let response = try await session.exchange(request)
    if response.status == 404 { return nil }
    guard response.isSuccess else { return try await headAfterRefusal(response, request) }
    return try objectInfo(response, key)
  }

  private func objectInfo(_ response: HTTPResponse, _ key: String) throws -> ObjectInfo {
    guard let size = response.headers["content-length"].flatMap({ Int($0) }), size >= 0,
      let modified = response.headers["last-modified"].flatMap({ Timestamp(parsing: $0) })
    else { throw session.notS3("a HEAD without a length and a time") }
    return ObjectInfo(
      key: key, size: size, etag: response.headers["etag"].flatMap(plainETag), modified: modified)
  }

  /// A refused HEAD has no body to say why; the same question as a GET does. Where that is not refused, its credentials or clock were
  /// put right on the way, and the HEAD is sent once more.
  private func headAfterRefusal(_ response: HTTPResponse, _ asked: S3Request) async throws -> ObjectInfo? {
    let problem = S3Problem(response)
    guard problem.status == 400 || problem.status == 403 else { throw session.error(problem, asked) }
    var request = S3Request(.head, "GET", key: asked.subject)
    request.headers = [(name: "Range", value: "bytes=0-0")]
    let answer = try await session.exchange(request)
    let said = S3Problem(answer)
    if answer.isSuccess || [404, 416].contains(said.status) {
      let again = try await session.exchange(asked)
      if again.status == 404 { return nil }
      if again.isSuccess { return try objectInfo(again, asked.subject) }
    } else if !said.code.isEmpty {
      throw session.error(said, request)
    }
    throw StoreError.denied(
      operation: StoreOperation.head.rawValue, key: asked.subject,
      message: "HTTP \(problem.status) to a HEAD")
  }

  /// The ETag of an answer, checked where it is an MD5: an encrypting server's is something else.
  func checkedETag(_ response: HTTPResponse, md5: [UInt8], key: String) throws -> String? {
    if let seen = self.md5(in: response), seen != md5 { throw StoreError.corruptedInTransit(key: key) }
    return response.headers["etag"].flatMap(plainETag)
  }

  /// The MD5 that an answer's ETag is. Nil where it is something else, as those of joined parts and of encrypting servers are.
  private func md5(in response: HTTPResponse) -> [UInt8]? {
    guard !isEncrypted(response), !session.settings.isEncrypted,
      let etag = response.headers["etag"].flatMap(plainETag), let digest = bytes(hex: etag)
    else { return nil }
    return digest.count == 16 ? digest : nil
  }

  /// Whether an answer tells of encryption by the server that may make ETags something else than MD5s. What Amazon encrypts with keys of
  /// its own, as it does with everything since 2023, keeps them (docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html).
  private func isEncrypted(_ response: HTTPResponse) -> Bool {
    response.headers.fields.contains { field in
      let name = field.name.lowercased()
      if name == "x-amz-server-side-encryption", field.value == "AES256", session.settings.endpoint.isAmazon {
        return false
      }
      return name.hasPrefix("x-amz-server-side-encryption") || name.hasPrefix("x-oss-server-side-encryption")
    }
  }

  /// Whether what was answered about is encrypted with a customer's or a KMS key: then its ETag is no MD5
  /// (docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html), though it may look like one.
  func hasKeyOfItsOwn(_ response: HTTPResponse) -> Bool {
    session.settings.customerKey != nil
      || response.headers["x-amz-server-side-encryption-customer-algorithm"] != nil
      || response.headers["x-amz-server-side-encryption"]?.hasPrefix("aws:") == true
  }

  /// Believes an answer to be the range that was asked for: by its Content-Range (rclone sends that with a 200), or where the whole
  /// object is just the range.
  private func checkRange(_ response: HTTPResponse, key: String, offset: Int, count: Int) throws {
    if let range = response.headers["content-range"] {
      guard let (first, last) = bounds(range), first == offset, last - first + 1 == response.received else {
        throw session.notS3("'Content-Range: \(range)' for bytes \(offset) to \(offset + count - 1)")
      }
    } else if response.status != 200 || offset != 0 {
      throw session.notS3("HTTP \(response.status) without the range that was asked for")
    }
    guard response.received == count else {
      throw StoreError.short(key: key, expected: count, received: response.received)
    }
  }

  /// First and last byte of `bytes 0-9/100` or `bytes 0-9/*`.
  private func bounds(_ range: String) -> (Int, Int)? {
    let words = range.split(separator: " ")
    guard words.count == 2, words[0].lowercased() == "bytes", let span = words[1].split(separator: "/").first
    else { return nil }
    let numbers = span.split(separator: "-").map { Int($0) }
    guard numbers.count == 2, let first = numbers[0], let last = numbers[1], first >= 0, last >= first,
      last < Int.max
    else { return nil }
    return (first, last)
  }
}
