import Platform

/// What the `.metadata` of a PyTorch distributed checkpoint (DCP) describes, as checked plain data.
///
/// Facts from torch/distributed/checkpoint/{metadata,filesystem}.py (2.13): a pickled `Metadata` whose `state_dict_metadata` gives each
/// tensor's type, shape and chunks, and whose `storage_data` gives each chunk's and object's file, offset and length there.
public struct DistributedCheckpoint: Sendable {
  /// Where something lies in the directory of the `.metadata`.
  public struct Place: Equatable, Sendable {
    /// The file, below that directory.
    public let file: RelativePath
    /// Where it begins in the file, in bytes.
    public let offset: Int
    /// How many bytes it has there: a whole torch zip unless `isTransformed`.
    public let length: Int
    /// Whether the bytes were compressed or changed otherwise on their way into the file.
    public let isTransformed: Bool
  }

  /// A box of a tensor that lies in one piece.
  public struct Chunk: Equatable, Sendable {
    /// Where it begins in each dimension of the tensor.
    public let offsets: [Int]
    /// Its dimensions; with the offsets within the tensor's own.
    public let sizes: [Int]
    /// Where its bytes are.
    public let place: Place
  }

  /// A tensor of the whole model or optimizer.
  public struct Tensor: Equatable, Sendable {
    /// Its full name, for example `model.lm_head.weight`.
    public let name: String
    /// The names of the dictionaries that it was in and its own, for example `model` and `lm_head.weight`; the full name alone where the
    /// metadata does not tell.
    public let path: [String]
    /// The element type in safetensors' words, or torch's own name where these have none.
    public let dtype: String
    /// Its dimensions; their product fits an `Int`.
    public let shape: [Int]
    /// Its pieces, in the order of the metadata.
    public let chunks: [Chunk]
  }

  /// An object that is no tensor, pickled by itself.
  public struct ByteObject: Equatable, Sendable {
    /// Its full name, for example `train_state.step`.
    public let name: String
    /// Where its bytes are.
    public let place: Place
  }

  /// The longest `.metadata` that is read, in bytes.
  public static let maximumMetadata = 512 << 20

  /// The tensors, in the order of the metadata.
  public let tensors: [Tensor]
  /// The other objects, in the order of the metadata.
  public let objects: [ByteObject]
  /// The data files and the size that each must have, in bytes.
  public let fileSizes: [RelativePath: Int]

  /// Reads the bytes of a `.metadata`. Throws `PickleError` where they are no pickle, `DistributedCheckpointError` where it describes no
  /// checkpoint that could be loaded.
  public init(metadata bytes: [UInt8]) throws {
    var reader = MetadataReader()
    let root = try Pickle(bytes, maximumValues: MetadataReader.maximumValues).root
    let places = try reader.places(root)
    try reader.readPaths(root)
    (tensors, objects) = try reader.state(root, places)
    var sizes: [RelativePath: Int] = [:]
    for place in places.values {
      sizes[place.file] = max(sizes[place.file] ?? 0, place.offset + place.length)
    }
    fileSizes = sizes
  }
}

/// Why a `.metadata` describes no checkpoint.
public struct DistributedCheckpointError: Error, Equatable, Sendable {
  /// What is wrong, to be put behind a colon.
  public let reason: String
}

/// Walks the pickled metadata. Values in a pickle may be shared, so that a short one can describe endless work: each look costs.
private struct MetadataReader {
  static let maximumValues = 32_000_000
  private var work = 200_000_000
  /// Where each name stood in the nested dictionaries that were saved.
  private var paths: [String: [String]] = [:]

  /// The name and the corner of what a place is for. torch's own index hint takes no part in its comparison.
  struct Key: Hashable {
    let name: String
    let offsets: [Int]?
  }

  /// torch/distributed/checkpoint/_nested_dict.py: the flattened names and the keys that they were put together from.
  mutating func readPaths(_ root: Pickle.Value) throws {
    for (key, value) in root["planner_data"]?.entries ?? [] {
      try charge(value)
      guard value.width <= 64, let name = try text(key), let keys = value.elements else { continue }
      paths[name] = try keys.map { try text($0) ?? $0.integer.map(String.init) ?? "" }
    }
  }

  mutating func places(_ root: Pickle.Value) throws -> [Key: DistributedCheckpoint.Place] {
    var places: [Key: DistributedCheckpoint.Place] = [:]
    for (index, info) in try entries(root, "storage_data") {
      try charge(index)
      guard let name = try index["fqn"].flatMap({ try text($0) }) else {
        throw failure("an index has no name")
      }
      var offsets: [Int]?
      if let value = index["offset"], !value.isNone { offsets = try sizes(value, of: name) }
      places[Key(name: name, offsets: offsets)] = try place(info, of: name)
    }
    return places
  }

  private mutating func place(_ info: Pickle.Value, of name: String) throws -> DistributedCheckpoint.Place {
    try charge(info)
    guard let file = try info["relative_path"].flatMap({ try text($0) }).flatMap({ try? RelativePath($0) }),
      let offset = info["offset"]?.integer, let length = info["length"]?.integer, offset >= 0, length >= 0,
      !offset.addingReportingOverflow(length).overflow
    else { throw failure("the place of \(escaped(name.utf8)) is none") }
    let transforms = info["transform_descriptors"]
    return .init(
      file: file, offset: offset, length: length, isTransformed: transforms.map { !$0.isNone } ?? false)
  }

