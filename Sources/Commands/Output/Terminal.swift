import Glibc
import Platform

/// Questions on the terminal behind standard input, and their answers.
struct Terminal: Sendable {
  private let pool = BlockingPool(threads: 1)

  /// Nil where standard input or standard error is no terminal: then there is nobody to ask.
  init?() {
    guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else { return nil }
  }

  /// Shows lines.
  func say(_ lines: String...) {
    for line in lines { Console.write(Console.clean(line) + "\n", to: STDERR_FILENO) }
  }

  /// Asks until there is an answer; an empty line is `usual`, which is shown. Throws `CancellationError` where the input ends.
  func ask(_ question: String, usual: String? = nil) async throws -> String {
    let shown = usual.map { $0.isEmpty ? " [none]" : " [\($0)]" } ?? ""
    while true {
      Console.write("\(Console.clean(question + shown)): ", to: STDERR_FILENO)
      let answer = try await line()
      if !answer.isEmpty { return answer }
      if let usual { return usual }
    }
  }

  /// Asks for yes or no.
  func confirm(_ question: String, usual: Bool) async throws -> Bool {
    while true {
      switch try await ask("\(question) (y/n)", usual: usual ? "y" : "n").lowercased() {
      case "y", "yes": return true
      case "n", "no": return false
      default: say("y or n, please")
      }
    }
  }

  /// Asks for one of some choices by its number, from 1; gives its index.
  func choose(_ question: String, _ choices: [String]) async throws -> Int {
    for (index, choice) in choices.enumerated() { say("  \(index + 1)  \(choice)") }
    while true {
      if let number = Int(try await ask(question, usual: "1")), choices.indices.contains(number - 1) {
        return number - 1
      }
      say("a number from 1 to \(choices.count), please")
    }
  }

  /// The next line without blanks around it. It looks up now and then, so that a signal ends the wait.
  private func line() async throws -> String {
    while true {
      try Task.checkCancellation()
      let ready = try await pool.run {
        var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        return poll(&input, 1, 200) > 0
      }
      if ready { break }
    }
    // A terminal gives a line at a time, which has 4,095 bytes at most.
    let bytes = try await pool.run {
      var block = [UInt8](repeating: 0, count: 4096)
      let count = read(STDIN_FILENO, &block, block.count)
      return Array(block.prefix(max(0, count)))
    }
    guard !bytes.isEmpty else { throw CancellationError() }
    let text = String(decoding: bytes, as: UTF8.self)
    let inner = text.drop(while: \.isWhitespace)
    return String(inner.reversed().drop(while: \.isWhitespace).reversed())
  }
}
