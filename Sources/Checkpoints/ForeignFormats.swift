import Platform

/// Whether files of TensorFlow, Keras and Orbax are whole, as far as their first and last bytes tell.
struct ForeignFormats {
  let reader: CheckpointReader

  /// What is wrong with a file, by its name; nil where nothing is, or the name is of no format that is known here.
  func defect(of path: RelativePath, size: Int) -> Defect.Kind? {
    let name = path.name
    let check: (OpenFile) throws -> String?
    if name == "manifest.ocdbt" {
      check = manifest
    } else if name.hasSuffix(".index"), hasData(path) {
      check = table
    } else if name.hasSuffix(".h5") || name.hasSuffix(".hdf5") {
      check = hdf5
    } else if name.hasSuffix(".keras") {
      check = keras
    } else {
      return nil
    }
    guard size > 0 else { return .empty }
    do {
      let file = try reader.tree.root.open(path)
      return try check(file).map { .torn(reason: $0) }
    } catch let defect as TorchZipDefect {
      return .torch(defect)
    } catch { return reader.failure(error) }
  }

  /// Whether `P.data-…` lies beside `P.index`.
  private func hasData(_ path: RelativePath) -> Bool {
    guard let prefix = try? RelativePath(Array(path.bytes.dropLast(".index".utf8.count))) else {
      return false
    }
    return reader.tensorBundlePrefixes.contains(prefix)
  }

  /// A manifest of OCDBT, which Orbax stores arrays with: four bytes, then its own length
  /// (google/tensorstore, tensorstore/kvstore/ocdbt, storage format).
  private func manifest(_ file: OpenFile) throws -> String? {
    let start = try file.bytes(at: 0, count: 12)
    guard start.count == 12, start.starts(with: [0x0c, 0xdb, 0x3a, 0x2a]) else {
      return "it does not begin as a manifest does"
    }
    let length = littleEndian(start[4..<12])
    return length == UInt64(file.size) ? nil : "it should have \(length) bytes and has \(file.size)"
  }

  /// The index of a TensorFlow checkpoint, a table that ends in its magic number (tensorflow/core/lib/io/table_format.txt).
  private func table(_ file: OpenFile) throws -> String? {
    let end = try file.bytes(at: max(0, file.size - 8), count: 8)
    return end == [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb] ? nil : "its end is missing"
  }

  /// An HDF5 file, whose first block says where the file ends (HDF5 File Format Specification 3.0, II.A). Where it should be one by its
  /// name alone, nothing is said.
  private func hdf5(_ file: OpenFile) throws -> String? {
    let start = try file.bytes(at: 0, count: 4096)
    if start.allSatisfy({ $0 == 0 }) { return "it begins with zeros" }
    guard start.count >= 52, start.starts(with: [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]) else {
      return nil
    }
    let (width, place): (UInt8, Int)
    switch start[8] {
    case 0: (width, place) = (start[13], 40)
    case 1: (width, place) = (start[13], 44)
    default: (width, place) = (start[9], 28)
    }
    guard width == 8 else { return nil }
    let length = littleEndian(start[place..<place + 8])
    return length > UInt64(file.size) ? "it ends at \(displaySize(file.size)) of \(length) bytes" : nil
  }

  /// A Keras archive: a zip with the model's weights, its configuration and facts about its making
  /// (keras/src/saving/saving_lib.py).
  private func keras(_ file: OpenFile) throws -> String? {
    let names = try TorchZip(reading: file).entries.map { String(decoding: $0.name, as: UTF8.self) }
    for name in ["config.json", "metadata.json"] where !names.contains(name) { return "it lacks \(name)" }
    return names.contains { $0.hasPrefix("model.weights") } ? nil : "it lacks the weights"
  }
}
