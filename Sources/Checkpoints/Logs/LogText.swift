/// Logs that are lines of text, as rows: JSON lines of ms-swift, CSV of Lightning.
enum LogText {
  /// The rows of JSON lines, secrets masked; lines that are none are left out. ms-swift writes the step as `"global_step/max_steps": "4/12"`
  /// (swift/trainers, 4.6); each row gets it as `step`.
  static func rows(jsonLines bytes: [UInt8]) -> [JSONValue] {
    var log = ThinnedLog()
    eachLine(bytes) { line in
      guard let clean = try? maskingSecrets(in: Array(line)),
        let row = try? JSONValue(parsing: clean, limit: maximumValues), case .object(var members) = row
      else { return }
      if members["step"] == nil {
        let step = members["global_step/max_steps"]?.text?.split(separator: "/").first.flatMap { Int64($0) }
        members["step"] = step.map(JSONValue.integer) ?? members["global_step"]
      }
      log.add(.object(members), values: max(members.count, line.count / 8))
    }
    return log.rows
  }

  /// The rows of a CSV file of numbers whose first line names the columns (lightning/fabric/loggers/csv_logs.py); a value that is
  /// missing or no number is left out.
  static func rows(csv bytes: [UInt8]) -> [JSONValue] {
    var log = ThinnedLog()
    var names: [String]?
    eachLine(bytes) { line in
      let cells = line.filter { $0 != UInt8(ascii: "\r") }
        .split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        .map { String(decoding: $0, as: UTF8.self) }
      guard let columns = names else {
        names = cells
        return
      }
      var members: [String: JSONValue] = [:]
      for (name, cell) in zip(columns, cells) {
        if let whole = Int64(cell) {
          members[name] = .integer(whole)
        } else if let number = Double(cell) {
          members[name] = .double(number)
        }
      }
      if !members.isEmpty { log.add(.object(members), values: members.count) }
    }
    return log.rows
  }

  private static let maximumLine = 1 << 20
  /// How many values one row may hold.
  private static let maximumValues = 10_000

  /// One line after the other, without a list of them all; longer ones are left out.
  private static func eachLine(_ bytes: [UInt8], _ take: (ArraySlice<UInt8>) -> Void) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let line = rest.prefix { $0 != UInt8(ascii: "\n") }
      if !line.isEmpty, line.count <= maximumLine { take(line) }
      rest = rest.dropFirst(line.count + 1)
    }
  }
}
