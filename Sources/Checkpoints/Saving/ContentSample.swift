import Platform

/// A look at a few of a checkpoint's numbers, of bounded cost whatever its size: are its weights zeros or NaN, do its files end in holes?
///
/// At most 64 tensors, spread over files and tensors, and 4 KiB of each: 256 KiB, besides headers and pickles of at most 4 MiB in each of
/// at most 64 files.
struct ContentSample {
  let tree: Tree
  let classifier: Classifier

  private static let tensors = 64
  private static let bytes = 4096
  private static let longestPickle = 4 << 20
  /// A shorter run of zeros at a file's end is not worth a word, in bytes.
  static let leastTail = 64 << 10

  /// What stands out. What cannot be read is passed over: that is told elsewhere.
  func notices() -> [Notice] { holes() + numbers() }

  private func holes() -> [Notice] {
    tree.files.compactMap { entry in
      guard let status = entry.file, status.isSparse, isStorage(entry.path.name),
        let file = try? tree.root.open(entry.path), let last = file.holes().last,
        last.upperBound == file.size, last.count >= Self.leastTail
      else { return nil }
      return Notice(entry.path, .content(.hole(bytes: last.count)))
    }
  }

  private func numbers() -> [Notice] {
    let all = tree.files.map(\.path).filter {
      isStorage($0.name) && classifier.fileClass(of: $0) == .weights
    }
    let files = Self.spread(all, Self.tensors)
    var (looked, isZero, matrices) = (0, true, 0)
    var broken: [String] = []
    for path in files {
      guard let file = try? tree.root.open(path), let tensors = try? Self.tensors(of: file, path) else {
        continue
      }
      let floats = tensors.filter { $0.dtype.map(NumberCounts.types.contains) == true && !$0.range.isEmpty }
      let wide = floats.filter(\.isMatrix)
      for tensor in Self.spread(wide.isEmpty ? floats : wide, max(1, Self.tensors / files.count)) {
        guard let counts = try? Self.middle(of: tensor, in: file), counts.numbers > 0 else { continue }
        looked += 1
        if counts.nans == counts.numbers { broken.append(tensor.name) }
        if tensor.isMatrix {
          matrices += 1
          isZero = isZero && counts.zeros == counts.numbers
        }
      }
    }
    var notices: [Notice] = []
    if matrices > 0, isZero {
      notices.append(Notice(nil, .content(.allZero(tensors: matrices, sampled: true))))
    }
    if let example = broken.first {
      notices.append(
        Notice(nil, .content(.notANumber(tensors: broken.count, of: looked, example: example))))
    }
    return notices
  }

  private static func tensors(of file: OpenFile, _ path: RelativePath) throws -> [TensorBytes] {
    if path.name.hasSuffix(".safetensors") { return TensorBytes.all(in: try Safetensors(reading: file)) }
    guard try TorchFormat(of: file) == .zip else { return [] }
    let zip = try TorchZip(reading: file)
    guard let pickle = zip.entry("data.pkl"), pickle.size <= longestPickle else { return [] }
    return try TensorBytes.all(in: TorchObject(zip, in: file), of: file)
  }

  /// The numbers in the middle of a tensor.
  private static func middle(of tensor: TensorBytes, in file: OpenFile) throws -> NumberCounts {
    guard let dtype = tensor.dtype, let size = itemSizes[dtype] else { return NumberCounts() }
    let count = min(bytes, tensor.range.count / size * size)
    let start = tensor.range.lowerBound + (tensor.range.count - count) / 2 / size * size
    // Words, since their memory is aligned for every type of number.
    var words = [UInt64](repeating: 0, count: bytes / 8)
    return try words.withUnsafeMutableBytes { memory in
      let target = UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
      let got = try file.read(at: start, into: target)
      return NumberCounts.of(UnsafeRawBufferPointer(rebasing: memory[..<got]), dtype: dtype)
    }
  }

  /// At most `count` elements, evenly spread, the first among them.
  private static func spread<Element>(_ elements: [Element], _ count: Int) -> [Element] {
    guard elements.count > count else { return elements }
    return (0..<count).map { elements[$0 * elements.count / count] }
  }
}

/// Whether a file by its name is safetensors or what torch.save wrote.
private func isStorage(_ name: String) -> Bool { name.hasSuffix(".safetensors") || isTorch(name) }

extension Inspection {
  /// What stands out in a small sample of its numbers, at the ends of its files and in its files' times; never a defect. Reads up to
  /// some hundred KiB besides headers and pickles.
  public func contentNotices() -> [Notice] {
    SaveOrder.notices(in: tree) + ContentSample(tree: tree, classifier: classifier).notices()
  }
}
