import Platform

/// The marker of a snapshot, the one object whose creation commits it, with its summary.
///
/// Tags, milestone and note may change later; everything else is as it was pushed.
public struct Snapshot: Codable, Equatable, Sendable {
  /// The most bytes that a marker may have.
  static let largestMarker = 1 << 20

  /// Whether one directory or one file was pushed.
  public enum Kind: String, Codable, Sendable {
    case directory
    case file
  }

  /// Where the manifest is and what its bytes are.
  public struct ManifestReference: Codable, Equatable, Sendable {
    /// The manifest's key.
    public var key: String
    /// SHA-256 of the object, in hexadecimal digits.
    public var sha256: String
    /// Its size in bytes.
    public var size: Int

    /// A reference to a manifest object.
    public init(key: String, sha256: String, size: Int) {
      self.key = key
      self.sha256 = sha256
      self.size = size
    }
  }

  /// The format number, 1.
  public var format = repositoryFormat
  /// The first 16 hexadecimal digits of the SHA-256 of the snapshot's `SHA256SUMS`.
  public var id: String
  /// The run that the checkpoint belongs to.
  public var run: String
  /// The training step, 0 where none is known.
  public var step: Int
  /// When it was pushed.
  public var time: Timestamp
  /// Directory or file.
  public var kind: Kind
  /// The framework's layout that was recognised, or `plain`.
  public var layout: String
  /// False where it was pushed in spite of defects; such a snapshot is never `latest` or `best`.
  public var complete: Bool
  /// Number of regular files.
  public var files: Int
  /// Sum of the files' sizes in bytes.
  public var bytes: Int
  /// Bytes of chunks that this push added to the repository.
  public var addedBytes: Int
  /// Metrics by name, as found in the checkpoint or given by flags.
  public var metrics: [String: Double]
  /// Labels, in order.
  public var tags: [String]
  /// Whether prune must keep it for ever.
  public var milestone: Bool
  /// A sentence by whoever pushed it.
  public var note: String?
  /// True where a prune let the files go that only training needs, and this is what stayed.
  public var thinned: Bool?
  /// The manifest.
  public var manifest: ManifestReference

  /// A marker with all that it tells.
  public init(
    id: String, run: String, step: Int, time: Timestamp, kind: Kind, layout: String, complete: Bool,
    files: Int,
    bytes: Int, addedBytes: Int, metrics: [String: Double], tags: [String], milestone: Bool, note: String?,
    manifest: ManifestReference
  ) {
    self.id = id
    self.run = run
    self.step = step
    self.time = time
    self.kind = kind
    self.layout = layout
    self.complete = complete
    self.files = files
    self.bytes = bytes
    self.addedBytes = addedBytes
    self.metrics = metrics
    self.tags = tags
    self.milestone = milestone
    self.note = note
    self.manifest = manifest
  }

  /// Whether a prune has left weights alone.
  public var isThinned: Bool { thinned == true }
  /// `RUN@STEP`, the way people address it.
  public var address: String { "\(run)@\(step)" }
  /// Whether it is one of a run. Names are compared by their bytes, as keys are; `==` takes two spellings of é for one.
  public func belongs(to run: String) -> Bool { self.run.utf8.elementsEqual(run.utf8) }
  /// The key of its marker.
  public var key: String { ObjectKey.marker(run: run, step: step, id: id) }
  /// The folder of its archive record.
  public var record: String { ObjectKey.record(besides: manifest.key) }

  /// The bytes of its marker.
  ///
  /// Throws `FormatError.tooLarge` where labels, note and metrics are more than a marker can hold, with `room` bytes left in it.
  package func encode(room: Int = 0) throws(FormatError) -> [UInt8] {
    try MetadataCoding.encode(
      self, upTo: Self.largestMarker - room, object: "the marker of \(address)",
      detail: "its labels, note and metrics are more than \(Self.largestMarker) bytes")
  }

  /// Reads a marker and holds it to its own key.
  ///
  /// Throws `FormatError` where it does not decode or says something else than its key does.
  package static func decode(_ bytes: [UInt8], key: String) throws(FormatError) -> Snapshot {
    let snapshot = try MetadataCoding.decode(Snapshot.self, from: bytes, object: key)
    try MetadataCoding.check(format: snapshot.format, object: key)
    // As `ObjectKey.parse` would have it, which takes three times as long.
    guard ObjectKey.isValid(run: snapshot.run), ObjectKey.isSnapshotID(snapshot.id), snapshot.step >= 0,
      snapshot.key.utf8.elementsEqual(key.utf8)
    else {
      throw .invalid(object: key, detail: "it describes another snapshot than its name says")
    }
    guard snapshot.hasPossibleSizes else { throw .invalid(object: key, detail: "its sizes are impossible") }
    guard let digest = ChunkID(hex: snapshot.manifest.sha256)?.bytes,
      snapshot.manifest.key
        == ObjectKey.manifest(run: snapshot.run, step: snapshot.step, id: snapshot.id, digest: digest)
    else { throw .invalid(object: key, detail: "its manifest's name is impossible") }
    return snapshot
  }

  /// Whether its sizes are what a snapshot can have, so that sums of them do not overflow.
  var hasPossibleSizes: Bool {
    [files, bytes, addedBytes].allSatisfy { (0...Self.mostBytes).contains($0) } && manifest.size > 0
  }

  /// No snapshot has more bytes: 1 PiB. Sums over thousands of snapshots stay far from overflowing.
  private static let mostBytes = 1 << 50
}

extension Sequence<Snapshot> {
  /// The snapshots of each run, ordered by the runs' names; names are told apart by their bytes.
  public func byRun() -> [(run: String, snapshots: [Snapshot])] {
    var groups: [[UInt8]: [Snapshot]] = [:]
    // Most come run by run, and a look at the last one costs less than a key.
    var latest: [Snapshot] = []
    func close() {
      guard let run = latest.first?.run else { return }
      groups[Array(run.utf8), default: []] += latest
      latest = []
    }
    for snapshot in self {
      if latest.first?.belongs(to: snapshot.run) == false { close() }
      latest.append(snapshot)
    }
    close()
    return groups.sorted { $0.key.lexicographicallyPrecedes($1.key) }
      .map { (String(decoding: $0.key, as: UTF8.self), $0.value) }
  }
}
