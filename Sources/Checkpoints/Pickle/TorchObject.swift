import Platform

/// What a torch file holds: the object that torch.save was given, as a description, and where the storages of its tensors lie.
///
/// Of the older form (torch/serialization.py, `_legacy_save`): five pickles in a row (a magic number, the protocol, facts of the
/// machine, the object, the storages' keys), then for each key the number of its elements and its bytes.
public struct TorchObject: Sendable {
  /// The longest pickle that is read, in bytes. That of an optimizer with 100,000 tensors has about 40 MB.
  public static let maximumPickle = 128 << 20

  /// The object.
  public let root: Pickle.Value
  private let storages: [String: Storage]
  /// Whether numbers have their highest byte first.
  public let isBigEndian: Bool

  /// Reads the pickle of a file; no storage is read.
  ///
  /// Throws `TorchZipDefect`, `PickleError` or `SystemError`.
  public init(reading file: OpenFile) throws {
    if try TorchFormat(of: file) == .legacy {
      self = try Self.legacy(file)
    } else {
      self = try Self.zip(TorchZip(reading: file), file)
    }
  }

  /// The object of a zip whose directory was read already. Throws as the other initialiser does.
  public init(_ zip: TorchZip, in file: OpenFile) throws { self = try Self.zip(zip, file) }

  /// Where a storage's bytes lie.
  private enum Storage {
    case entry(TorchZip.Entry)
    case range(Range<Int>)
  }

  /// Where the bytes of a storage lie in the file that this was read from, or nil where it has none of that key.
  ///
  /// Throws `TorchZipDefect` where the entry's own header is wrong, or `SystemError`.
  public func range(of storage: String, in file: OpenFile) throws -> Range<Int>? {
    switch storages[storage] {
    case .entry(let entry): try TorchZip.range(of: entry, in: file)
    case .range(let range): range
    case nil: nil
    }
  }

  private init(root: Pickle.Value, storages: [String: Storage], isBigEndian: Bool) {
    self.root = root
    self.storages = storages
    self.isBigEndian = isBigEndian
  }

  private static func zip(_ zip: TorchZip, _ file: OpenFile) throws -> TorchObject {
    guard let entry = zip.entry("data.pkl") else {
      throw TorchZipDefect.directory(reason: "it has no data.pkl")
    }
    let pickle = try Pickle(zip.bytes(of: entry, in: file, limit: maximumPickle))
    var storages: [String: Storage] = [:]
    for entry in zip.entries where entry.method == 0 && entry.innerName.starts(with: "data/".utf8) {
      storages[String(decoding: entry.innerName.dropFirst(5), as: UTF8.self)] = .entry(entry)
    }
    let order = try zip.entry("byteorder").map { try zip.bytes(of: $0, in: file, limit: 16) }
    return TorchObject(
      root: pickle.root, storages: storages, isBigEndian: order.map { $0.elementsEqual("big".utf8) } ?? false)
  }

  private static func legacy(_ file: OpenFile) throws -> TorchObject {
    let bytes = try file.bytes(at: 0, count: min(file.size, maximumPickle))
    var position = 0
    var pickles: [Pickle] = []
    for _ in 0..<5 {
      let pickle = try Pickle(bytes, from: position)
      position = pickle.end
      pickles.append(pickle)
    }
    let sizes = storageSizes(pickles[3])
    var storages: [String: Storage] = [:]
    for key in pickles[4].root.elements ?? [] {
      guard let key = key.text, let size = sizes[key] else {
        throw PickleError(reason: "it lists a storage that it does not use", offset: position, isCut: false)
      }
      let start = position + 8
      guard size <= file.size - start else {
        throw PickleError(reason: "a storage is cut", offset: file.size, isCut: true)
      }
      storages[key] = .range(start..<start + size)
      position = start + size
    }
    let little = pickles[2].root["little_endian"]?.bool ?? true
    return TorchObject(root: pickles[3].root, storages: storages, isBigEndian: !little)
  }

  /// The length in bytes of each storage that a pickle names.
  private static func storageSizes(_ pickle: Pickle) -> [String: Int] {
    var sizes: [String: Int] = [:]
    for index in pickle.nodes.indices {
      guard case .persistent = pickle.nodes[index],
        let place = Pickle.Value(pickle: pickle, reference: Pickle.Reference(index)).persistentID,
        let (key, size) = TorchTensor.storage(place)
      else { continue }
      sizes[key] = size
    }
    return sizes
  }
}
