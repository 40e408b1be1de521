/// Pickled values as JSON, for the archive record: training arguments, a Megatron namespace, DeepSpeed's configuration.
extension Pickle.Value {
  /// Plain data as it stands; an enumeration as its value; an object as its attributes; of anything else the name of its class. A tensor,
  /// or what lies deeper than 32 levels or behind the first 20,000 values, is left out.
  public var json: JSONValue {
    var budget = 20_000
    return json(depth: 0, budget: &budget) ?? .null
  }

  private func json(depth: Int, budget: inout Int) -> JSONValue? {
    budget -= 1
    guard depth < 32, budget > 0 else { return nil }
    if isNone { return .null }
    if let bool { return .bool(bool) }
    if let integer { return .integer(Int64(integer)) }
    if let double { return .double(double) }
    // A text that is used again and again is one value in the pickle and many here.
    if let utf8 { budget -= utf8.count / 16 }
    guard budget > 0 else { return nil }
    if let text { return .string(text) }
    if let global { return .string(global) }
    if let entries = entries(limit: budget) ?? attributes(limit: budget) {
      return object(entries, depth, &budget)
    }
    if let elements = elements(limit: budget) { return list(elements, depth, &budget) }
    guard let callee, TorchTensor(self) == nil else { return nil }
    return called(callee, depth, &budget)
  }

  private func list(_ values: [Self], _ depth: Int, _ budget: inout Int) -> JSONValue {
    var elements: [JSONValue] = []
    for value in values {
      guard budget > 0 else { break }
      if let element = value.json(depth: depth + 1, budget: &budget) { elements.append(element) }
    }
    return .array(elements)
  }

  private func object(_ entries: [(key: Self, value: Self)], _ depth: Int, _ budget: inout Int) -> JSONValue {
    var members: [String: JSONValue] = [:]
    for (key, value) in entries {
      budget -= 1 + (key.utf8?.count ?? 0) / 16
      guard budget > 0 else { break }
      guard let name = key.text ?? key.integer.map(String.init) else { continue }
      if let member = value.json(depth: depth + 1, budget: &budget) { members[name] = member }
    }
    return .object(members)
  }

  /// An enumeration is made by calling its class with its value, a set or a path by calling its class with its elements.
  private func called(_ callee: String, _ depth: Int, _ budget: inout Int) -> JSONValue? {
    let arguments = arguments(limit: 2)
    if arguments.count == 1, let value = arguments[0].json(depth: depth + 1, budget: &budget) { return value }
    return .string(callee)
  }
}
