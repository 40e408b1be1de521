import Checkpoints

extension JSONValue {
  /// A value on one line for people.
  var words: String {
    switch self {
    case .null: "none"
    case .bool(let value): value ? "true" : "false"
    case .integer(let value): String(value)
    case .double(let value): value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
    case .string(let text): text.isEmpty ? "\"\"" : text
    case .array(let elements): "[" + elements.prefix(32).map(\.words).joined(separator: ", ") + "]"
    case .object(let members):
      "{"
        + members.sorted { $0.key < $1.key }.prefix(32).map { "\($0.key): \($0.value.words)" }
        .joined(separator: ", ") + "}"
    }
  }
}
