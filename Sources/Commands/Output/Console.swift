import CPlatform
import FoundationEssentials
import Glibc
import Platform
import Synchronization

/// Where a command writes: results to standard output, everything else to standard error.
struct Console: Sendable {
  /// Whether results are one JSON document.
  let isJSON: Bool
  /// Whether only errors and warnings are shown.
  let isQuiet: Bool

  /// Columns of the terminal behind standard output, or 0 where it is none.
  var width: Int { Int(ck_terminal_columns(STDOUT_FILENO)) }

  /// Prints lines for people; nothing with `--json` or `--quiet`.
  func show(_ lines: String...) {
    guard !isJSON, !isQuiet else { return }
    for line in lines { Self.write(Self.clean(line) + "\n", to: STDOUT_FILENO) }
  }

  /// Prints what a command was run for, for people: shown with `--quiet` too.
  func result(_ line: String) {
    if !isJSON { Self.write(Self.clean(line) + "\n", to: STDOUT_FILENO) }
  }

  /// Prints the JSON document, where that was asked for.
  func json(_ document: some Encodable) throws {
    guard isJSON else { return }
    Self.write(try Self.encode(document) + "\n", to: STDOUT_FILENO)
  }

  /// Prints a warning to standard error.
  func warn(_ sentence: String) { Self.write("warning: \(Self.clean(sentence))\n", to: STDERR_FILENO) }

  /// A line without the control characters that a name from a repository or checkpoint could smuggle to a terminal.
  static func clean(_ line: String) -> String {
    guard line.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
      return line
    }
    return String(
      String.UnicodeScalarView(
        line.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{fffd}" : $0 }))
  }

  /// JSON the way all commands print it: sorted keys, snake case.
  static func encode(_ document: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
    return String(decoding: try encoder.encode(document), as: UTF8.self)
  }

  /// Writes text to a descriptor, all of it; a live line that stands on the terminal makes room.
  static func write(_ text: String, to descriptor: Int32) {
    screen.withLock { screen in
      if screen.hasLiveLine { put("\r\u{1b}[K", STDERR_FILENO) }
      screen.hasLiveLine = false
      let failure = put(text, descriptor)
      // A reader that went away has what it wanted.
      if descriptor == STDOUT_FILENO, failure != EPIPE, failure != 0 { screen.failure = failure }
    }
  }

  /// Shows a line on standard error that the next output replaces; nil removes it.
  static func showLive(_ line: String?) {
    screen.withLock { screen in
      if line != nil || screen.hasLiveLine { put("\r\(line ?? "")\u{1b}[K", STDERR_FILENO) }
      screen.hasLiveLine = line != nil
    }
  }

  /// Why standard output could not be written, or nil.
  static var failure: SystemError? {
    let code = screen.withLock { $0.failure }
    return code == 0 ? nil : SystemError(operation: "write", path: "standard output", code: code)
  }

  private struct Screen {
    var hasLiveLine = false
    var failure: Int32 = 0
  }
  private static let screen = Mutex(Screen())

  /// Writes to a descriptor; gives `errno`, 0 where all was written.
  @discardableResult
  private static func put(_ text: String, _ descriptor: Int32) -> Int32 {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      if count <= 0 { return errno }
      bytes = bytes.dropFirst(count)
    }
    return 0
  }
}
