import Checkpoints
import Digests
import FoundationEssentials
import ObjectStore
import Platform
import Repository

/// A digest of each tensor of a snapshot's weights, by which two snapshots tell what training changed: `tensors.json` of a record
/// (docs/record.md).
struct TensorDigests: Codable, Equatable, Sendable {
  /// A tensor.
  struct Tensor: Codable, Equatable, Sendable {
    /// The module that it belongs to, as `ModelModule` names it.
    var module: String
    /// The element type in safetensors' words.
    var dtype: String
    /// Its dimensions.
    var shape: [Int]
    /// 16 hexadecimal digits for its content as it was cut.
    var digest: String
    /// 16 hexadecimal digits for how it was cut into pieces and chunks: of tensors that were cut in another way nothing can be said.
    var cut: String
  }

  /// The name of the file in a record.
  static let fileName = "tensors.json"
  /// The most bytes that such a file may have.
  private static let largestFile = 64 << 20

  /// The repository's chunk size in bytes: digests made with another one do not compare.
  var chunkSize: Int
  /// The tensors by name.
  var tensors: [String: Tensor]

  enum CodingKeys: String, CodingKey {
    case tensors
    case chunkSize = "chunk_size"
  }

  // MARK: - Making

  /// Digests of the tensors of files that were pushed, from the ids of their chunks; what shares a chunk with another tensor is read once
  /// more, up to a twentieth of the weights' bytes and 64 MiB. Tensors beyond that are left out.
  ///
  /// - Throws: `SystemError` where a file cannot be read any more.
  init(_ map: TensorMap, of manifest: Manifest, below root: OpenDirectory, chunkSize: Int) throws {
    self.chunkSize = chunkSize
    tensors = [:]
    let known = Dictionary(manifest.files.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    let wanted = Dictionary(grouping: map.tensors.flatMap(\.runs), by: \.file)
    var files: [RelativePath: ChunkedFile] = [:]
    for (path, runs) in wanted {
      guard let entry = known[path] else { continue }
      files[path] = ChunkedFile(entry, runs: runs.map(\.range), root: root)
    }
    var allowance = 64 << 20 + files.values.reduce(0) { $0 + $1.size / 20 }
    for tensor in map.tensors {
      var sum = Sum()
      var isWhole = true
      for (run, origin) in zip(tensor.runs, tensor.origins) where isWhole {
        sum.cut.update(Array("\(origin)\n".utf8))
        isWhole = try files[run.file]?.add(run.range, to: &sum, allowance: &allowance) ?? false
      }
      guard isWhole else { continue }
      tensors[tensor.name] = Tensor(
        module: tensor.module, dtype: tensor.dtype, shape: tensor.shape, digest: Self.short(sum.content),
        cut: Self.short(sum.cut))
    }
  }

  private static func short(_ digest: SHA256) -> String { hex(digest.finish().prefix(8)) }

  // MARK: - Reading and writing

  /// The file's bytes.
  func encode() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(self))
  }

  /// The digests in a snapshot's record; nil where it has none that can be read. Throws `StoreError`.
  static func read(
    _ snapshot: Snapshot, _ record: RecordDocument?, from repository: Repository
  ) async throws -> TensorDigests? {
    guard let file = record?.files.first(where: { $0.role == .tensors }),
      (0...largestFile).contains(file.size)
    else { return nil }
    do {
      let bytes = try await repository.store.get(snapshot.record + file.object, limit: file.size)
      return try? JSONDecoder().decode(TensorDigests.self, from: Data(bytes))
    } catch StoreError.missing {
      return nil
    } catch StoreError.tooLarge {
      return nil
    }
  }
}

/// A tensor's content, and how it is cut.
private struct Sum {
  var content = SHA256()
  var cut = SHA256()
}

/// A file of a manifest with the places of its chunks, and which of them more than one tensor lies in.
private struct ChunkedFile {
  let size: Int
  private let chunks: [Manifest.ChunkReference]
  /// Where each chunk begins, in bytes.
  private let starts: [Int]
  private let isShared: [Bool]
  private let path: RelativePath
  private let root: OpenDirectory
  private var file: OpenFile?

  init(_ entry: Manifest.FileEntry, runs: [Range<Int>], root: OpenDirectory) {
    size = entry.size
    path = entry.path
    chunks = entry.chunks
    self.root = root
    var starts: [Int] = []
    var end = 0
    for chunk in entry.chunks {
      starts.append(end)
      end += chunk.length
    }
    self.starts = starts
    var counts = [Int](repeating: 0, count: chunks.count)
    for run in runs where !run.isEmpty && run.lowerBound >= 0 && run.upperBound <= entry.size {
      for index in Self.chunks(of: run, starts) { counts[index] += 1 }
    }
    isShared = counts.map { $0 > 1 }
  }

  /// The indices of the chunks that a run lies in, which is in the file.
  private static func chunks(of run: Range<Int>, _ starts: [Int]) -> Range<Int> {
    let first = starts.partitioningIndex { $0 > run.lowerBound } - 1
    return first..<starts.partitioningIndex { $0 >= run.upperBound }
  }

  /// Takes a run's content: where a chunk is the tensor's alone, its id and the run's place in it, else the bytes. False where the run is
  /// outside the file, or where more would have to be read than is allowed.
  mutating func add(_ run: Range<Int>, to sum: inout Sum, allowance: inout Int) throws -> Bool {
    guard run.lowerBound >= 0, run.upperBound <= size else { return false }
    guard !run.isEmpty else { return true }
    for index in Self.chunks(of: run, starts) {
      let chunk = starts[index]..<starts[index] + chunks[index].length
      let part = run.clamped(to: chunk)
      let place = isShared[index] ? "shared" : String(part.lowerBound - chunk.lowerBound)
      sum.cut.update(Array("\(place) \(part.count)\n".utf8))
      guard isShared[index] else {
        sum.content.update(chunks[index].id.bytes)
        continue
      }
      allowance -= part.count
      guard allowance >= 0 else { return false }
      sum.content.update(try open().bytes(at: part.lowerBound, count: part.count))
    }
    return true
  }

  private mutating func open() throws -> OpenFile {
    if let file { return file }
    let opened = try root.open(path)
    file = opened
    return opened
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
