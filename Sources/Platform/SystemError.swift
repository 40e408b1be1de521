import Glibc

/// A system call that failed: what was tried, on which path, and `errno`.
///
/// Example: `SystemError(operation: "open", path: "/data/model.pt", code: EACCES)`.
public struct SystemError: Error, Equatable, Sendable {
  /// The call or the act, as a verb: `open`, `read`, `write`, `rename`.
  public let operation: String
  /// The file it was about, as the user named it. Bytes that are not UTF-8 are replaced.
  public let path: String
  /// The value of `errno`.
  public let code: Int32

  /// Describes a failure with an explicit error number.
  public init(operation: String, path: String, code: Int32) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  /// Describes the call that failed last on this thread.
  public static func last(_ operation: String, _ path: String) -> SystemError {
    SystemError(operation: operation, path: path, code: errno)
  }

  /// The system's words for the error, for example `No space left on device`.
  public var reason: String { String(cString: strerror(code)) }

  /// True where a disk or quota is full.
  public var isNoSpace: Bool { code == ENOSPC || code == EDQUOT }
  /// True where a file or directory is not there.
  public var isMissing: Bool { code == ENOENT || code == ENOTDIR }
}
