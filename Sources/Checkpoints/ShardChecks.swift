import Platform

/// Whether sharded weights are whole: the index, every shard that it names, and each tensor in its shard.
struct ShardChecks {
  let reader: CheckpointReader

  func defects() -> [Defect] {
    let indexes = reader.tree.files.map(\.path).filter { $0.name.hasSuffix(".index.json") }
    return indexes.flatMap(index) + unindexed(indexes)
  }

  /// What an index promises and the shards do not hold. An index that is no JSON is found by its own check.
  private func index(_ path: RelativePath) -> [Defect] {
    guard case .value(let value) = reader.json(path), let map = value["weight_map"]?.members else {
      return []
    }
    var shards: [String: [String]] = [:]
    for (tensor, shard) in map { if let shard = shard.text { shards[shard, default: []].append(tensor) } }
    return shards.sorted { $0.key < $1.key }.compactMap { name, tensors in
      guard let shard = sibling(name, of: path) else { return nil }
      guard reader.has(shard) else { return Defect(shard, .shardMissing(index: path.name)) }
      return missing(tensors, in: shard)
    }
  }

  /// The tensors that are not in a shard's header; nothing where it has none that can be read.
  private func missing(_ tensors: [String], in shard: RelativePath) -> Defect? {
    guard shard.name.hasSuffix(".safetensors"), case .success(let header) = reader.safetensors(shard) else {
      return nil
    }
    let there = Set(header.tensors.map(\.name))
    let lost = tensors.filter { !there.contains($0) }.sorted()
    guard let example = lost.first else { return nil }
    return Defect(shard, .tensorsMissing(count: lost.count, example: example))
  }

  /// Shards by their names (`model-00002-of-00003.safetensors`) that no index speaks for.
  private func unindexed(_ indexes: [RelativePath]) -> [Defect] {
    let known = Set(indexes)
    var series: [Series: Set<Int>] = [:]
    for path in reader.tree.files.map(\.path) {
      if let (of, number) = Series.parse(path), !known.contains(of.index) {
        series[of, default: []].insert(number)
      }
    }
    return series.sorted { ($0.key.index, $0.key.count) < ($1.key.index, $1.key.count) }.flatMap {
      of, numbers in
      let absent = (1...of.count).lazy.filter { !numbers.contains($0) }.prefix(16)
      return [Defect(of.index, .indexMissing(shards: of.count))]
        + absent.compactMap { number in of.shard(number).map { Defect($0, .shardMissing(index: nil)) } }
    }
  }

  /// The file `name` in the directory of `path`, or nil where `name` is no path.
  private func sibling(_ name: String, of path: RelativePath) -> RelativePath? {
    guard let parent = path.parent else { return try? RelativePath(name) }
    return try? parent.appending(name.utf8)
  }
}

/// The shards that belong together: `model-0000I-of-0000N.safetensors`, whose index is `model.safetensors.index.json`.
private struct Series: Hashable {
  let index: RelativePath
  let count: Int
  private let stem: String
  private let end: String

  /// The series that a path belongs to and its number in it, or nil where it is no shard of transformers.
  static func parse(_ path: RelativePath) -> (Series, Int)? {
    let name = path.name
    guard let dot = name.lastIndex(of: "."), [".safetensors", ".bin"].contains(String(name[dot...])) else {
      return nil
    }
    let parts = name[..<dot].split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 4, ["model", "pytorch_model"].contains(parts[0]), parts[2] == "of",
      isNumbered(parts[1], ""), isNumbered(parts[3], ""), let number = Int(parts[1]),
      let count = Int(parts[3]),
      (1...100_000).contains(count), (1...count).contains(number)
    else { return nil }
    let end = String(name[dot...])
    let directory = path.parent.map { $0.bytes + [UInt8(ascii: "/")] } ?? []
    guard let index = try? RelativePath(directory + Array("\(parts[0])\(end).index.json".utf8)) else {
      return nil
    }
    return (Series(index: index, count: count, stem: parts[0], end: end), number)
  }

  /// The path of one shard.
  func shard(_ number: Int) -> RelativePath? {
    let directory = index.parent.map { $0.bytes + [UInt8(ascii: "/")] } ?? []
    return try? RelativePath(directory + Array("\(stem)-\(pad(number))-of-\(pad(count))\(end)".utf8))
  }

  private func pad(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }
}
