import Digests
import HTTP
import Platform

/// The store that a probe tries, and a folder of its own in it.
struct ProbeSubject: Sendable {
  let store: any ObjectStore
  let s3: S3Store?
  let directory: DirectoryStore?
  let base: String
  let partSize: Int
  let rounds: Int

  /// A key in the probe's folder.
  func key(_ name: String) -> String { "\(base)/\(name)" }

  /// What a listing of the probe's folder has, without the folder's name.
  func names(_ prefix: String = "") async throws -> [String] {
    try await store.list(key(prefix)).objects.map {
      String(decoding: $0.key.utf8.dropFirst(base.utf8.count + 1), as: UTF8.self)
    }
  }

  /// Reads a whole object by ranges, as restores do.
  func read(_ name: String, _ range: Range<Int>) async throws -> [UInt8] {
    let buffer = Buffer(copying: [UInt8](repeating: 0xEE, count: range.count))
    try await store.read(key(name), at: range.lowerBound, into: WritableSlice(buffer, 0..<range.count))
    return Array(buffer.readable)
  }

  /// Sends the part of an object's bytes that begins at `offset`.
  func send(_ bytes: [UInt8], _ upload: MultipartUpload, _ offset: Int) async throws -> PartReceipt {
    let part = Array(bytes[offset..<min(bytes.count, offset + partSize)])
    return try await store.uploadPart(
      upload, number: offset / partSize + 1, offset: offset, Payload(part), md5: MD5.hash(part))
  }

  /// Begins an upload, and ends it where `work` throws.
  func upload<Result>(
    _ name: String, _ work: (MultipartUpload) async throws -> Result
  ) async throws -> Result {
    let upload = try await store.beginMultipart(key(name))
    do {
      return try await work(upload)
    } catch {
      await Task.detached { [store] in try? await store.abort(upload) }.value
      throw error
    }
  }

  /// What a call throws; a violation where it succeeds.
  func refusal(_ what: String, _ work: () async throws -> Void) async throws -> StoreError {
    do {
      try await work()
    } catch let error as StoreError {
      return error
    }
    throw ProbeViolation(sentence: "\(what) was accepted")
  }

  /// Sends what the store itself never would, and gives the answer, whatever its status. Tries again where the server is busy.
  func raw(
    _ method: String, _ name: String? = nil, query: [(name: String, value: String)] = [],
    headers: [(name: String, value: String)] = [], body: [UInt8] = [], payloadHash: String? = nil
  ) async throws -> HTTPResponse {
    guard let s3 else { throw StoreError.unsupported(operation: "raw") }
    var request =
      name.map { S3Request(.put, method, key: key($0)) } ?? S3Request(.list, method, bucketFor: "")
    request.query = query
    request.headers = headers
    request.body = Payload(body)
    request.payloadHash = payloadHash
    for attempt in 1... {
      let response = try await s3.session.exchange(request)
      guard attempt < 4, [500, 503].contains(response.status) else { return response }
      try await Task.sleep(for: .milliseconds(200 * attempt))
    }
    throw CancellationError()
  }
}

extension HTTPResponse {
  /// `400 BadDigest`, `200`: how an answer is told.
  var told: String {
    let code = isSuccess ? "" : S3Problem(self).code
    return code.isEmpty ? "\(status)" : "\(status) \(code)"
  }
}

/// Bytes that do not repeat within any length used here, the same for the same seed.
func probeBytes(_ count: Int, seed: UInt64) -> [UInt8] {
  var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
  return [UInt8](unsafeUninitializedCapacity: count) { target, filled in
    for index in 0..<count {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      target[index] = UInt8(truncatingIfNeeded: state >> 33)
    }
    filled = count
  }
}

/// A text as an error shows it.
func quoted(_ text: String) -> String { text.debugDescription }
