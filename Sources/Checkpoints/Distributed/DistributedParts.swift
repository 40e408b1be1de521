import Platform

/// The DCP files of one directory: what their metadata says, and whether they are whole.
///
/// Facts from torch/distributed/checkpoint/filesystem.py (2.13): every process writes `__R_I.distcp` and syncs them, then one writes
/// `.metadata.tmp`, syncs it and renames it to `.metadata`. The parts of a file lie back to back, without header or trailer.
struct DistributedParts {
  private(set) var metadata: DistributedCheckpoint?
  private(set) var defects: [Defect] = []
  private(set) var notices: [Notice] = []
  /// The data files that are there.
  let files: [RelativePath]
  private let reader: CheckpointReader
  private let directory: RelativePath?

  /// Looks at the DCP files directly in `directory`, which is nil for the checkpoint's root.
  init(_ reader: CheckpointReader, in directory: RelativePath?) {
    self.reader = reader
    self.directory = directory
    files = reader.children(of: directory).filter { $0.file != nil && $0.path.name.hasSuffix(".distcp") }
      .map(\.path)
    let temporary = path(".metadata.tmp")
    if reader.has(temporary) { defects.append(Defect(temporary, .staging)) }
    read()
    checkFiles()
  }

  /// Whether a directory holds DCP files.
  static func isThere(_ reader: CheckpointReader, in directory: RelativePath?) -> Bool {
    reader.children(of: directory).contains { $0.path.name.hasSuffix(".distcp") }
      || reader.has(reader.path(".metadata", in: directory))
  }

  /// How many processes wrote files: a lower bound of those that trained.
  var processes: Int? {
    let names = files.map(\.name) + (metadata?.fileSizes.keys.map(\.name) ?? [])
    let ranks = Set(names.compactMap(Self.rank))
    return ranks.isEmpty ? nil : ranks.count
  }

  /// The process of `__R_I.distcp`.
  private static func rank(_ name: String) -> Int? {
    guard name.hasPrefix("__"), let end = name.dropFirst(2).firstIndex(of: "_") else { return nil }
    return Int(name[name.index(name.startIndex, offsetBy: 2)..<end])
  }

  /// The files that hold each part of a training, by the names of what lies in them.
  func parts() -> [Findings.Part: Set<RelativePath>] {
    var parts: [Findings.Part: Set<RelativePath>] = [:]
    for tensor in metadata?.tensors ?? [] {
      let part = Self.part(tensor.name) ?? .weights
      for chunk in tensor.chunks { parts[part, default: []].insert(path(chunk.place.file)) }
    }
    for object in metadata?.objects ?? [] {
      if let part = Self.part(object.name) { parts[part, default: []].insert(path(object.place.file)) }
    }
    return parts
  }

  /// The part that a name stands for by its first words; nil for a model's own names.
  static func part(_ name: String) -> Findings.Part? {
    var words = name.split(maxSplits: 3) { $0 == "." || $0 == "/" }[...].map { $0.lowercased() }[...]
    while let first = words.first, words.count > 1,
      ["app", "state", "checkpoint"].contains(first) || first.hasPrefix("chained_")
    { words = words.dropFirst() }
    guard let word = words.first else { return nil }
    if word.hasPrefix("optim") { return .optimizer }
    if word.contains("scheduler") { return .schedule }
    if word.hasPrefix("rng") || word == "random_state" { return .random }
    let progress = [
      "train_state", "trainer_state", "step", "global_step", "epoch", "iteration", "dataloader",
    ]
    return progress.contains(word) ? .progress : nil
  }

  /// The number that an object of one of these last names holds, the first name first.
  func number(_ names: [String]) -> Double? {
    for name in names {
      for object in metadata?.objects ?? []
      where Self.part(object.name) == .progress
        && object.name.split(separator: ".").last.map(String.init) == name
      {
        if let number = value(object.place)?.number { return number }
      }
    }
    return nil
  }

  /// The pickle of a small object: it is the first entry of its zip (caffe2/serialize/inline_container.cc).
  private func value(_ place: DistributedCheckpoint.Place) -> Pickle.Value? {
    guard place.length <= 64 << 10, !place.isTransformed,
      let bytes = try? reader.tree.root.open(path(place.file)).bytes(at: place.offset, count: place.length),
      bytes.count > 30, bytes.starts(with: [0x50, 0x4b, 3, 4])
    else { return nil }
    let name = Int(littleEndian(bytes[26..<28]))
    let start = 30 + name + Int(littleEndian(bytes[28..<30]))
    guard start < bytes.count, bytes[30..<30 + name].ends(with: "/data.pkl") else { return nil }
    return try? Pickle(bytes, from: start).root
  }

  private mutating func read() {
    let path = path(".metadata")
    guard let size = reader.tree.entry(path)?.file?.size else {
      defects.append(Defect(path, .unfinished))
      return
    }
    guard size > 0 else { return defects.append(Defect(path, .empty)) }
    guard size <= DistributedCheckpoint.maximumMetadata else {
      return notices.append(Notice(path, .tooLongToCheck(size: size)))
    }
    do {
      let bytes = try reader.tree.root.open(path).bytes(at: 0, count: size)
      if bytes.prefix(16).allSatisfy({ $0 == 0 }) { return defects.append(Defect(path, .zeros(size: size))) }
      metadata = try DistributedCheckpoint(metadata: bytes)
    } catch let error as PickleError where error.isTooLarge {
      notices.append(Notice(path, .tooLongToCheck(size: size)))
    } catch let error as PickleError {
      defects.append(Defect(path, .description(reason: error.isCut ? "it ends too early" : error.reason)))
    } catch let error as DistributedCheckpointError {
      defects.append(Defect(path, .description(reason: error.reason)))
    } catch { defects.append(Defect(path, reader.failure(error))) }
  }

  private mutating func checkFiles() {
    guard let metadata, let written = reader.tree.entry(path(".metadata"))?.attributes.modified else {
      return
    }
    var newest: (path: RelativePath, seconds: Double)?
    for (name, expected) in metadata.fileSizes.sorted(by: { $0.key < $1.key }) {
      let path = path(name)
      guard let entry = reader.tree.entry(path), let size = entry.file?.size else {
        if !reader.has(path) { defects.append(Defect(path, .shardMissing(index: ".metadata"))) }
        continue
      }
      if size != expected { defects.append(Defect(path, .wrongSize(expected: expected, size: size))) }
      let start = try? reader.tree.root.open(path).bytes(at: 0, count: 64)
      if let start, !start.isEmpty, start.allSatisfy({ $0 == 0 }) {
        defects.append(Defect(path, .zeros(size: size)))
      }
      let seconds = entry.attributes.modified.seconds(since: written)
      if seconds > max(2, newest?.seconds ?? 0) { newest = (path, seconds) }
    }
    if let newest {
      notices.append(Notice(newest.path, .newerThanMarker(".metadata", seconds: Int(newest.seconds))))
    }
  }

  private func path(_ name: String) -> RelativePath { reader.path(name, in: directory) }

  private func path(_ file: RelativePath) -> RelativePath {
    reader.path(file, in: directory)
  }
}

extension Collection<UInt8> where Self: BidirectionalCollection {
  fileprivate func ends(with text: String) -> Bool { suffix(text.utf8.count).elementsEqual(text.utf8) }
}
