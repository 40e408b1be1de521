import Digests
import HTTP
import Platform

/// Why a bucket's lifecycle could not be read or set.
public enum LifecycleError: Error, Equatable, Sendable {
  /// The server has no lifecycle rules, or answers another question; its answer in short.
  case unsupported(answer: String)
  /// Somebody changed the rules between the look and the write, and nothing was written.
  case changed
}

extension S3Store {
  /// The bucket's lifecycle.
  ///
  /// - Throws: `LifecycleError.unsupported`, `StoreError`, `CancellationError`.
  public func lifecycle() async throws -> LifecycleDocument {
    var request = S3Request(.lifecycle, "GET", bucketFor: session.settings.name)
    request.query = [(name: "lifecycle", value: "")]
    let response = try await patiently(request)
    let problem = S3Problem(response)
    if LifecycleDocument.codesOfNone.contains(problem.code) { return LifecycleDocument() }
    try refuse(response, problem, request)
    let smallest = response.headers["x-amz-transition-default-minimum-object-size"]
    // rclone gives a listing of the bucket.
    guard let document = LifecycleDocument(response.body, smallestMoved: smallest) else {
      throw LifecycleError.unsupported(answer: "it answers another question")
    }
    return document
  }

  /// Sets the bucket's lifecycle where it is still `old`, and gives what the bucket says it has then.
  ///
  /// The bucket is looked at once more right before, since S3 offers no condition on this request: a change within that moment is lost.
  ///
  /// - Throws: `LifecycleError`, `StoreError`, `CancellationError`.
  public func setLifecycle(
    _ new: LifecycleDocument, replacing old: LifecycleDocument
  ) async throws -> LifecycleDocument {
    guard try await lifecycle() == old else { throw LifecycleError.changed }
    var request = S3Request(
      .setLifecycle, new.bytes.isEmpty ? "DELETE" : "PUT", bucketFor: session.settings.name)
    request.query = [(name: "lifecycle", value: "")]
    if !new.bytes.isEmpty {
      request.body = Payload(new.bytes)
      // S3 and OSS refuse this request without a digest.
      request.headers = [
        (name: "Content-Type", value: "application/xml"),
        (name: "Content-MD5", value: base64(MD5.hash(new.bytes))),
      ]
      if let smallest = new.smallestMoved {
        request.headers.append((name: "x-amz-transition-default-minimum-object-size", value: smallest))
      }
    }
    let response = try await patiently(request)
    try refuse(response, S3Problem(response), request)
    // A service of many machines may show the old rules for a moment.
    var stored = try await lifecycle()
    for pause in [300, 1000] where stored.rules != new.rules {
      try await Task.sleep(for: .milliseconds(pause))
      stored = try await lifecycle()
    }
    return stored
  }

  private func refuse(_ response: HTTPResponse, _ problem: S3Problem, _ request: S3Request) throws {
    if response.status == 501 || response.status == 405 || problem.code == "NotImplemented" {
      throw LifecycleError.unsupported(answer: problem.detail)
    }
    guard response.isSuccess else { throw session.error(problem, request) }
  }

  /// The answer to a request that may be repeated, once more where the server is busy.
  func patiently(_ request: S3Request) async throws -> HTTPResponse {
    for attempt in 1..<5 {
      let response = try await session.exchange(request)
      guard response.status == 500 || S3Problem(response).meansTooMuch else { return response }
      try await Task.sleep(for: .milliseconds(250 << attempt))
    }
    return try await session.exchange(request)
  }
}
