import HTTP
import Platform

/// Conditional requests. ckbackup relies on none of them.
let conditionProbes: [Probe] = [
  Probe("create-only", .informative, .s3) { it in
    let condition = [(name: "If-None-Match", value: "*")]
    let first = try await it.raw("PUT", "object", headers: condition, body: [1])
    guard first.isSuccess else {
      return .doesNotHold("If-None-Match: * is refused for a new object already (\(first.told))")
    }
    let second = try await it.raw("PUT", "object", headers: condition, body: [2])
    let kept = try await it.store.get(it.key("object"), limit: 10) == [1]
    return conditional(second, kept: kept, "PUT with If-None-Match: *")
  },
  Probe("create-only-multipart", .informative, .s3) { it in
    try await it.store.put(it.key("object"), Payload([1]))
    return try await it.upload("object") { upload in
      let part = try await it.send([2], upload, 0)
      let document =
        "<CompleteMultipartUpload xmlns=\"\(s3Namespace)\"><Part><PartNumber>1</PartNumber><ETag>"
        + xmlEscaped("\"\(part.etag)\"") + "</ETag></Part></CompleteMultipartUpload>"
      let answer = try await it.raw(
        "POST", "object", query: [(name: "uploadId", value: upload.id)],
        headers: [(name: "If-None-Match", value: "*"), (name: "Content-Type", value: "application/xml")],
        body: Array(document.utf8))
      let kept = try await it.store.get(it.key("object"), limit: 10) == [1]
      if kept { try await it.store.abort(upload) }
      return conditional(answer, kept: kept, "a completion with If-None-Match: *")
    }
  },
  Probe("replace-if-match", .informative, .s3) { it in
    try await it.store.put(it.key("object"), Payload([1]))
    let condition = [(name: "If-Match", value: "\"00000000000000000000000000000000\"")]
    let answer = try await it.raw("PUT", "object", headers: condition, body: [2])
    let kept = try await it.store.get(it.key("object"), limit: 10) == [1]
    return conditional(answer, kept: kept, "PUT with If-Match of another ETag")
  },
]

/// What came of a request whose condition was false.
private func conditional(_ answer: HTTPResponse, kept: Bool, _ what: String) -> ProbeFinding {
  switch (answer.status, kept) {
  case (409, true), (412, true): .holds("\(what) keeps what is there (\(answer.told))")
  case (501, true): .doesNotHold("\(what) is not known (\(answer.told))")
  case (_, true) where !answer.isSuccess: .doesNotHold("\(what) is refused otherwise (\(answer.told))")
  case (_, true): .doesNotHold("\(what) is answered with \(answer.told) and does nothing")
  case (_, false): .doesNotHold("\(what) replaces what is there without a word (\(answer.told))")
  }
}
