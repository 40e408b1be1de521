import Checkpoints
import Platform
import Repository

/// How two snapshots differ: what their records tell, and their files and chunks.
public struct SnapshotDiff: Encodable, Equatable, Sendable {
  /// A value that differs.
  public struct Change: Encodable, Equatable, Sendable {
    /// Its name; of members of members the names joined by dots.
    public var name: String
    /// What the first snapshot has; nil where it has none.
    public var before: JSONValue?
    /// What the second snapshot has; nil where it has none.
    public var after: JSONValue?
  }

  /// A file that one snapshot lacks, or that has other content.
  public struct FileChange: Encodable, Equatable, Sendable {
    /// Its path below the checkpoint.
    public var path: String
    /// Its size in the first snapshot in bytes; nil where it is not there.
    public var before: Int?
    /// Its size in the second snapshot in bytes; nil where it is not there.
    public var after: Int?
    /// Bytes in the second snapshot's file whose chunks the first snapshot has nowhere.
    public var newBytes: Int
  }

  /// Hyper-parameters by the file that has them.
  public var hyperparameters: [String: [Change]]
  /// Versions, and packages of the environment.
  public var versions: [Change]
  /// The code, the machine and its variables.
  public var environment: [Change]
  /// Metrics.
  public var metrics: [Change]
  /// Layout, use, parts, processes, base model, modules.
  public var contents: [Change]
  /// Tensors that differ; nil where a snapshot has no digests of its own, or they were made in another way.
  public var tensors: TensorChanges?
  /// Files that differ, ordered by path.
  public var files: [FileChange]
  /// How many files are the same in both.
  public var sameFiles: Int
  /// Bytes of the second snapshot whose chunks the first has too.
  public var sharedBytes: Int
  /// All bytes of the first snapshot.
  public var bytesBefore: Int
  /// All bytes of the second snapshot.
  public var bytesAfter: Int

  /// A snapshot with all that is compared.
  public struct Side: Sendable {
    let snapshot: Snapshot
    let manifest: Manifest
    let record: RecordDocument?
    let tensors: TensorDigests?

    /// All metrics: a marker may leave some out.
    var metrics: [String: Double] {
      (record?.metrics ?? [:]).merging(snapshot.metrics) { _, summary in summary }
    }

    /// Reads a snapshot's manifest and record. Throws `StoreError`, `FormatError`.
    public init(_ snapshot: Snapshot, in repository: Repository) async throws {
      self.snapshot = snapshot
      manifest = try await repository.manifest(of: snapshot)
      record = try await ArchiveRecord.read(of: snapshot, from: repository)
      tensors = try await TensorDigests.read(snapshot, record, from: repository)
    }
  }

  /// What is different in `after`. Of a snapshot without a record only metrics, layout and files are compared.
  public init(_ before: Side, _ after: Side) {
    hyperparameters = [:]
    let settings = (before.record?.hyperparameters ?? [:], after.record?.hyperparameters ?? [:])
    for file in Set(settings.0.keys).union(settings.1.keys) {
      let changes = Self.changes(
        settings.0[file]?.flattened ?? [:], settings.1[file]?.flattened ?? [:])
      if !changes.isEmpty { hyperparameters[file] = changes }
    }
    versions = Self.changes(Self.versions(before.record), Self.versions(after.record))
    // Against a record that leaves the environment out, everything in it would differ.
    let isKnown = before.record?.environment != nil && after.record?.environment != nil
    environment = Self.changes(
      Self.environment(before.record, whole: isKnown), Self.environment(after.record, whole: isKnown))
    metrics = Self.changes(
      before.metrics.mapValues(JSONValue.double), after.metrics.mapValues(JSONValue.double))
    contents = Self.changes(Self.contents(before), Self.contents(after))
    tensors = TensorChanges(before.tensors, after.tensors)
    (bytesBefore, bytesAfter) = (before.manifest.bytes, after.manifest.bytes)

    let known = Set(before.manifest.files.lazy.flatMap(\.chunks).map(\.id))
    func newBytes(_ file: Manifest.FileEntry) -> Int {
      file.chunks.reduce(0) { $0 + (known.contains($1.id) ? 0 : $1.length) }
    }
    sharedBytes = bytesAfter - after.manifest.files.reduce(0) { $0 + newBytes($1) }
    let old = Dictionary(before.manifest.files.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    let new = Dictionary(after.manifest.files.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    let differing = Set(old.keys).union(new.keys).filter { old[$0]?.sha256 != new[$0]?.sha256 }.sorted()
    files = differing.map { path in
      FileChange(
        path: path.display, before: old[path]?.size, after: new[path]?.size,
        newBytes: new[path].map(newBytes) ?? 0)
    }
    sameFiles = new.keys.count - differing.count { new[$0] != nil }
  }

  private static func changes(_ before: [String: JSONValue], _ after: [String: JSONValue]) -> [Change] {
    Set(before.keys).union(after.keys).filter { before[$0] != after[$0] }.sorted().map {
      Change(name: $0, before: before[$0], after: after[$0])
    }
  }

  private static func versions(_ record: RecordDocument?) -> [String: JSONValue] {
    (record?.versions ?? [:]).merging(record?.environment?.packages ?? [:]) { recorded, _ in recorded }
      .mapValues(JSONValue.string)
  }

  private static func environment(_ record: RecordDocument?, whole: Bool) -> [String: JSONValue] {
    guard let record else { return [:] }
    var values: [String: JSONValue] = [:]
    func set(_ name: String, _ text: String?) { values[name] = text.map(JSONValue.string) }
    set("host", record.provenance.host)
    set("program", record.provenance.program)
    guard whole, let environment = record.environment else { return values }
    set("system", environment.system)
    set("code.commit", environment.code?.commit)
    set("code.branch", environment.code?.branch)
    set("code.remote", environment.code?.remote)
    values["code.dirty"] = environment.code?.dirty.map(JSONValue.bool)
    for device in environment.devices { values["devices.\(device.name)"] = .integer(Int64(device.count)) }
    for (name, value) in environment.variables { set("variables.\(name)", value) }
    return values
  }

  private static func contents(_ side: Side) -> [String: JSONValue] {
    var values: [String: JSONValue] = [
      "layout": .string(side.snapshot.layout), "complete": .bool(side.snapshot.complete),
    ]
    guard let record = side.record else { return values }
    values["use"] = record.use.map(JSONValue.string)
    values["processes"] = record.worldSize.map { .integer(Int64($0)) }
    values["base"] = record.base.map { .string($0.words) }
    values["dtypes"] = record.dtypes.map { .string($0.joined(separator: ", ")) }
    for (name, part) in record.parts ?? [:] { values["parts.\(name)"] = .integer(Int64(part.count)) }
    for module in record.modules ?? [] {
      values["modules.\(module.name)"] = .integer(Int64(module.parameters))
    }
    return values
  }
}

extension JSONValue {
  /// The value's leaves, arrays among them, by the names of the members that lead to each, joined by dots. A value that is no object
  /// has the name `value`.
  public var flattened: [String: JSONValue] {
    guard let members else { return ["value": self] }
    var leaves: [String: JSONValue] = [:]
    var waiting = members.map { ($0.key, $0.value) }
    while let (name, value) = waiting.popLast() {
      if let members = value.members, !members.isEmpty {
        waiting += members.map { ("\(name).\($0.key)", $0.value) }
      } else {
        leaves[name] = value
      }
    }
    return leaves
  }
}
