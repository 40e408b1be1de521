import Digests
import Platform
import Synchronization
import TestSupport

@testable import ObjectStore

/// An S3 server in this process: objects, uploads in parts, signatures and digests that are checked. It may be told to lie.
final class EmulatedS3: Sendable {
  /// What it does otherwise than S3.
  enum Lie: Sendable {
    case ignoresRanges, losesAKeyOfEachPage, keepsTheFirstObject, takesAnyMD5, takesAnySecret
    case foldsCase, keepsTheFirstPart, forgetsDeletions, showsOldObjects, joinsAbortedUploads
    case deniesDelete, deniesWrite, deniesDoctor, hasLocks, keepsVersions, endsOldVersions,
      wantsAnotherRegion, expiresEverything, expiresLogs
  }

  private let state: Box
  private let server: S3Server
  private final class Box: Sendable { let contents = Mutex(EmulatedBucket()) }

  /// A server with one bucket, `bucket`.
  init(_ lies: Lie...) throws {
    let box = Box()
    state = box
    let lies = Set(lies)
    server = try S3Server { request, _ in box.contents.withLock { $0.answer(request, lies) } }
  }

  /// The keys of its objects.
  var keys: [String] {
    state.contents.withLock { $0.objects.keys.map { String(decoding: $0, as: UTF8.self) } }.sorted()
  }
  /// The keys that something was stored under, in order.
  var written: [String] { state.contents.withLock { $0.written } }
  /// How many uploads are open.
  var openUploads: Int { state.contents.withLock { $0.uploads.count } }

  /// How it is reached.
  func settings(bucket: String = "bucket") throws -> S3Settings {
    var settings = try S3Settings(
      endpoint: "http://\(server.authority)", bucket: bucket, prefix: "some/prefix")
    settings.addressing = .path
    return settings
  }

  /// A store on it.
  func store() throws -> S3Store {
    S3Store(try settings(), credentials: StaticCredentials(S3Server.credentials))
  }
}

/// What an `EmulatedS3` holds, and its answers.
struct EmulatedBucket {
  struct Object {
    var bytes: [UInt8]
    var etag: String
    var modified = Timestamp.now()
  }
  struct Upload {
    let key: [UInt8]
    let started = Timestamp.now()
    var parts: [Int: [UInt8]] = [:]
  }

  var objects: [[UInt8]: Object] = [:]
  var uploads: [String: Upload] = [:]
  /// Mode and end of each lock, as they came.
  var retentions: [[UInt8]: (mode: String, until: String)] = [:]
  var written: [String] = []
  private var ended: [String: Upload] = [:]
  private var begun = 0
  private var old: [[UInt8]: Object] = [:]

