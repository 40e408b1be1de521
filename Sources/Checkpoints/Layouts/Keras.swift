import Platform

/// A model that Keras saved: an archive `.keras`, or weights in HDF5 (keras/src/saving/saving_lib.py and legacy/hdf5_format.py).
struct Keras: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    guard let path = Self.file(checkpoint) else { return false }
    return path.name.hasSuffix(".keras") || path.name.hasSuffix(".h5")
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    var findings = Findings(layout: "keras", step: checkpoint.place.step)
    guard let path = Self.file(checkpoint) else { return findings }
    findings.add(.weights, [path])
    guard path.name.hasSuffix(".keras"), let file = try? checkpoint.tree.root.open(path),
      let zip = try? TorchZip(reading: file)
    else { return findings }
    findings.add(.configuration, [path])
    if let metadata = Self.json("metadata.json", zip, file) {
      findings.versions["keras"] = metadata["keras_version"]?.text
    }
    findings.hyperparameters["config.json"] = Self.json("config.json", zip, file)?.masked
    return findings
  }

  /// The single file that is pushed, or the only one beside text.
  private static func file(_ checkpoint: CheckpointReader) -> RelativePath? {
    let files = checkpoint.tree.files.map(\.path).filter { path in
      ![".json", ".txt", ".md", ".csv", ".log", ".yaml"].contains(where: path.name.hasSuffix)
    }
    return files.count == 1 ? files[0] : nil
  }

  private static func json(_ name: String, _ zip: TorchZip, _ file: OpenFile) -> JSONValue? {
    guard let entry = zip.entries.first(where: { $0.name.elementsEqual(name.utf8) }),
      let bytes = try? zip.bytes(of: entry, in: file, limit: 16 << 20)
    else { return nil }
    return try? JSONValue(parsing: bytes)
  }
}
