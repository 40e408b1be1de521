/// What is different between the tensors of two snapshots' weights.
public struct TensorChanges: Encodable, Equatable, Sendable {
  /// A module of the second snapshot: how many tensors it has, and of these how many are as they were.
  public struct Module: Encodable, Equatable, Sendable {
    /// Its name, as `ModelModule` has it.
    public var name: String
    /// How many tensors it has.
    public var tensors: Int
    /// How many of them have the same content as in the first snapshot.
    public var same: Int
  }

  /// Names of tensors that have another content, type or shape, in order.
  public var changed: [String]
  /// Names of tensors that only the second snapshot has, in order.
  public var added: [String]
  /// Names of tensors that only the first snapshot has, in order.
  public var removed: [String]
  /// Names of tensors that are cut in another way, so that their content cannot be compared, in order.
  public var untold: [String]
  /// How many tensors are the same.
  public var same: Int
  /// The second snapshot's modules, those with the most tensors first.
  public var modules: [Module]

  /// The names of modules that training left as they were.
  public var frozen: [String] { modules.filter { $0.same == $0.tensors }.map(\.name) }

  /// What is different in `after`; nil where the digests cannot be compared.
  init?(_ before: TensorDigests?, _ after: TensorDigests?) {
    guard let before, let after, before.chunkSize == after.chunkSize else { return nil }
    (changed, added, untold, same) = ([], [], [], 0)
    var counts: [String: (tensors: Int, same: Int)] = [:]
    for (name, tensor) in after.tensors {
      var isSame = false
      switch before.tensors[name] {
      case nil: added.append(name)
      case let old? where old.dtype != tensor.dtype || old.shape != tensor.shape: changed.append(name)
      case let old? where old.cut != tensor.cut: untold.append(name)
      case let old?:
        isSame = old.digest == tensor.digest
        if !isSame { changed.append(name) }
      }
      same += isSame ? 1 : 0
      counts[tensor.module, default: (0, 0)].tensors += 1
      counts[tensor.module, default: (0, 0)].same += isSame ? 1 : 0
    }
    changed.sort()
    added.sort()
    untold.sort()
    removed = before.tensors.keys.filter { after.tensors[$0] == nil }.sorted()
    modules = counts.map { Module(name: $0.key, tensors: $0.value.tensors, same: $0.value.same) }
      .sorted { ($1.tensors, $0.name) < ($0.tensors, $1.name) }
  }
}
