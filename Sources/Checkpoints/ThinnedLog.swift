/// The rows of a training log as far as a record and a curve need them, taken one after the other.
///
/// A log of ordinary length is kept whole. Of a longer one an even choice is kept, separately of the evaluations, of the rows with a
/// loss and of the others, and the last row of each.
struct ThinnedLog {
  private var evaluations = EvenChoice()
  private var losses = EvenChoice()
  private var others = EvenChoice()
  private var count = 0

  /// Takes the next row, which holds so many `values`.
  mutating func add(_ row: JSONValue, values: Int) {
    let row = NumberedRow(number: count, values: values, content: row)
    count += 1
    if Self.isEvaluation(row.content) {
      evaluations.add(row)
    } else if row.content["loss"] != nil {
      losses.add(row)
    } else {
      others.add(row)
    }
  }

  /// The rows that are kept, in the log's order.
  var rows: [JSONValue] {
    (evaluations.rows + losses.rows + others.rows).sorted { $0.number < $1.number }.map(\.content)
  }

  /// Whether a row holds the results of an evaluation.
  static func isEvaluation(_ row: JSONValue) -> Bool {
    row.members?.keys.contains { $0.hasPrefix("eval_") } == true
  }
}

private struct NumberedRow {
  let number: Int
  let values: Int
  let content: JSONValue
}

/// Every row, or every second, fourth, eighth…, so that neither rows nor values are too many.
private struct EvenChoice {
  private static let maximumRows = 10_000
  private static let maximumValues = 300_000

  private var kept: [NumberedRow] = []
  private var values = 0
  private var stride = 1
  private var seen = 0
  private var last: NumberedRow?

  /// The choice and the last row.
  var rows: [NumberedRow] {
    guard let last, kept.last?.number != last.number else { return kept }
    return kept + [last]
  }

  mutating func add(_ row: NumberedRow) {
    last = row
    defer { seen += 1 }
    guard seen.isMultiple(of: stride) else { return }
    kept.append(row)
    values += row.values
    while kept.count > Self.maximumRows || (values > Self.maximumValues && kept.count > 1) {
      kept = kept.enumerated().filter { $0.offset.isMultiple(of: 2) }.map(\.element)
      values = kept.reduce(0) { $0 + $1.values }
      stride *= 2
    }
  }
}

extension JSONValue {
  /// How many values one row of a log may hold.
  private static let maximumRow = 100_000

  /// Reads a `trainer_state.json`, of whose `log_history` only a `ThinnedLog` is kept. Throws `JSONError`.
  package init(parsingTrainerState bytes: [UInt8]) throws(JSONError) {
    var scanner = JSONScanner(bytes, allowsNonFinite: true)
    guard try scanner.next() == .object else {
      self = try JSONValue(parsing: bytes)
      return
    }
    var members: [String: JSONValue] = [:]
    var budget = Self.maximumValues
    try scanner.object { (scanner, name) throws(JSONError) in
      if name == "log_history", try scanner.next() == .array {
        members[name] = .array(try Self.log(&scanner))
      } else {
        members[name] = try Self.value(&scanner, &budget)
      }
    }
    try scanner.end()
    self = .object(members)
  }

  private static func log(_ scanner: inout JSONScanner) throws(JSONError) -> [JSONValue] {
    var log = ThinnedLog()
    try scanner.array { (scanner) throws(JSONError) in
      var left = maximumRow
      let row = try value(&scanner, &left)
      log.add(row, values: maximumRow - left)
    }
    return log.rows
  }
}
