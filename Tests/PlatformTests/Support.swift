import Platform
import TestSupport

extension Scratch {
  /// The directory, opened.
  var root: OpenDirectory { get throws(SystemError) { try OpenDirectory(path) } }
}

/// The error number that a call fails with; 0 where it does not fail.
func errorCode(_ body: () throws(SystemError) -> Void) -> Int32 {
  do throws(SystemError) {
    try body()
    return 0
  } catch { return error.code }
}
