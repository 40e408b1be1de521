import Engine
import Platform

/// A command line that is not right: one sentence, exit code 2.
struct UsageError: Error, Sendable {
  let message: String
  /// The command whose help is worth a look, or nil for the overview.
  let command: String?

  init(_ message: String, command: String? = nil) {
    self.message = message
    self.command = command
  }
}

/// The options and operands of one command line, held to the command's specification.
struct Arguments: Sendable {
  let command: CommandSpec
  /// All words as they were given.
  let words: [String]
  /// The operands in order.
  let operands: [String]
  private let values: [String: [String]]

  /// Reads the words after the command's name. `--name value` and `--name=value` are the same; `--` ends the options.
  init(_ words: [String], for command: CommandSpec) throws(UsageError) {
    self.command = command
    self.words = words
    var operands: [String] = []
    var values: [String: [String]] = [:]
    var rest = words[...]
    var optionsEnded = false
    while let word = rest.popFirst() {
      let isOption = word.hasPrefix("-") && word != "-" && !optionsEnded
      guard isOption, !(command.takesDashedOperands && !word.hasPrefix("--")) else {
        operands.append(word)
        continue
      }
      if word == "--" {
        optionsEnded = true
        continue
      }
      let (name, inline) = Self.split(word)
      guard let option = command.allOptions.first(where: { $0.name == name }) else {
        throw UsageError(Self.unknown(word, command), command: command.name)
      }
      if option.value == nil {
        guard inline == nil else { throw UsageError("--\(name) takes no value", command: command.name) }
        values[name] = [""]
      } else {
        let isLeftOut = option.isValueOptional && rest.first.flatMap(Quantity.seconds) == nil
        guard let value = inline ?? (isLeftOut ? "" : rest.popFirst()) else {
          throw UsageError("--\(name) needs a value: --\(name) \(option.value ?? "")", command: command.name)
        }
        if !option.repeats, values[name] != nil {
          throw UsageError("--\(name) is given twice", command: command.name)
        }
        values[name, default: []].append(value)
      }
    }
    self.operands = operands
    self.values = values
    guard values["help"] == nil else { return }
    guard command.operandCount.contains(operands.count) else {
      let needed = command.operands.isEmpty ? "no operands" : command.operands
      let verb = operands.count < command.operandCount.lowerBound ? "needs" : "takes"
      throw UsageError("\(command.name) \(verb) \(needed)", command: command.name)
    }
  }

  private static func split(_ word: String) -> (name: String, value: String?) {
    let body = word.drop { $0 == "-" }
    guard word.hasPrefix("--"), let equals = body.firstIndex(of: "=") else {
      return (word == "-h" ? "help" : String(body), nil)
    }
    return (String(body[..<equals]), String(body[body.index(after: equals)...]))
  }

  private static func unknown(_ word: String, _ command: CommandSpec) -> String {
    let (name, _) = split(word)
    let message = "\(command.name) has no option \(word)"
    guard let near = nearest(name, among: command.allOptions.map(\.name)) else { return message }
    return "\(message); did you mean --\(near)?"
  }

  /// Whether a flag was given.
  func has(_ name: String) -> Bool { values[name] != nil }
  /// An option's value.
  func string(_ name: String) -> String? { values[name]?.last }
  /// All values of an option that repeats.
  func strings(_ name: String) -> [String] { values[name] ?? [] }

  /// A whole number from `least` to `most`.
  func integer(_ name: String, atLeast least: Int = 0, atMost most: Int = .max) throws(UsageError) -> Int? {
    guard let text = string(name) else { return nil }
    guard let number = Int(text), number >= least else {
      throw UsageError(
        "--\(name) takes a whole number of at least \(least), not \(text)", command: command.name)
    }
    guard number <= most else {
      throw UsageError("--\(name) takes at most \(most), not \(text)", command: command.name)
    }
    return number
  }

  /// A number of bytes.
  func bytes(_ name: String) throws(UsageError) -> Int? {
    guard let text = string(name) else { return nil }
    guard let bytes = Quantity.bytes(text) else {
      throw UsageError("--\(name) takes a size such as 512MiB or 50GiB, not \(text)", command: command.name)
    }
    return bytes
  }

  /// Bytes a second, or nil where it was not given.
  func rate(_ name: String) throws(UsageError) -> Int? {
    guard let text = string(name) else { return nil }
    guard let rate = Quantity.rate(text) else {
      throw UsageError(
        "--\(name) takes bytes a second such as 20MiB, at least 1KiB, not \(text)", command: command.name)
    }
    return rate
  }

  /// A length of time in seconds; `absent` where the option was given without one.
  func seconds(_ name: String, absent: Double? = nil) throws(UsageError) -> Double? {
    guard let text = string(name) else { return nil }
    if text.isEmpty, let absent { return absent }
    guard let seconds = Quantity.seconds(text) else {
      throw UsageError("--\(name) takes a time such as 24h or 30d, not \(text)", command: command.name)
    }
    return seconds
  }
}

/// The candidate that differs from `word` by the fewest edits, where that is few enough to be a slip.
func nearest(_ word: String, among candidates: [String]) -> String? {
  let scored = candidates.map { (candidate: $0, distance: editDistance(word, $0)) }
  guard let best = scored.min(by: { $0.distance < $1.distance }) else { return nil }
  return best.distance <= max(word.count > 3 ? 2 : 1, word.count / 3) ? best.candidate : nil
}

private func editDistance(_ a: String, _ b: String) -> Int {
  let (a, b) = (Array(a.utf8), Array(b.utf8))
  var row = Array(0...b.count)
  for i in a.indices {
    var previous = row[0]
    row[0] = i + 1
    for j in b.indices {
      let substituted = previous + (a[i] == b[j] ? 0 : 1)
      previous = row[j + 1]
      row[j + 1] = min(substituted, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[b.count]
}
