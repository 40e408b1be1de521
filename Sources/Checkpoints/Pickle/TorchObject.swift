import CZlib
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
  public init(reading file: some ByteSource) throws {
    if try TorchFormat(of: file) == .legacy {
      self = try Self.legacy(file)
    } else {
      self = try Self.zip(TorchZip(reading: file), file)
    }
  }

  /// The object of a zip whose directory was read already. Throws as the other initialiser does.
  public init(_ zip: TorchZip, in file: some ByteSource) throws { self = try Self.zip(zip, file) }

  /// Where a storage's bytes lie.
  private enum Storage {
    case entry(TorchZip.Entry)
    case range(Range<Int>)
  }

  /// Where the bytes of a storage lie in the file that this was read from, or nil where it has none of that key.
  ///
  /// Throws `TorchZipDefect` where the entry's own header is wrong, or `SystemError`.
  public func range(of storage: String, in file: some ByteSource) throws -> Range<Int>? {
    switch storages[storage] {
    case .entry(let entry): try TorchZip.range(of: entry, in: file)
    case .range(let range): range
    case nil: nil
    }
  }

  /// The object of a zip that was cut: its pickle is the first entry (caffe2/serialize/inline_container.cc), so that it may be
  /// there although the directory is lost. Nil where it is not; no storage is known.
  init?(startOf file: some ByteSource) throws(SystemError) {
    let header = try file.bytes(at: 0, count: 1024)
    guard header.count > 30, header.starts(with: [0x50, 0x4b, 3, 4]) else { return nil }
    let nameLength = Int(littleEndian(header[26..<28]))
    let start = 30 + nameLength + Int(littleEndian(header[28..<30]))
    let name = header.dropFirst(30).prefix(nameLength)
    guard name.count == nameLength, name.suffix(9).elementsEqual("/data.pkl".utf8) else { return nil }
    var length = 1 << 20
    while true {
      let bytes = try file.bytes(at: start, count: length)
      do throws(PickleError) {
        self.init(root: try Pickle(bytes).root, storages: [:], isBigEndian: false)
        return
      } catch {
        guard error.isCut, bytes.count == length, length < Self.maximumPickle else { return nil }
        length *= 8
      }
    }
  }

  private init(root: Pickle.Value, storages: [String: Storage], isBigEndian: Bool) {
    self.root = root
    self.storages = storages
    self.isBigEndian = isBigEndian
  }

  private static func zip(_ zip: TorchZip, _ file: some ByteSource) throws -> TorchObject {
    guard let entry = zip.entry("data.pkl") else {
      throw TorchZipDefect.directory(reason: "it has no data.pkl")
    }
    let bytes = try zip.bytes(of: entry, in: file, limit: maximumPickle)
    // torch can be told to record no sums (`set_crc32_options`): then all are 0.
    guard
      UInt32(truncatingIfNeeded: bytes.withUnsafeBufferPointer { crc32_z(0, $0.baseAddress, $0.count) })
        == entry.crc32
        || zip.entries.allSatisfy({ $0.crc32 == 0 })
    else { throw TorchZipDefect.directory(reason: "its entry \(entry.display) disagrees with its CRC-32") }
    let pickle = try Pickle(bytes)
    var storages: [String: Storage] = [:]
    for entry in zip.entries where entry.method == 0 && entry.innerName.starts(with: "data/".utf8) {
      storages[String(decoding: entry.innerName.dropFirst(5), as: UTF8.self)] = .entry(entry)
    }
    let order = try zip.entry("byteorder").map { try zip.bytes(of: $0, in: file, limit: 16) }
    return TorchObject(
      root: pickle.root, storages: storages, isBigEndian: order.map { $0.elementsEqual("big".utf8) } ?? false)
  }

  /// The five pickles that a file of the older form begins with. How long they are shows only by reading them.
  private static func legacyPickles(_ file: some ByteSource) throws -> [Pickle] {
    var length = 1 << 20
    while true {
      let bytes = try file.bytes(at: 0, count: length)
      do throws(PickleError) {
        var pickles: [Pickle] = []
        for _ in 0..<5 { pickles.append(try Pickle(bytes, from: pickles.last?.end ?? 0)) }
        return pickles
      } catch {
        guard error.isCut, bytes.count < file.size else { throw error }
        guard length < maximumPickle else {
          throw PickleError(
            reason: "its pickles are longer than \(maximumPickle) bytes", offset: error.offset, isCut: false,
            isTooLarge: true)
        }
        length = min(length * 8, maximumPickle)
      }
    }
  }

  private static func legacy(_ file: some ByteSource) throws -> TorchObject {
    let pickles = try legacyPickles(file)
    var position = pickles[4].end
    let sizes = storageSizes(pickles[3])
    let little = pickles[2].root["little_endian"]?.bool ?? true
    var storages: [String: Storage] = [:]
    for key in pickles[4].root.elements ?? [] {
      guard let key = key.text, let (elements, size) = sizes[key] else {
        throw PickleError(reason: "it lists a storage that it does not use", offset: position, isCut: false)
      }
      let start = position + 8
      guard size <= file.size - start else {
        throw PickleError(reason: "a storage is cut", offset: file.size, isCut: true)
      }
      // A file that got its size before its bytes has zeros here.
      if little, littleEndian(try file.bytes(at: position, count: 8)) != UInt64(elements) {
        throw PickleError(
          reason: "a storage has another length than it should", offset: position, isCut: false)
      }
      storages[key] = .range(start..<start + size)
      position = start + size
    }
    return TorchObject(root: pickles[3].root, storages: storages, isBigEndian: !little)
  }

  /// The elements and the length in bytes of each storage that a pickle names.
  private static func storageSizes(_ pickle: Pickle) -> [String: (elements: Int, size: Int)] {
    var sizes: [String: (elements: Int, size: Int)] = [:]
    for index in pickle.nodes.indices {
      guard case .persistent = pickle.nodes[index],
        let place = Pickle.Value(pickle: pickle, reference: Pickle.Reference(index)).persistentID,
        let (key, size) = TorchTensor.storage(place)
      else { continue }
      sizes[key] = (place.elements(limit: 8)?[4].integer ?? 0, size)
    }
    return sizes
  }
}
