import Platform

/// What went wrong at a store, as data; the sentence for people is made elsewhere.
public enum StoreError: Error, Equatable, Sendable {
  /// No object has this key.
  case missing(key: String)
  /// The object is larger than the caller is ready to take.
  case tooLarge(key: String, limit: Int)
  /// The object or the answer ended before the bytes that were asked for.
  case short(key: String, expected: Int, received: Int)
  /// The server cannot be reached: name, connection or TLS; or it stays silent. `reason` is the transport's own words.
  case unreachable(endpoint: String, reason: String)
  /// The server's certificate or the client's is not taken by the other side, or cannot be used. `reason` is the transport's own words.
  case untrusted(endpoint: String, reason: String)
  /// The server refused the credentials: `code` is its error code, for example `SignatureDoesNotMatch`.
  case credentials(code: String, message: String)
  /// The credentials are good but may not do this.
  case denied(operation: String, key: String, message: String)
  /// There is no such bucket, or the repository's directory does not exist.
  case noBucket(name: String)
  /// This machine's clock and the server's are too far apart; seconds that ours is ahead.
  case clockSkew(seconds: Int)
  /// The bucket lives in another region.
  case wrongRegion(expected: String)
  /// The server answers, but not as an S3 server does: an HTML page, an empty body, broken XML.
  case notS3(endpoint: String, detail: String)
  /// A passing fault (5xx, SlowDown, reset, time-out): worth trying again, after `retryAfter` seconds where the server said so.
  case transient(operation: String, detail: String, retryAfter: Double?)
  /// The store says that the bytes it received are not the bytes that were sent.
  case corruptedInTransit(key: String)
  /// A multipart upload is not there any more.
  case noUpload(key: String)
  /// The store or its quota is full.
  case full(detail: String)
  /// Any other refusal, with the server's code and words.
  case refused(operation: String, key: String, status: Int, code: String, message: String)
  /// Some keys of a deletion remained, each with the server's reason.
  case partial(failures: [String: String])
  /// A file operation of a directory store failed.
  case system(SystemError)
  /// The operation cannot be asked of this store.
  case unsupported(operation: String)
  /// A passing fault that did not pass: the last one, after so many tries, the first of which began so many seconds before.
  indirect case gaveUp(StoreError, tries: Int, seconds: Double)

  /// Whether the same request may well succeed if it is simply sent again.
  public var isTransient: Bool {
    switch self {
    case .transient, .corruptedInTransit, .short, .unreachable: true
    default: false
    }
  }
}