  mutating func state(
    _ root: Pickle.Value, _ places: [Key: DistributedCheckpoint.Place]
  ) throws -> ([DistributedCheckpoint.Tensor], [DistributedCheckpoint.ByteObject]) {
    var tensors: [DistributedCheckpoint.Tensor] = []
    var objects: [DistributedCheckpoint.ByteObject] = []
    for (key, value) in try entries(root, "state_dict_metadata") {
      guard let name = try text(key) else { throw failure("a name is no text") }
      switch value.callee.map({ $0.split(separator: ".").last ?? "" }) {
      case "TensorStorageMetadata": tensors.append(try tensor(value, name, places))
      case "BytesStorageMetadata":
        guard let place = places[Key(name: name, offsets: nil)] else {
          throw failure("it does not say where \(escaped(name.utf8)) lies")
        }
        objects.append(.init(name: name, place: place))
      default: throw failure("\(escaped(name.utf8)) is of no known kind")
      }
    }
    return (tensors, objects)
  }

  private mutating func tensor(
    _ value: Pickle.Value, _ name: String, _ places: [Key: DistributedCheckpoint.Place]
  ) throws -> DistributedCheckpoint.Tensor {
    try charge(value)
    if let properties = value["properties"] { try charge(properties) }
    guard let size = value["size"], let list = value["chunks"], let properties = value["properties"],
      let type = properties.state?.elements?.first?.global ?? properties["dtype"]?.global
    else { throw failure("\(escaped(name.utf8)) has no shape, type or chunks") }
    let shape = try sizes(size, of: name)
    var product = 1
    for size in shape {
      let (next, overflow) = product.multipliedReportingOverflow(by: max(size, 1))
      guard !overflow else { throw failure("\(escaped(name.utf8)) is too large") }
      product = next
    }
    try charge(list)
    var chunks: [DistributedCheckpoint.Chunk] = []
    for item in list.elements ?? [] {
      try charge(item)
      let offsets = try item["offsets"].map { try self.sizes($0, of: name) } ?? []
      let sizes = try item["sizes"].map { try self.sizes($0, of: name) } ?? []
      guard offsets.count == shape.count, sizes.count == shape.count,
        shape.indices.allSatisfy({ offsets[$0] <= shape[$0] && sizes[$0] <= shape[$0] - offsets[$0] })
      else { throw failure("a chunk lies outside of \(escaped(name.utf8))") }
      guard let place = places[Key(name: name, offsets: offsets)] else {
        throw failure("it does not say where \(escaped(name.utf8)) lies")
      }
      chunks.append(.init(offsets: offsets, sizes: sizes, place: place))
    }
    return .init(
      name: name, path: paths[name] ?? [name], dtype: TorchTensor.dtype(named: type) ?? type, shape: shape,
      chunks: chunks)
  }

  private mutating func entries(
    _ root: Pickle.Value, _ name: String
  ) throws -> [(key: Pickle.Value, value: Pickle.Value)] {
    guard let entries = root[name]?.entries else { throw failure("it has no \(name)") }
    return entries
  }

  /// The numbers of a `torch.Size`, none negative.
  private mutating func sizes(_ value: Pickle.Value, of name: String) throws -> [Int] {
    try charge(value)
    let inner = value.elements == nil ? value.arguments.first ?? value : value
    try charge(inner)
    guard inner.width <= 64, let elements = inner.elements else {
      throw failure("\(escaped(name.utf8)) has too many dimensions")
    }
    return try elements.map { element in
      guard let size = element.integer, size >= 0 else {
        throw failure("\(escaped(name.utf8)) has a dimension that is no number")
      }
      return size
    }
  }

  /// A text, of which each use costs.
  private mutating func text(_ value: Pickle.Value) throws -> String? {
    work -= value.utf8?.count ?? 0
    guard work >= 0 else { throw failure("it describes too much") }
    return value.text
  }

  private mutating func charge(_ value: Pickle.Value) throws {
    let state = value.state
    // The state of an object with slots is a pair of dictionaries.
    let slots = state?.width ?? 0 <= 2 ? state?.elements ?? [] : []
    work -= 1 + value.width + (state?.width ?? 0) + slots.reduce(0) { $0 + $1.width }
    guard work >= 0 else { throw failure("it describes too much") }
  }

  private func failure(_ reason: String) -> DistributedCheckpointError { .init(reason: reason) }
}

extension Pickle.Value {
  /// How many values stand directly in it: a bound of what listing them costs.
  fileprivate var width: Int {
    switch pickle.nodes[Int(reference)] {
    case .list(let index), .tuple(let index), .set(let index), .dictionary(let index):
      return pickle.containers[Int(index)].count
    case .call(let index):
      let call = pickle.calls[Int(index)]
      let items = call.items < 0 ? 0 : pickle.containers[Int(call.items)].count
      let entries = call.entries < 0 ? 0 : pickle.containers[Int(call.entries)].count
      var arguments = 0
      if case .tuple(let index) = pickle.nodes[Int(call.arguments)] {
        arguments = pickle.containers[Int(index)].count
      }
      return items + entries + arguments
    default: return 0
    }
  }
}
