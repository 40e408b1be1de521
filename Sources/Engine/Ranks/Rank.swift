import Checkpoints
import Digests
import ObjectStore
import Platform
import Repository

extension Push {
  /// Which of many processes a push is, where these push one checkpoint together.
  public struct Rank: Equatable, Sendable {
    /// Its number, from 0.
    public var rank: Int
    /// How many processes there are.
    public var worldSize: Int
    /// What the processes of one job have in common and no other job has; may be empty.
    public var group: String
    /// How long to wait for the others to say which files they see, in seconds.
    public var patience: Double

    /// A process of so many.
    public init(_ rank: Int, of worldSize: Int, group: String = "", patience: Double = 60) {
      self.rank = rank
      self.worldSize = worldSize
      self.group = group
      self.patience = patience
    }
  }
}

extension CheckpointSource {
  /// The files that are seen here.
  var view: RankView {
    RankView(files.map { .init(path: $0.path, size: $0.status.size, modified: $0.status.modified) })
  }

  /// Stores what belongs to a share beside its packs, `part.json` last; the manifest tells of the files that are in the packs. Its
  /// record tells of the checkpoint where the process is the `first` with its view, else only of the files that the user gave here.
  func write(
    _ manifest: Manifest, addedBytes: Int, view: String, isFirst: Bool, as share: RankShare,
    to repository: Repository
  ) async throws {
    let reference = try await repository.write(manifest, of: share)
    let snapshot = snapshot(of: manifest, addedBytes: addedBytes, at: reference, replacing: nil)
    let withRecord = isFirst || !givenNames.isEmpty
    if withRecord {
      let record = record(snapshot, manifest, onlyGiven: !isFirst)
      var document = record.document
      for (index, attachment) in record.attachments.enumerated() {
        let bytes = try await attachment.read()
        let name = RankShare.attachment(index)
        try await repository.store.put(share.folder + name, Payload(bytes))
        document.files.append(
          .init(
            name: attachment.name, role: attachment.role, object: name, size: bytes.count,
            sha256: hex(SHA256.hash(bytes))))
      }
      try await repository.store.put(share.record, Payload(try ArchiveRecord.encode(document)))
    }
    let absences = inspection.defects.filter(\.isAbsence).map { defect in
      RankPart.Absence(file: defect.file?.display, sentence: defect.sentence)
    }
    let part = RankPart(
      view: view, snapshot: snapshot, hasWeights: inspection.findings.parts[.weights] != nil,
      absences: absences, hasRecord: withRecord,
      askedMetrics: askedMetrics.isEmpty ? nil : askedMetrics.sorted(),
      given: givenNames.isEmpty ? nil : givenNames)
    try await repository.write(part, of: share)
  }
}
