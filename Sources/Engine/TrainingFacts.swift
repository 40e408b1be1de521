import Checkpoints
import FoundationEssentials
import ObjectStore
import Platform
import Repository

/// What a snapshot's record tells of the training that made it, as far as it does: each fact may be missing or of another form, in
/// records of older and newer programs.
public struct TrainingFacts: Decodable, Equatable, Sendable {
  /// The kinds of processors that trainings run on, as far as they cannot stand for each other.
  public enum Device: String, Equatable, Sendable {
    /// Nvidia's.
    case cuda = "CUDA"
    /// Huawei's Ascend.
    case npu = "Ascend NPU"
  }

  /// The layout's name.
  public var layout = ""
  /// How the training was spread.
  public var parallelism = Findings.Parallelism()
  /// Versions by package, named as Python's packages are.
  public var versions: [String: String] = [:]
  /// The absolute path that was pushed.
  public var path: String?
  /// The git commit of the training's code.
  public var commit: String?
  /// What it ran on.
  public var device: Device?
  /// The model that an adapter was trained on: a path or a name.
  public var baseModel: String?

  /// Nothing known.
  public init() {}

  /// Reads the facts of a snapshot's record; nil where it is missing or no JSON object. Throws `StoreError`.
  public static func read(of snapshot: Snapshot, from repository: Repository) async throws -> TrainingFacts? {
    do {
      return decode(
        try await repository.store.get(snapshot.record + "record.json", limit: ArchiveRecord.largestRecord))
    } catch StoreError.missing {
      return nil
    } catch StoreError.tooLarge {
      return nil
    }
  }

  /// The facts in the bytes of a record; nil where these are no JSON object.
  package static func decode(_ bytes: [UInt8]) -> TrainingFacts? {
    try? JSONDecoder().decode(TrainingFacts.self, from: Data(bytes))
  }

  private enum Key: String, CodingKey {
    case layout, parallelism, versions, hyperparameters, provenance, code, environment
    case worldSize = "world_size"
  }

  /// Decodes a record; of its members only the object itself must be of the right form.
  public init(from decoder: any Decoder) throws {
    let record = try decoder.container(keyedBy: Key.self)
    func value<Value: Decodable>(_ key: Key, _ type: Value.Type = Value.self) -> Value? {
      try? record.decodeIfPresent(type, forKey: key)
    }
    layout = value(.layout) ?? ""
    parallelism = value(.parallelism) ?? Findings.Parallelism()
    parallelism.world = parallelism.world ?? value(.worldSize)
    versions = value(.versions) ?? [:]
    let provenance = value(.provenance, JSONValue.self)
    path = provenance?["path"]?.text
    let environment = provenance?["environment"] ?? value(.environment, JSONValue.self)
    let code = environment?["code"] ?? provenance?["code"] ?? value(.code, JSONValue.self)
    commit = code?["commit"]?.text
    versions.merge((environment?["packages"]?.members ?? [:]).compactMapValues(\.text)) { own, _ in own }
    let named =
      environment?["devices"]?.elements?.first?["name"]?.text
      ?? ["device", "accelerator", "device_type"].lazy.compactMap { environment?[$0]?.text }.first
    device = named.flatMap(Self.device) ?? Self.device(versions)
    let adapter = value(.hyperparameters, [String: JSONValue].self)?["adapter_config.json"]
    baseModel = adapter?["base_model_name_or_path"]?.text
  }

  private static func device(_ name: String) -> Device? {
    let name = name.lowercased()
    if name.contains("npu") || name.contains("ascend") { return .npu }
    return name.contains("cuda") || name.contains("nvidia") ? .cuda : nil
  }

  /// By the packages: torch for Ascend has an extension of its own, and torch's local version names CUDA (`2.9.1+cu128`).
  static func device(_ versions: [String: String]) -> Device? {
    if versions["torch_npu"] != nil || versions["torch-npu"] != nil { return .npu }
    return versions["torch"]?.contains("+cu") == true ? .cuda : nil
  }
}