  mutating func answer(_ request: S3Server.Request, _ lies: Set<EmulatedS3.Lie>) -> TestServer.Reply {
    guard lies.contains(.takesAnySecret) || request.isSigned() else {
      return error(request, 403, "SignatureDoesNotMatch")
    }
    if lies.contains(.wantsAnotherRegion), request.headers["authorization"]?.contains("/eu-lost/") != true {
      return .xml400("<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-lost</Region></Error>")
    }
    let path = percentDecodedBytes(request.path) ?? []
    let parts = path.dropFirst().split(
      separator: UInt8(ascii: "/"), maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.first?.elementsEqual("bucket".utf8) == true else {
      return error(request, 404, "NoSuchBucket")
    }
    var query: [String: String] = [:]
    for pair in request.query.split(separator: "&") {
      let words = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let bytes = words.count > 1 ? percentDecodedBytes(String(words[1])) ?? [] : []
      query[String(words[0])] = String(decoding: bytes, as: UTF8.self)
    }
    var key = parts.count > 1 ? Array(parts[1]) : []
    if lies.contains(.foldsCase) { key = Array(String(decoding: key, as: UTF8.self).lowercased().utf8) }
    guard !key.isEmpty else { return bucket(request, query, lies) }
    return object(request, key, query, lies)
  }

  private mutating func bucket(
    _ request: S3Server.Request, _ query: [String: String], _ lies: Set<EmulatedS3.Lie>
  ) -> TestServer.Reply {
    if query["list-type"] != nil { return list(query, lies) }
    if query["delete"] != nil { return deleteMany(request, lies) }
    if query["uploads"] != nil {
      let prefix = Array((query["prefix"] ?? "").utf8)
      let items = uploads.filter { $0.value.key.starts(with: prefix) }.map { id, upload in
        "<Upload><Key>\(encoded(upload.key))</Key><UploadId>\(id)</UploadId><Initiated>\(upload.started.rfc3339)</Initiated></Upload>"
      }
      return .dated(
        "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>\(items.sorted().joined())</ListMultipartUploadsResult>"
      )
    }
    if query["versioning"] != nil, lies.contains(.keepsVersions) {
      return .dated("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
    }
    if query["versioning"] != nil { return .dated("<VersioningConfiguration/>") }
    if query["object-lock"] != nil, lies.contains(.hasLocks) {
      return .dated(
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>")
    }
    if query["object-lock"] != nil { return error(request, 404, "ObjectLockConfigurationNotFoundError") }
    guard query["lifecycle"] != nil else { return error(request, 501, "NotImplemented") }
    if lies.contains(.endsOldVersions) {
      return .dated(
        "<LifecycleConfiguration><Rule><ID>o</ID><Status>Enabled</Status><Filter><Prefix>some/</Prefix></Filter><NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>"
      )
    }
    guard lies.contains(.expiresEverything) || lies.contains(.expiresLogs) else {
      return error(request, 404, "NoSuchLifecycleConfiguration")
    }
    let prefix = lies.contains(.expiresLogs) ? "logs/" : ""
    return .dated(
      "<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix>\(prefix)</Prefix></Filter><Expiration><Days>7</Days></Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>"
    )
  }

  private func list(_ query: [String: String], _ lies: Set<EmulatedS3.Lie>) -> TestServer.Reply {
    let prefix = Array((query["prefix"] ?? "").utf8)
    let after = query["continuation-token"].map { bytes(hex: $0) ?? [] } ?? []
    let found = objects.filter { $0.key.starts(with: prefix) && after.lexicographicallyPrecedes($0.key) }
      .sorted { $0.key.lexicographicallyPrecedes($1.key) }
    var page = found.prefix(Int(query["max-keys"] ?? "") ?? 1000)
    let token = page.count < found.count ? page.last.map { hex($0.key) } : nil
    if lies.contains(.losesAKeyOfEachPage), page.count > 1 { page = page.dropLast() }
    let items = page.map { key, object in
      "<Contents><Key>\(encoded(key))</Key><Size>\(object.bytes.count)</Size><ETag>&quot;\(object.etag)&quot;</ETag><LastModified>\(object.modified.rfc3339)</LastModified></Contents>"
    }
    let next = token.map { "<NextContinuationToken>\($0)</NextContinuationToken>" } ?? ""
    return .dated(
      "<ListBucketResult><EncodingType>url</EncodingType><KeyCount>\(items.count)</KeyCount><IsTruncated>\(token != nil)</IsTruncated>\(next)\(items.joined())</ListBucketResult>"
    )
  }

  private mutating func deleteMany(_ request: S3Server.Request, _ lies: Set<EmulatedS3.Lie>)
    -> TestServer.Reply
  {
    let keys = XMLNode.parse(request.body)?.all("Object").compactMap { $0["Key"] } ?? []
    let kept = lies.contains(.deniesDelete) ? keys : keys.filter { isLocked(Array($0.utf8)) }
    if !kept.isEmpty {
      for key in keys where !kept.contains(key) { objects[Array(key.utf8)] = nil }
      let errors = kept.map { "<Error><Key>\(xmlEscaped($0))</Key><Code>AccessDenied</Code></Error>" }
      return .dated("<DeleteResult>\(errors.joined())</DeleteResult>")
    }
    if !lies.contains(.forgetsDeletions) { for key in keys { objects[Array(key.utf8)] = nil } }
    return .dated("<DeleteResult/>")
  }

  private mutating func object(
    _ request: S3Server.Request, _ key: [UInt8], _ query: [String: String], _ lies: Set<EmulatedS3.Lie>
  ) -> TestServer.Reply {
    if query["retention"] != nil { return retention(request, key, lies) }
    let isDoctors = String(decoding: key, as: UTF8.self).contains("/doctor/")
    switch request.method {
    case "PUT" where lies.contains(.deniesWrite) || lies.contains(.deniesDoctor) && isDoctors,
      "POST" where lies.contains(.deniesWrite) || lies.contains(.deniesDoctor) && isDoctors,
      "DELETE" where lies.contains(.deniesDelete) || isLocked(key) && query["uploadId"] == nil:
      return error(request, 403, "AccessDenied")
    case "PUT": return put(request, key, query, lies)
    case "POST": return post(request, key, query, lies)
    case "DELETE":
      if let id = query["uploadId"] {
        guard let upload = uploads.removeValue(forKey: id) else { return error(request, 404, "NoSuchUpload") }
        ended[id] = upload
      } else if !lies.contains(.forgetsDeletions) {
        objects[key] = nil
      }
      return .answer(204, headers: dateField)
    default: return read(request, key, lies)
    }
  }

  private func isLocked(_ key: [UInt8]) -> Bool {
    retentions[key].flatMap { Timestamp(parsing: $0.until) }.map { $0 > Timestamp.now() } ?? false
  }

  /// Reads or sets a lock, as Amazon does: neither an earlier end nor a weaker mode is taken.
  private mutating func retention(
    _ request: S3Server.Request, _ key: [UInt8], _ lies: Set<EmulatedS3.Lie>
  ) -> TestServer.Reply {
    guard lies.contains(.hasLocks) else { return error(request, 400, "InvalidRequest") }
    guard objects[key] != nil else { return error(request, 404, "NoSuchKey") }
    guard request.method == "PUT" else {
      guard let held = retentions[key] else { return error(request, 404, "NoSuchObjectLockConfiguration") }
      return .dated(
        "<Retention><Mode>\(held.mode)</Mode><RetainUntilDate>\(held.until)</RetainUntilDate></Retention>")
    }
    guard !lies.contains(.deniesWrite) else { return error(request, 403, "AccessDenied") }
    guard request.headers["content-md5"] == base64(MD5.hash(request.body)) else {
      return error(request, 400, "InvalidDigest")
    }
    guard let root = XMLNode.parse(request.body), let mode = root["Mode"],
      let until = root["RetainUntilDate"], Timestamp(parsing: until) != nil
    else { return error(request, 400, "MalformedXML") }
    if let held = retentions[key], until < held.until || mode == "GOVERNANCE" && held.mode == "COMPLIANCE" {
      return error(request, 403, "AccessDenied")
    }
    retentions[key] = (mode, until)
    return .answer(200, headers: dateField)
  }

  private func read(
    _ request: S3Server.Request, _ key: [UInt8], _ lies: Set<EmulatedS3.Lie>
  ) -> TestServer.Reply {
    let object = lies.contains(.showsOldObjects) ? old[key] ?? objects[key] : objects[key]
    guard let object else { return error(request, 404, "NoSuchKey") }
    let headers = "\(dateField)ETag: \"\(object.etag)\"\r\nLast-Modified: \(httpDate(object.modified))\r\n"
    if request.method == "HEAD" {
      return .raw(Array("HTTP/1.1 200 OK\r\nContent-Length: \(object.bytes.count)\r\n\(headers)\r\n".utf8))
    }
    guard let range = request.headers["range"]?.dropFirst("bytes=".count), !lies.contains(.ignoresRanges)
    else {
      return .answer(200, object.bytes, headers: headers)
    }
    let ends = range.split(separator: "-").compactMap { Int($0) }
    let last = min(ends[1], object.bytes.count - 1)
    guard ends[0] <= last else { return error(request, 416, "InvalidRange") }
    return .answer(
      206, Array(object.bytes[ends[0]...last]),
      headers: headers + "Content-Range: bytes \(ends[0])-\(last)/\(object.bytes.count)\r\n")
  }

  private mutating func put(
    _ request: S3Server.Request, _ key: [UInt8], _ query: [String: String], _ lies: Set<EmulatedS3.Lie>
  ) -> TestServer.Reply {
    let md5 = MD5.hash(request.body)
    if let said = request.headers["content-md5"], said != base64(md5), !lies.contains(.takesAnyMD5) {
      return error(request, 400, "BadDigest")
    }
    let said = request.headers["x-amz-content-sha256"] ?? ""
    if said != Signer.unsignedPayload, said != hex(SHA256.hash(request.body)) {
      return error(request, 400, "XAmzContentSHA256Mismatch")
    }
    if let sum = request.headers["x-amz-checksum-sha256"], sum != base64(SHA256.hash(request.body)) {
      return error(request, 400, "BadDigest")
    }
    if let id = query["uploadId"], let number = Int(query["partNumber"] ?? "") {
      guard uploads[id]?.key == key else { return error(request, 404, "NoSuchUpload") }
      if uploads[id]?.parts[number] == nil || !lies.contains(.keepsTheFirstPart) {
        uploads[id]?.parts[number] = request.body
      }
      return .answer(200, headers: "\(dateField)ETag: \"\(hex(md5))\"\r\n")
    }
    if let reply = refusedCondition(request, key) { return reply }
    store(key, request.body, hex(md5), lies)
    return .answer(200, headers: "\(dateField)ETag: \"\(hex(md5))\"\r\n")
  }

  private mutating func post(
    _ request: S3Server.Request, _ key: [UInt8], _ query: [String: String], _ lies: Set<EmulatedS3.Lie>
  ) -> TestServer.Reply {
    guard let id = query["uploadId"] else {
      begun += 1
      uploads["id-\(begun)"] = Upload(key: key)
      return .dated(
        "<InitiateMultipartUploadResult><UploadId>id-\(begun)</UploadId></InitiateMultipartUploadResult>")
    }
    let upload = uploads[id] ?? (lies.contains(.joinsAbortedUploads) ? ended[id] : nil)
    guard let upload, upload.key == key else { return error(request, 404, "NoSuchUpload") }
    if let reply = refusedCondition(request, key) { return reply }
    let numbers =
      XMLNode.parse(request.body)?.all("Part").compactMap { $0["PartNumber"].flatMap { Int($0) } } ?? []
    let parts = numbers.compactMap { upload.parts[$0] }
    guard parts.count == numbers.count, !parts.isEmpty else { return error(request, 400, "InvalidPart") }
    uploads[id] = nil
    let etag = multipartETag(partMD5s: parts.map { MD5.hash($0) })
    store(key, Array(parts.joined()), etag, lies)
    return .dated(
      "<CompleteMultipartUploadResult><ETag>&quot;\(etag)&quot;</ETag></CompleteMultipartUploadResult>")
  }

  private func refusedCondition(_ request: S3Server.Request, _ key: [UInt8]) -> TestServer.Reply? {
    let isThere = objects[key] != nil
    let wanted = request.headers["if-match"]
    guard
      request.headers["if-none-match"] == "*" && isThere || wanted.map({ $0 != objects[key]?.etag }) == true
    else { return nil }
    return error(request, 412, "PreconditionFailed")
  }

  private mutating func store(
    _ key: [UInt8], _ bytes: [UInt8], _ etag: String, _ lies: Set<EmulatedS3.Lie>
  ) {
    written.append(String(decoding: key, as: UTF8.self))
    if lies.contains(.keepsTheFirstObject), objects[key] != nil { return }
    old[key] = objects[key]
    objects[key] = Object(bytes: bytes, etag: etag)
  }

  private func error(_ request: S3Server.Request, _ status: Int, _ code: String) -> TestServer.Reply {
    request.method == "HEAD"
      ? .raw(Array("HTTP/1.1 \(status) X\r\nContent-Length: 0\r\n\(dateField)\r\n".utf8))
      : .error(status, code, headers: dateField)
  }
}

private func encoded(_ key: [UInt8]) -> String { percentEncoded(String(decoding: key, as: UTF8.self)) }
private func httpDate(_ time: Timestamp) -> String { time.format("%a, %d %b %Y %H:%M:%S GMT", local: false) }
private var dateField: String { "Date: \(httpDate(.now()))\r\n" }

extension TestServer.Reply {
  fileprivate static func dated(_ text: String) -> Self { .xml(text, headers: dateField) }
  fileprivate static func xml400(_ text: String) -> Self {
    .answer(400, Array(text.utf8), headers: dateField)
  }
}
