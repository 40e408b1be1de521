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
    /// 16 hexadecimal digits for its content as it was cut: the same ones mean the same content. Nil where its bytes do not lie in a row.
    var digest: String?
    /// 16 hexadecimal digits for how it was cut into pieces and chunks: of tensors that were cut in another way nothing can be said.
    var cut: String?
    /// False where another digest may only mean that what shares a chunk with it changed; nil stands for true.
    var exact: Bool?
  }

  /// The name of the file in a record.
  static let fileName = "tensors.json"
  /// The most bytes that such a file may have.
  static let largestFile = 64 << 20

  /// The repository's chunk size in bytes: digests made with another one do not compare.
  var chunkSize: Int
  /// The tensors by name.
  var tensors: [String: Tensor]

  enum CodingKeys: String, CodingKey {
    case tensors
    case chunkSize = "chunk_size"
  }

  /// Digests of the tensors of files that were pushed, from the ids of their chunks. Chunks in which several tensors lie, or something else
  /// beside one, are read once more and held to their ids, as far as `TensorParts` has leave to.
  ///
  /// - Throws: `SystemError` where a file cannot be read any more, `EngineError.changedWhileRead` where it is not what was pushed.
  init(_ map: TensorMap, of manifest: Manifest, below root: OpenDirectory, chunkSize: Int) throws {
    self.chunkSize = chunkSize
    tensors = [:]
    let parts = try TensorParts(map, of: manifest, below: root)
    for tensor in map.tensors {
      var entry = Tensor(module: tensor.module, dtype: tensor.dtype, shape: tensor.shape)
      var (content, cut, isExact, isKnown) = (SHA256(), SHA256(), true, tensor.runs != nil)
      for run in tensor.runs ?? [] where isKnown {
        guard let found = parts[run] else {
          isKnown = false
          continue
        }
        cut.update(Array("\(run.origin)\n".utf8))
        for part in found {
          content.update(part.digest)
          cut.update(Array(part.place.utf8))
          isExact = isExact && part.isExact
        }
      }
      if isKnown {
        entry.digest = hex(content.finish().prefix(8))
        entry.cut = hex(cut.finish().prefix(8))
        entry.exact = isExact ? nil : false
      }
      tensors[tensor.name] = entry
    }
  }

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
