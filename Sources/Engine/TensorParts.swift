import Checkpoints
import Digests
import Platform
import Repository

/// The parts of tensors that lie in one chunk each, and a digest of each part's content.
struct TensorParts {
  /// What of a tensor lies in one chunk.
  struct Part {
    /// How it lies there: parts that lie alike in two snapshots can be compared.
    let place: String
    /// A digest of its content.
    var digest: [UInt8]
    /// Whether another digest means another content: false where only the chunk's id is known.
    var isExact: Bool
  }

  private struct Key: Hashable {
    let file: RelativePath
    let range: Range<Int>
  }

  /// A part that is to be read: in which run, which of its parts, and its bytes in the chunk.
  private struct Wish {
    let key: Key
    let part: Int
    let range: Range<Int>
  }

  /// A chunk that is worth reading.
  private struct Candidate {
    let file: RelativePath
    let offset: Int
    let chunk: Manifest.ChunkReference
    var wishes: [Wish] = []
    /// The modules that have tensors in it: where two meet, only its bytes tell which of them changed.
    var modules: Set<String> = []
  }

  private var parts: [Key: [Part]] = [:]

  /// The parts of a run, or nil where it does not lie in a file of the manifest.
  subscript(_ run: TensorMap.Run) -> [Part]? { parts[Key(file: run.file, range: run.range)] }

  /// How many bytes are read at most: a twentieth of the files' and 64 MiB.
  private static func allowance(_ files: some Sequence<Manifest.FileEntry>) -> Int {
    64 << 20 + files.reduce(0) { $0 + $1.size / 20 }
  }

  /// Finds the parts. Throws `SystemError` where a file cannot be read, `EngineError.changedWhileRead` where its bytes are not those of the manifest.
  init(_ map: TensorMap, of manifest: Manifest, below root: OpenDirectory) throws {
    let files = Dictionary(manifest.files.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    var candidates: [RelativePath: [Int: Candidate]] = [:]
    var starts: [RelativePath: [Int]] = [:]
    for tensor in map.tensors {
      for run in tensor.runs ?? [] {
        guard let file = files[run.file], run.range.lowerBound >= 0, run.range.upperBound <= file.size else {
          continue
        }
        let begins = starts[run.file] ?? Self.starts(file)
        starts[run.file] = begins
        let key = Key(file: run.file, range: run.range)
        let isNew = parts[key] == nil
        if isNew { parts[key] = [] }
        guard !run.range.isEmpty else { continue }
        for index in Self.chunks(of: run.range, begins) {
          let chunk = file.chunks[index]
          let whole = begins[index]..<begins[index] + chunk.length
          let own = run.range.clamped(to: whole)
          if own != whole {
            var candidate =
              candidates[run.file]?[index]
              ?? Candidate(file: run.file, offset: whole.lowerBound, chunk: chunk)
            candidate.modules.insert(tensor.module)
            if isNew {
              let place = own.lowerBound - whole.lowerBound..<own.upperBound - whole.lowerBound
              candidate.wishes.append(Wish(key: key, part: parts[key]?.count ?? 0, range: place))
            }
            candidates[run.file, default: [:]][index] = candidate
          }
          if isNew { parts[key]?.append(Self.part(chunk, whole, own)) }
        }
      }
    }
    try read(candidates.values.flatMap(\.values), below: root, allowance: Self.allowance(files.values))
  }

  /// What is known without reading: by the id of a chunk that is the tensor's alone, or that it shares.
  private static func part(_ chunk: Manifest.ChunkReference, _ whole: Range<Int>, _ own: Range<Int>) -> Part {
    Part(
      place: own == whole ? "exact \(own.count)\n" : "\(own.lowerBound - whole.lowerBound) \(own.count)\n",
      digest: chunk.id.bytes, isExact: own == whole)
  }

  /// Reads chunks, those in which modules meet first, as far as the allowance goes.
  private mutating func read(
    _ candidates: [Candidate], below root: OpenDirectory, allowance: Int
  ) throws {
    var allowance = allowance
    var chosen: [Candidate] = []
    let order = candidates.sorted {
      ($0.modules.count > 1 ? 0 : 1, $0.file, $0.offset) < ($1.modules.count > 1 ? 0 : 1, $1.file, $1.offset)
    }
    for candidate in order where candidate.chunk.length <= allowance {
      allowance -= candidate.chunk.length
      chosen.append(candidate)
    }
    var open: (path: RelativePath, file: OpenFile)?
    for candidate in chosen {
      if open?.path != candidate.file { open = (candidate.file, try root.open(candidate.file)) }
      guard let file = open?.file else { continue }
      let bytes = try file.bytes(at: candidate.offset, count: candidate.chunk.length)
      // Somebody may have put another file in its place meanwhile.
      guard ChunkID(SHA256.hash(bytes)) == candidate.chunk.id else {
        throw EngineError.changedWhileRead(path: root.display(candidate.file))
      }
      for wish in candidate.wishes {
        parts[wish.key]?[wish.part] = Part(
          place: "exact \(wish.range.count)\n", digest: SHA256.hash(bytes[wish.range]), isExact: true)
      }
    }
  }

  private static func starts(_ file: Manifest.FileEntry) -> [Int] {
    var starts: [Int] = []
    var end = 0
    for chunk in file.chunks {
      starts.append(end)
      end += chunk.length
    }
    return starts
  }

  /// The indices of the chunks that a run of bytes lies in.
  private static func chunks(of run: Range<Int>, _ starts: [Int]) -> Range<Int> {
    starts.partitioningIndex { $0 > run.lowerBound } - 1..<starts.partitioningIndex { $0 >= run.upperBound }
  }
}

extension Array where Element == Int {
  /// The first index whose element fits, or the count; the elements that fit are all at the end.
  fileprivate func partitioningIndex(_ fits: (Int) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if fits(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
