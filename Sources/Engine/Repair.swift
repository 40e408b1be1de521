import ObjectStore
import Platform
import Repository

/// Brings lost and damaged packs back, byte for byte and under their own keys, from chunks that are left of them and chunks that are
/// had from elsewhere.
public struct Repair: Sendable {
  /// A pack that is whole again.
  public struct Repaired: Sendable {
    /// Its key.
    public let pack: String
    /// Bytes of chunks that came from elsewhere.
    public let broughtBytes: Int
    /// The snapshots that need it, as `RUN@STEP (ID)`, ordered.
    public let snapshots: [String]
    /// The files in it, as people read them, ordered.
    public let files: [String]
  }

  /// What a repair did.
  public struct Report: Sendable {
    /// Snapshots that were looked at.
    public var snapshots = 0
    /// Packs that are whole again.
    public var repaired: [Repaired] = []
    /// Packs that a listing or an earlier verify spoke against and whose bytes are right; nothing was done to them.
    public var unharmed: [String] = []
    /// What is still damaged.
    public var remaining: [Damage] = []
    /// Files of which bytes are in neither place, as people read them, ordered: with them, more could be repaired.
    public var wantedFiles: [String] = []
  }

  private let repository: Repository
  private let source: RepairSource
  private let resources: Resources
  private let progress: Progress
  private let part: Int

  /// A repair of a repository; `part` is the size in bytes of a part of a pack's upload.
  public init(
    _ repository: Repository, from source: RepairSource, resources: Resources, progress: Progress,
    part: Int = PackWriter.Sizes.standard.part
  ) {
    self.repository = repository
    self.source = source
    self.resources = resources
    self.progress = progress
    self.part = part
  }

  /// Repairs the packs of all snapshots, or of those that `choose` picks: what a listing shows to be wrong, or with `deep` what
  /// reading every byte does. A pack of which some chunk cannot be had is left as it is.
  ///
  /// - Throws: `FormatError`, `StoreError`, `SystemError`, `CancellationError`; what was repaired by then is kept.
  public func run(
    deep: Bool, choose: @Sendable ([Snapshot]) throws -> [Snapshot] = { $0 }
  ) async throws -> Report {
    let verified = try await Verify(repository, resources: resources, progress: progress)
      .run(deep ? .deep : .quick, choose: choose)
    var report = Report()
    report.snapshots = verified.snapshots
    report.remaining = verified.damages.filter { !$0.object.hasPrefix(ObjectKey.packs) }
    let suspects = verified.damages.filter { $0.object.hasPrefix(ObjectKey.packs) }
    guard !suspects.isEmpty else { return report }

    progress.begin(.repair)
    var manifests: [(snapshot: Snapshot, manifest: Manifest)] = []
    let snapshots = try await repository.snapshots().snapshots
    for (snapshot, result) in try await repository.manifests(of: snapshots) {
      if case .success(let manifest) = result { manifests.append((snapshot, manifest)) }
    }
    let supply = try await ChunkSupply.open(
      source, packs: Set(suspects.map(\.object)), manifests: manifests, resources: resources,
      progress: progress)
    let packs = Dictionary(
      manifests.flatMap(\.manifest.packs).map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    var wanted = Set<String>()
    for damage in suspects {
      guard let pack = packs[damage.object] else {
        report.remaining.append(damage)
        continue
      }
      let repair = PackRepair(
        pack: pack, repository: repository, source: source, supply: supply, manifests: manifests,
        resources: resources, progress: progress, part: part)
      switch try await repair.run() {
      case .unharmed: report.unharmed.append(pack.key)
      case .unknown:
        report.remaining.append(damage)
        continue
      case .lost(let bad, let missing):
        report.remaining += Damage.of(
          [.init(pack: pack.key, kind: damage.kind, chunks: bad)], in: manifests)
        let ids = Set(missing.map(\.id))
        wanted.formUnion(Damage.users(of: pack.key, in: manifests) { ids.contains($0.id) }.files)
        continue
      case .repaired(let bytes):
        let (labels, files) = Damage.users(of: pack.key, in: manifests)
        report.repaired.append(
          Repaired(pack: pack.key, broughtBytes: bytes, snapshots: labels, files: files))
      }
      try await note(pack.key)
    }
    report.wantedFiles = wanted.sorted()
    return report
  }

  /// Writes into the ledger that a pack was read whole and found right.
  private func note(_ pack: String) async throws {
    var (ledger, keys) = try await repository.ledger()
    let found = try await repository.store.head(pack)
    ledger.proofs[pack] = .init(time: repository.surroundings.now(), etag: found?.etag)
    try await repository.write(ledger, replacing: keys)
  }
}
