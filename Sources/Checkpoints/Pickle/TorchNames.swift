import Platform

/// Tensors and numbers in a pickled object, found by walking over its dictionaries, lists and attributes.
struct TorchWalk {
  /// How many values are looked at: more than any model has tensors, and few enough where values are shared a thousandfold.
  static let maximumValues = 400_000
  private static let maximumDepth = 24

  private(set) var tensors: [(name: String, tensor: TorchTensor)] = []
  private var budget = TorchWalk.maximumValues

  /// Collects the tensors below `value`, their names the keys on the way with dots between. Of a module the names are those that its
  /// `state_dict` would have.
  mutating func collect(_ value: Pickle.Value, name: String = "") { collect(value, name, 0) }

  private mutating func collect(_ value: Pickle.Value, _ name: String, _ depth: Int) {
    budget -= 1
    guard budget > 0, depth < Self.maximumDepth else { return }
    if let tensor = TorchTensor(value) {
      tensors.append((name, tensor))
      return
    }
    if let entries = value.entries(limit: budget) {
      for (key, member) in entries { visit(key, member, name, depth) }
    } else if let attributes = value.attributes(limit: 1024) {
      budget -= attributes.count
      // torch/nn/modules/module.py: a module's own dictionaries; its other attributes are no state.
      for (key, member) in attributes where Self.own.contains(where: key.isText) {
        collect(member, name, depth + 1)
      }
    } else if let elements = value.elements(limit: budget) {
      for (index, element) in elements.enumerated() {
        guard budget > 0 else { return }
        collect(element, Self.join(name, String(index)), depth + 1)
      }
    }
  }

  private mutating func visit(_ key: Pickle.Value, _ member: Pickle.Value, _ name: String, _ depth: Int) {
    // The name of what lies below is put together anew for each value.
    budget -= 1 + (name.utf8.count + (key.utf8?.count ?? 0)) / 64
    guard budget > 0, let word = key.text ?? key.integer.map(String.init) else { return }
    collect(member, Self.join(name, word), depth + 1)
  }

  private static let own = ["_parameters", "_buffers", "_modules"]

  private static func join(_ first: String, _ second: String) -> String {
    first.isEmpty ? second : first + "." + second
  }

  /// Whether there is a tensor at or below `value`, at most `depth` levels down and among the first 64 of each level. `budget` is how many
  /// values may be looked at.
  static func hasTensor(_ value: Pickle.Value, depth: Int = 3, budget: inout Int) -> Bool {
    budget -= 1
    if TorchTensor(value) != nil { return true }
    guard depth > 0, budget > 0 else { return false }
    if let entries = value.entries(limit: 64) {
      for entry in entries where hasTensor(entry.value, depth: depth - 1, budget: &budget) { return true }
      return false
    }
    guard value.callee != nil else { return false }
    for entry in value.attributes(limit: 64) ?? [] where own.contains(where: entry.key.isText) {
      if hasTensor(entry.value, depth: depth - 1, budget: &budget) { return true }
    }
    return false
  }
}

extension TorchObject {
  /// The finite number that a value stands for: a plain one, or a tensor with one element. Reads at most eight bytes.
  func number(_ value: Pickle.Value, in file: OpenFile) -> Double? {
    if let number = value.number { return number }
    guard !isBigEndian, let tensor = TorchTensor(value), tensor.count == 1,
      let range = try? range(of: tensor.storage, in: file), range.count >= tensor.storageSize,
      let bytes = try? file.bytes(
        at: range.lowerBound + tensor.offset * tensor.itemSize, count: tensor.itemSize),
      bytes.count == tensor.itemSize, bytes.count <= 8
    else { return nil }
    let bits = littleEndian(bytes)
    let number: Double? =
      switch tensor.dtype {
      case "F64": Double(bitPattern: bits)
      case "F32": Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
      case "BF16": Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits) << 16))
      case "I64": Double(Int64(bitPattern: bits))
      case "I32": Double(Int32(truncatingIfNeeded: bits))
      default: nil
      }
    return number.flatMap { $0.isFinite ? $0 : nil }
  }
}
