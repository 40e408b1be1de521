import Checkpoints
import FoundationEssentials
import Platform
import Repository

/// `record.json`: what a run was and what its checkpoint holds, readable without this program.
public struct RecordDocument: Codable, Equatable, Sendable {
  /// Where a snapshot came from.
  public struct Provenance: Codable, Equatable, Sendable {
    /// The machine that pushed it.
    public var host: String?
    /// The absolute path that was pushed.
    public var path: String
    /// The command line, without what it was told in secret: no option takes a secret.
    public var command: [String]
    /// The version of ckbackup.
    public var program: String
  }

  /// A metric by which the training named its best checkpoint so far.
  public struct Best: Codable, Equatable, Sendable {
    /// The metric's name, where it is known.
    public var metric: String?
    /// Its value.
    public var value: Double
    /// The step that had it.
    public var step: Int?
    /// Whether larger values are better, where that is known.
    public var greaterIsBetter: Bool?

    enum CodingKeys: String, CodingKey {
      case metric, value, step
      case greaterIsBetter = "greater_is_better"
    }
  }

  /// A part of the checkpoint.
  public struct Part: Codable, Equatable, Sendable {
    /// The most files that are named.
    static let maximumNames = 64

    /// The paths of its files below the checkpoint, in order; of many the first.
    public var files: [String]
    /// How many files it has.
    public var count: Int

    init(_ paths: [RelativePath]) {
      files = paths.prefix(Self.maximumNames).map(\.display)
      count = paths.count
    }
  }

  /// Modules that training left as they were.
  public struct Frozen: Codable, Equatable, Sendable {
    /// The id of the run's snapshot before this one, which the tensors were compared with.
    public var since: String
    /// Its step.
    public var step: Int
    /// The names of the modules of which every tensor has the same content, those with the most tensors first.
    public var modules: [String]
  }

  /// A file of the record.
  public struct File: Codable, Equatable, Sendable {
    /// The name that it had.
    public var name: String
    /// What it tells.
    public var role: ArchiveRecord.Attachment.Role
    /// Where it is, below the record's folder.
    public var object: String
    /// Its size in bytes.
    public var size: Int
    /// SHA-256 of its bytes in hexadecimal digits.
    public var sha256: String
  }

  /// The repository format, 1.
  public var format = repositoryFormat
  /// The snapshot's id.
  public var id: String
  /// The run.
  public var run: String
  /// The training step.
  public var step: Int
  /// When it was pushed.
  public var time: Timestamp
  /// The layout that was recognised.
  public var layout: String
  /// Whether it has no defect.
  public var complete: Bool
  /// What is wrong with it, where it was pushed all the same, and what was left out: sentences.
  public var remarks: [String]
  /// A sentence by whoever pushed it.
  public var note: String?
  /// Metrics by name.
  public var metrics: [String: Double]
  /// The best checkpoint so far, as the training saw it.
  public var best: Best?
  /// How many processes trained, where that is known.
  public var worldSize: Int?
  /// Whether training can go on from it, as far as its layout tells.
  public var resumable: Bool
  /// Hyper-parameters as the frameworks wrote them, by file; secrets are masked.
  public var hyperparameters: [String: JSONValue]
  /// Evaluation results that lie in files of their own, by file.
  public var results: [String: JSONValue]
  /// The rows of the training log, in order, those of evaluations among them.
  public var trainingLog: [JSONValue]
  /// Versions by framework.
  public var versions: [String: String]
  /// Where it came from.
  public var provenance: Provenance
  /// Plain copies in the record's folder.
  public var files: [File]
  /// The parts that were recognised, by `Findings.Part`. This and all below are absent from older records.
  public var parts: [String: Part]?
  /// What can be done with it: a value of `Findings.Use`, or one that a later program knows.
  public var use: String?
  /// How the training was spread over processes.
  public var parallelism: Findings.Parallelism?
  /// The model that an adapter belongs to.
  public var base: BaseModel?
  /// What the weights consist of, the largest first.
  public var modules: [ModelModule]?
  /// What of the weights training had frozen; nil where nothing was, or no snapshot before tells.
  public var frozen: Frozen?
  /// How many numbers the weights have.
  public var parameters: Int?
  /// The element types of the weights, for example `BF16`, in order.
  public var dtypes: [String]?
  /// What its owner should know although nothing is missing: sentences.
  public var notices: [String]?
  /// Points of the training's curves by name, each the step and the value, in order.
  public var curves: [String: [[Double]]]?
  /// The machine and the code, as whoever pushed found them.
  public var environment: TrainingEnvironment?

  // Member names of the frameworks' own JSON must stay as they are, so the names here are written out instead of converted.
  enum CodingKeys: String, CodingKey {
    case format, id, run, step, time, layout, complete, remarks, note, metrics, best, resumable
    case hyperparameters, results, versions, provenance, files
    case parts, use, parallelism, base, modules, frozen, parameters, dtypes, notices, curves, environment
    case worldSize = "world_size"
    case trainingLog = "training_log"
  }

  func encode() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
    return Array(try encoder.encode(self))
  }

  /// Reads a record. Throws `DecodingError` where the bytes are none.
  package static func decode(_ bytes: [UInt8]) throws -> RecordDocument {
    try JSONDecoder().decode(RecordDocument.self, from: Data(bytes))
  }
}
