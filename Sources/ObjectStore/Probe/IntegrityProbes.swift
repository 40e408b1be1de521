import Digests
import HTTP
import Platform

/// What a server does with a body that does not match what is said of it.
let integrityProbes: [Probe] = [
  Probe("content-md5", .useful, .s3) { it in
    let other = base64(MD5.hash(probeBytes(10, seed: 20)))
    return try await refusesWrong("Content-MD5", other, it)
  },
  Probe("content-md5-part", .useful, .s3) { it in
    let bytes = probeBytes(1000, seed: 21)
    return try await it.upload("object") { upload in
      let answer = try await it.raw(
        "PUT", "object",
        query: [(name: "partNumber", value: "1"), (name: "uploadId", value: upload.id)],
        headers: [(name: "Content-MD5", value: base64(MD5.hash(probeBytes(10, seed: 22))))], body: bytes)
      try await it.store.abort(upload)
      if answer.isSuccess {
        return .doesNotHold("a part that does not match its Content-MD5 is taken (\(answer.told))")
      }
      guard answer.status == 400 else { return .unknown("the server answered \(answer.told)") }
      return .holds("a part that does not match its Content-MD5 is refused (\(answer.told))")
    }
  },
  Probe("payload-sha256", .informative, .s3) { it in
    let answer = try await it.raw(
      "PUT", "object", body: probeBytes(1000, seed: 23), payloadHash: hex(SHA256.hash([UInt8]())))
    if answer.isSuccess {
      return .doesNotHold(
        "a body that does not match the signed SHA-256 is stored: sign_payload = true is in vain")
    }
    guard answer.status == 400 || answer.status == 403 else {
      return .unknown("the server answered \(answer.told)")
    }
    return .holds("a body that does not match the signed SHA-256 is refused (\(answer.told))")
  },
  Probe("checksum-sha256", .informative, .s3) { it in
    try await refusesWrong("x-amz-checksum-sha256", base64([UInt8](repeating: 0, count: 32)), it)
  },
  Probe("checksum-crc32", .informative, .s3) { it in
    try await refusesWrong("x-amz-checksum-crc32", base64([UInt8](repeating: 0, count: 4)), it)
  },
  Probe("checksum-crc64nvme", .informative, .s3) { it in
    try await refusesWrong("x-amz-checksum-crc64nvme", base64([UInt8](repeating: 0, count: 8)), it)
  },
  Probe("etag", .useful) { it in
    let bytes = probeBytes(1000, seed: 24)
    let told = try await it.store.put(it.key("object"), Payload(bytes))
    let head = try await it.store.head(it.key("object"))?.etag
    let listed = try await it.store.list(it.key("object")).objects.first?.etag
    guard let listed else { return .unknown("the store has no ETags") }
    try ensure(head == listed, "HEAD and listing tell different ETags of one object")
    try ensure(told == nil || told == listed, "the answer to PUT and the listing tell different ETags")
    let again = try await it.store.list(it.key("object")).objects.first?.etag
    try ensure(again == listed, "an object's ETag changes by itself")
    return listed == hex(MD5.hash(bytes))
      ? .holds("an object's ETag is its MD5")
      : .doesNotHold("an object's ETag is something else than its MD5, as with encryption by the server")
  },
]

/// Whether a header field with a wrong digest keeps a body out.
private func refusesWrong(_ field: String, _ value: String, _ it: ProbeSubject) async throws -> ProbeFinding {
  let answer = try await it.raw(
    "PUT", "object", headers: [(name: field, value: value)], body: probeBytes(1000, seed: 25))
  guard !answer.isSuccess else {
    return .doesNotHold("a body that does not match its \(field) is stored (\(answer.told))")
  }
  try ensure(
    try await it.store.head(it.key("object")) == nil,
    "a body that does not match its \(field) is refused (\(answer.told)) and stored all the same")
  guard answer.status == 400 else {
    return .doesNotHold("requests with \(field) are refused (\(answer.told))")
  }
  return .holds("a body that does not match its \(field) is refused (\(answer.told))")
}
