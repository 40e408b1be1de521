import Platform

extension CheckpointReader {
  /// The path of a file of a directory, nil being the root.
  func path(_ file: RelativePath, in directory: RelativePath?) -> RelativePath {
    directory.flatMap { try? $0.appending(file.bytes) } ?? file
  }

  /// The path of `name` in a directory, nil being the root. `name` is a single component.
  func path(_ name: String, in directory: RelativePath?) -> RelativePath {
    let whole = directory.flatMap { try? $0.appending(name.utf8) } ?? (try? RelativePath(name))
    // Only a name that is no component, or a path that is too long, comes here: then nothing is found there.
    return whole ?? Self.nowhere
  }

  private static let nowhere: RelativePath = {
    guard let path = try? RelativePath("-") else { preconditionFailure("one byte is a path") }
    return path
  }()

  /// What torch.save was given for a file, or nil where it cannot be read: its own check tells why.
  func savedObject(_ path: RelativePath) -> Pickle.Value? {
    guard tree.entry(path)?.file != nil, let file = try? tree.root.open(path) else { return nil }
    return try? TorchObject(reading: file).root
  }

  /// The trimmed text of a small file, or nil.
  func line(_ path: RelativePath) -> String? {
    guard let size = tree.entry(path)?.file?.size, size <= 4096,
      let bytes = try? tree.root.open(path).bytes(at: 0, count: size)
    else { return nil }
    let text = String(decoding: bytes, as: UTF8.self).split { $0.isWhitespace }
    return text.count == 1 ? text.first.map(String.init) : nil
  }

  /// The defect of a file that names the newest of several checkpoints, where that is not there.
  func danglingMarker(_ name: String, target: (String) -> String?) -> [Defect] {
    guard let path = try? RelativePath(name), let text = line(path) else { return [] }
    guard let directory = target(text), topDirectories.contains(directory) else {
      return [Defect(path, .danglingMarker(target: target(text) ?? text))]
    }
    return []
  }
}
