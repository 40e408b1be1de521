import Platform

/// The checks that hold for a file whatever the layout: headers, emptiness, names of unfinished saves.
struct FileChecks {
  let reader: CheckpointReader

  /// All defects of single files, in the order of their paths.
  func defects() -> [Defect] {
    var found = reader.tree.skipped.compactMap(skipped)
    for entry in reader.tree.entries {
      if isStaging(entry.path.name) {
        found.append(Defect(entry.path, .staging))
      } else if case .link(let target) = entry.kind,
        isModelWeights(entry.path.name) || isTorch(entry.path.name),
        leadsOutside(target, from: entry.path)
      {
        found.append(Defect(entry.path, .linkedOutside(target: escaped(target))))
      } else if let size = entry.file?.size, let kind = defect(of: entry.path, size: size) {
        found.append(Defect(entry.path, kind))
      }
    }
    return found
  }

  private func skipped(_ entry: SkippedEntry) -> Defect? {
    guard let path = try? RelativePath(entry.path) else { return nil }
    switch entry.reason {
    case .unreadable(let words): return Defect(path, .unreadable(words))
    case .vanished: return Defect(path, .vanished)
    case .socket, .fifo, .device, .pathTooLong: return nil
    }
  }

  /// Whether a link's target lies outside the checkpoint, by its words: links behind it are not followed.
  private func leadsOutside(_ target: [UInt8], from path: RelativePath) -> Bool {
    let target = String(decoding: target, as: UTF8.self)
    let parts = PathText.components(target)
    guard !PathText.isAbsolute(target) else {
      return parts.contains("..") || !parts.starts(with: reader.place.components)
    }
    var depth = path.components.count - 1
    for part in parts where part != "." {
      depth += part == ".." ? -1 : 1
      if depth < 0 { return true }
    }
    return false
  }

  private func defect(of path: RelativePath, size: Int) -> Defect.Kind? {
    let name = path.name
    if name.hasSuffix(".safetensors") { return safetensors(path, size: size) }
    if isTorch(name) { return torch(path, size: size) }
    if Self.json.contains(name) || name.hasSuffix(".index.json") {
      if case .defect(let kind) = reader.json(path) { return kind }
    }
    return ForeignFormats(reader: reader).defect(of: path, size: size)
  }

  private func safetensors(_ path: RelativePath, size: Int) -> Defect.Kind? {
    guard size > 0 else { return .empty }
    switch reader.safetensors(path) {
    case .success(let header): return header.defect.map(Defect.Kind.safetensors)
    case .failure(SafetensorsDefect.zeros): return .zeros(size: size)
    case .failure(let error as SafetensorsDefect): return .safetensors(error)
    case .failure(let error): return reader.failure(error)
    }
  }

  /// A file with a torch name may hold anything: only zips are looked into, and only what no framework writes on purpose
  /// (nothing, or zeros) counts against the rest.
  private func torch(_ path: RelativePath, size: Int) -> Defect.Kind? {
    guard size > 0 else { return .empty }
    do {
      let file = try reader.tree.root.open(path)
      switch try TorchFormat(of: file) {
      case .zip: try zip(file, path)
      case .zeros: return .zeros(size: size)
      case .other where try file.bytes(at: max(0, size - 22), count: 4) == [0x50, 0x4b, 5, 6]:
        // A zip by its end, so its start was overwritten: the directory is read to say in what.
        _ = try TorchZip(reading: file)
      case .legacy: _ = try reader.torch(path).get()
      case .empty, .other: break
      }
      return nil
    } catch let defect as TorchZipDefect {
      return .torch(defect)
    } catch let error as PickleError {
      return error.isTooLarge ? nil : .pickle(error)
    } catch { return reader.failure(error) }
  }

  /// The zip's directory, then its pickle. TorchScript's archives have pickles of their own kind and are known by `constants.pkl`.
  private func zip(_ file: OpenFile, _ path: RelativePath) throws {
    let zip = try TorchZip(reading: file)
    guard let pickle = zip.entry("data.pkl"), pickle.method == 0, pickle.size <= TorchObject.maximumPickle,
      zip.entry("constants.pkl") == nil
    else { return }
    _ = try reader.torch(path).get()
  }

  /// JSON files without which a checkpoint does not load. Others are not parsed.
  private static let json: Set<String> = [
    "trainer_state.json", "config.json", "adapter_config.json", "generation_config.json",
    "tokenizer_config.json",
  ]
}

/// Whether a file by its name was written by torch.save: `.bin` and `.pkl` only where a framework gives that very name.
func isTorch(_ name: String) -> Bool {
  if [".pt", ".pth", ".ckpt"].contains(where: name.hasSuffix) { return true }
  if name.hasSuffix(".bin") {
    return isModelWeights(name)
      || [
        "training_args", "optimizer", "scheduler", "scaler", "sampler", "dl_state_dict", "pytorch_model_fsdp",
      ].contains(
        where: name.hasPrefix)
  }
  return name.hasSuffix(".pkl") && (name.hasPrefix("random_states_") || name.hasPrefix("custom_checkpoint_"))
}

/// Whether a name is one that a framework gives to what it is still writing: `tmp-checkpoint-N` (transformers 4.36 to 4.38) and
/// `.tmp` with six letters or digits (safetensors since 0.8), `….orbax-checkpoint-tmp` with or without a time behind it (Orbax).
func isStaging(_ name: String) -> Bool {
  if isNumbered(name, "tmp-checkpoint-") { return true }
  if name.contains(".orbax-checkpoint-tmp") { return true }
  let tail = name.utf8.dropFirst(4)
  return name.hasPrefix(".tmp") && tail.count == 6
    && tail.allSatisfy {
      $0 < 0x80 && (Character(Unicode.Scalar($0)).isLetter || Character(Unicode.Scalar($0)).isNumber)
    }
}
