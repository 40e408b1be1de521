import Platform

/// The file in which transformers' Trainer keeps the step and the log.
let trainerStateName = "trainer_state.json"

/// Looks into the files of one checkpoint for the layouts, reading each header and JSON file once.
final class CheckpointReader {
  /// JSON files larger than this are not read, in bytes.
  static let maximumJSON = 64 << 20

  enum JSONResult {
    case missing
    /// Longer than `maximumJSON`, and whole by its end.
    case tooLong
    case value(JSONValue)
    case defect(Defect.Kind)
  }

  let tree: Tree
  /// The checkpoint's real path, links resolved: what its directory is called.
  let place: Place
  private var headers: [RelativePath: Result<Safetensors, any Error>] = [:]
  private var objects: [RelativePath: Result<TorchObject, any Error>] = [:]
  /// How many bytes of pickles `objects` holds, and may hold.
  private var keptPickles = 0
  private static let maximumKept = 64 << 20
  private var values: [RelativePath: JSONResult] = [:]

  init(tree: Tree, place: Place) {
    self.tree = tree
    self.place = place
  }

  /// The regular files directly in the root, by name, in order.
  private(set) lazy var topFiles: [String] = tree.files.filter { $0.path.parent == nil }.map(\.path.name)
  /// The directories directly in the root, by name, in order.
  private(set) lazy var topDirectories: [String] = tree.entries.filter { entry in
    if case .directory = entry.kind { entry.path.parent == nil } else { false }
  }.map(\.path.name)

  /// The variables that TensorFlow stored, in order.
  private(set) lazy var tensorBundles: [TensorBundle] = TensorBundle.all(self)
  private(set) lazy var tensorBundlePrefixes: Set<RelativePath> = Set(tensorBundles.map(\.prefix))

  private lazy var childrenByParent = Dictionary(grouping: tree.entries) { $0.path.parent }

  /// The files, links and directories directly in a directory, nil being the root, in order.
  func children(of directory: RelativePath?) -> [Tree.Entry] { childrenByParent[directory] ?? [] }

  /// Whether there is a regular file, or a link that stands for one, with this path.
  func has(_ path: RelativePath) -> Bool {
    switch tree.entry(path)?.kind {
    case .file, .link: true
    case .directory, nil: false
    }
  }

  func has(_ name: String) -> Bool { (try? RelativePath(name)).map(has) ?? false }

  /// The header of a safetensors file, or the error that reading it gave.
  func safetensors(_ path: RelativePath) -> Result<Safetensors, any Error> {
    if let known = headers[path] { return known }
    let result = Result { try Safetensors(reading: tree.root.open(path)) }
    headers[path] = result
    return result
  }

  /// What a torch file holds, or the error that reading it gave. The pickles of many or large files are read anew each time.
  func torch(_ path: RelativePath) -> Result<TorchObject, any Error> {
    if let known = objects[path] { return known }
    let result = Result { try TorchObject(reading: tree.root.open(path)) }
    if case .success(let object) = result { keptPickles += object.root.pickle.source.count }
    if keptPickles <= Self.maximumKept { objects[path] = result }
    return result
  }

  /// What a torch file describes, also where its end is lost; nil where nothing can be read.
  func contents(_ path: RelativePath) -> Pickle.Value? {
    switch torch(path) {
    case .success(let object): return object.root
    case .failure(is TorchZipDefect):
      return (try? tree.root.open(path)).flatMap { try? TorchObject(startOf: $0) }?.root
    case .failure: return nil
    }
  }

  /// A JSON file, read leniently as Python writes it.
  func json(_ path: RelativePath) -> JSONResult {
    if let known = values[path] { return known }
    let result = read(path)
    values[path] = result
    return result
  }

  func json(_ name: String) -> JSONResult { (try? RelativePath(name)).map(json) ?? .missing }

  /// The value of a JSON file in the root, or nil where it is not there or not whole.
  func value(_ name: String) -> JSONValue? { if case .value(let value) = json(name) { value } else { nil } }

  private func read(_ path: RelativePath) -> JSONResult {
    guard let size = tree.entry(path)?.file?.size else { return .missing }
    guard size > 0 else { return .defect(.empty) }
    guard size <= Self.maximumJSON else { return tooLong(path, size: size) }
    let bytes: [UInt8]
    do throws(SystemError) { bytes = try tree.root.open(path).bytes(at: 0, count: size) } catch {
      return .defect(failure(error))
    }
    if bytes.prefix(16).allSatisfy({ $0 == 0 }) { return .defect(.zeros(size: size)) }
    do throws(JSONError) { return .value(try parse(bytes, path)) } catch {
      return .defect(.json(reason: error.reason, offset: error.offset, size: bytes.count))
    }
  }

  /// The trainer's state may hold a very long log, and it alone goes into the record as it is read here.
  private func parse(_ bytes: [UInt8], _ path: RelativePath) throws(JSONError) -> JSONValue {
    guard path.name == trainerStateName else { return try JSONValue(parsing: bytes) }
    return try JSONValue(parsingTrainerState: try maskingSecrets(in: bytes))
  }

  /// A file that is too long to be read is judged by its end alone: cut JSON hardly ever ends in a brace.
  private func tooLong(_ path: RelativePath, size: Int) -> JSONResult {
    do throws(SystemError) {
      let end = try tree.root.open(path).bytes(at: size - 4096, count: 4096)
      let last = end.last { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }
      if last == UInt8(ascii: "}") { return .tooLong }
      return .defect(.json(reason: "it does not end in a brace", offset: size, size: size))
    } catch { return .defect(failure(error)) }
  }

  /// The defect that an error of the file system stands for.
  func failure(_ error: any Error) -> Defect.Kind {
    guard let error = error as? SystemError else { return .unreadable("\(error)") }
    return error.isMissing ? .vanished : .unreadable(error.reason)
  }
}
