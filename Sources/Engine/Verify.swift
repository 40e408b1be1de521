import Digests
import ObjectStore
import Platform
import Repository
import Synchronization

/// Proves that what the repository says it keeps is there and is right.
public struct Verify: Sendable {
  /// How much is read.
  public enum Depth: Equatable, Sendable {
    /// Existence, size and ETag of every pack, from listings alone.
    case quick
    /// Every byte.
    case deep
    /// Every byte of the packs that were read longest ago, up to so many bytes.
    case budget(Int)
    /// The same, up to a fraction (0...1) of all bytes.
    case sample(Double)
  }

  /// What a verify found.
  public struct Report: Sendable {
    /// Number of snapshots.
    public var snapshots = 0
    /// Number of packs that they need.
    public var packs = 0
    /// Bytes of those packs.
    public var bytes = 0
    /// Packs that were read whole.
    public var readPacks = 0
    /// Bytes that were read.
    public var readBytes = 0
    /// What is wrong.
    public var damages: [Damage] = []
    /// Packs that are missing or damaged, of those that are needed.
    public var faultyPacks = 0
    /// Since when every byte of these packs was read at least once; nil while some never were, where one is missing or damaged, and
    /// where a marker or manifest cannot be read, so that nobody knows all packs.
    public var coveredSince: Timestamp?
    /// Why the ledger could not be written, so that the next verify reads the same again; nil where it could.
    public var ledgerFailure: (any Error)?
    /// Keys of what lies among the markers and is none by its name.
    public var strays: [String] = []
    /// Bytes of packs that nothing needs: remains that a prune will take. 0 where nobody knows what is needed.
    public var unusedBytes = 0
    /// Packs in an archive class, which were asked for and not read; nil where there are none.
    public var frozen: ThawReport?
  }

  private let repository: Repository
  private let resources: Resources
  private let progress: Progress
  private let thaw: ThawWish

  /// A verify of a repository; `thaw` says what to do about packs in an archive class.
  public init(
    _ repository: Repository, resources: Resources, progress: Progress, thaw: ThawWish = ThawWish()
  ) {
    self.thaw = thaw
    self.repository = repository
    self.resources = resources
    self.progress = progress
  }

  /// Verifies all snapshots, or those that `choose` accepts; goes on after each fault.
  public func run(_ depth: Depth, choose: @Sendable ([Snapshot]) throws -> [Snapshot] = { $0 }) async throws
    -> Report
  {
    var report = Report()
    progress.begin(.compare)
    let listing = try await repository.snapshots()
    report.strays = listing.strays
    let chosen = try choose(listing.snapshots)
    if chosen.count == listing.snapshots.count {
      report.damages += listing.unreadable.map { Damage($0, snapshots: []) }
    }
    let allAreKnown = { [unreadable = report.damages.count] (readable: Int) in
      unreadable == 0 && readable == chosen.count
    }
    if chosen.count == listing.snapshots.count {
      // Every push and prune has to read them.
      do { _ = try await repository.deletions() } catch let error as FormatError {
        report.damages.append(Damage(error, snapshots: []))
      }
    }
    var whole: [(snapshot: Snapshot, manifest: Manifest)] = []
    let manifests = try await repository.listed(ObjectKey.manifests)
    if chosen.count == listing.snapshots.count {
      report.damages += try await unlistedMarkers(listing, manifests.values)
    }
    for (snapshot, result) in try await repository.manifests(of: chosen, listed: manifests) {
      switch result {
      case .success(let manifest): whole.append((snapshot, manifest))
      case .failure(let error): report.damages.append(Damage(error, snapshots: [snapshot.label]))
      }
    }
    var (ledger, ledgerKeys) = try await repository.ledger()
    let stored = try await repository.storedPacks()
    let needed = Self.packs(of: whole)
    report.snapshots = chosen.count
    report.packs = needed.count
    report.bytes = needed.values.reduce(0) { $0 + $1.size }
    report.unusedBytes =
      chosen.count == listing.snapshots.count && allAreKnown(whole.count)
      ? stored.values.filter { needed[$0.key] == nil }.reduce(0) { $0 + $1.size } : 0
    report.damages += try await checkRecords(whole, deep: depth != .quick)

    // A pack of the right size is read all the same where the listing or an earlier verify speaks against it: its bytes decide.
    var readable: [Manifest.PackReference] = []
    var faults: [String: Damage.Kind] = [:]
    for (key, reference) in needed.sorted(by: { $0.key < $1.key }) {
      faults[key] = Self.fault(of: reference, stored: stored[key], ledger: ledger)
      if stored[key]?.size == reference.size { readable.append(reference) }
    }
    let chosenPacks = Self.choose(readable, depth, ledger)
    for pack in chosenPacks { faults[pack.key] = nil }
    for (key, kind) in faults.sorted(by: { $0.key < $1.key }) {
      let (labels, files) = Damage.users(of: key, in: whole)
      report.damages.append(Damage(object: key, kind: kind, snapshots: labels, files: files))
    }
    if depth != .quick {
      try await readPacks(chosenPacks, stored, whole, &ledger, &report)
      do {
        try await repository.write(ledger, replacing: ledgerKeys)
      } catch {
        // Whoever may only read still learns what was found.
        try Task.checkCancellation()
        report.ledgerFailure = error
      }
    }
    report.faultyPacks = Set(report.damages.map(\.object)).count { needed[$0] != nil }
    if report.faultyPacks == 0, allAreKnown(whole.count) {
      report.coveredSince = ledger.coveredSince(needed.keys)
    }
    return report
  }

  /// A marker that answers when it is asked for and that no listing shows: its snapshot cannot be verified, nor the listing be believed.
  private func unlistedMarkers(
    _ listing: SnapshotListing, _ manifests: some Sequence<ObjectInfo>
  ) async throws -> [Damage] {
    // What is listed and cannot be read is a fault of its own.
    guard listing.unreadable.isEmpty else { return [] }
    let unlisted = ListingProof.markers(of: manifests).subtracting(listing.snapshots.map(\.key))
    return try await ListingProof.present(unlisted, in: repository.store)
      .filter { ListingProof.isOld($0, at: listing.now) }
      .map {
        let detail = "it is there, and a listing of the store lacks it"
        return Damage(object: $0.key, kind: .unreadable(detail), snapshots: [], files: [])
      }
  }

  /// Every pack that the manifests need, by key.
  private static func packs(
    of manifests: [(snapshot: Snapshot, manifest: Manifest)]
  ) -> [String: Manifest.PackReference] {
    var packs: [String: Manifest.PackReference] = [:]
    for (_, manifest) in manifests { for pack in manifest.packs { packs[pack.key] = pack } }
    return packs
  }

  /// What a listing alone tells to be wrong with a pack.
  ///
  /// Another ETag than the manifest's is no fault where a deep verify has read the pack under that ETag: a bucket that was copied to
  /// another store shows new ones.
  static func fault(
    of reference: Manifest.PackReference, stored: ObjectInfo?, ledger: Ledger
  ) -> Damage.Kind? {
    guard let stored else { return .missing }
    if stored.size != reference.size { return .wrongSize(expected: reference.size, found: stored.size) }
    let proof = ledger.proofs[reference.key]
    if let expected = reference.etag, let found = stored.etag, expected != found, proof?.etag != found {
      return .replaced(expected: expected, found: found)
    }
    return proof?.damaged == true && proof?.etag == stored.etag ? .wrongContent : nil
  }

  /// The packs to read: those never read first, then those read longest ago, up to the budget.
  private static func choose(
    _ packs: [Manifest.PackReference], _ depth: Depth, _ ledger: Ledger
  ) -> [Manifest.PackReference] {
    let total = packs.reduce(0) { $0 + $1.size }
    let budget: Int
    switch depth {
    case .quick: budget = 0
    case .deep: return packs
    case .budget(let bytes): budget = bytes
    case .sample(let fraction): budget = Int((Double(total) * fraction).rounded(.up))
    }
    let age = { (pack: Manifest.PackReference) in
      ledger.proofs[pack.key]?.time ?? Timestamp(nanoseconds: .min)
    }
    var spent = 0
    return packs.sorted { (age($0), $0.key) < (age($1), $1.key) }.prefix { pack in
      defer { spent += pack.size }
      return spent < budget
    }
  }

  /// Reads packs whole: every chunk that their tables or the manifests name. What is proven goes to the ledger.
  private func readPacks(
    _ packs: [Manifest.PackReference], _ stored: [String: ObjectInfo],
    _ manifests: [(snapshot: Snapshot, manifest: Manifest)], _ ledger: inout Ledger, _ report: inout Report
  ) async throws {
    progress.begin(.verify, total: packs.reduce(0) { $0 + $1.size })
    // Whole chunks, not their places: a manifest that names another chunk at a place is held to its own word.
    var wanted: [String: Set<WantedChunk>] = [:]
    for (_, manifest) in manifests {
      for file in manifest.files {
        for chunk in file.chunks {
          wanted[manifest.packs[chunk.pack].key, default: []].insert(
            WantedChunk(id: chunk.id, offset: chunk.offset, length: chunk.length))
        }
      }
    }
    let thaws = Thaws(repository, thaw)
    let fetcher = ChunkFetcher(
      store: repository.store, resources: resources, progress: progress, thaws: thaws)
    var pending = packs
    while !pending.isEmpty {
      try await read(pending, fetcher, wanted, stored, manifests, &ledger, &report)
      report.frozen = thaws.report
      pending = pending.filter { thaws.isAsked($0.key) }
      do {
        guard try await thaws.settle() else { return }
      } catch EngineError.frozen {
        // Everything else is told first.
        return
      }
    }
  }

  /// Reads packs once; what is in an archive class is left out.
  private func read(
    _ packs: [Manifest.PackReference], _ fetcher: ChunkFetcher, _ wanted: [String: Set<WantedChunk>],
    _ stored: [String: ObjectInfo], _ manifests: [(snapshot: Snapshot, manifest: Manifest)],
    _ ledger: inout Ledger, _ report: inout Report
  ) async throws {
    for group in Self.groups(packs, bytes: 8 << 30) {
      let start = repository.surroundings.now()
      var ranges: [FetchRange] = []
      var losses: [ChunkFetcher.Loss] = []
      for pack in group {
        var chunks = wanted[pack.key] ?? []
        do {
          let table = try await repository.table(ofPack: pack.key, size: pack.size)
          for entry in table.entries {
            chunks.insert(WantedChunk(id: entry.id, offset: entry.offset, length: entry.length))
          }
        } catch is FormatError {
          losses.append(.init(pack: pack.key, kind: .wrongContent, chunks: []))
        } catch let error as StoreError {
          guard error.isArchived else { throw error }
          try await fetcher.thaws?.ask(pack.key)
        }
        ranges += FetchRange.ranges(
          of: Array(chunks), in: pack.key, limit: resources.buffers.bufferSize)
      }
      losses += try await fetcher.fetch(ranges) { _, _, _ in }
      let bad = Set(losses.map(\.pack))
      for pack in group where bad.contains(pack.key) || fetcher.thaws?.isAsked(pack.key) != true {
        ledger.proofs[pack.key] = .init(
          time: start, etag: stored[pack.key]?.etag, damaged: bad.contains(pack.key))
        report.readPacks += 1
        report.readBytes += pack.size
      }
      report.damages += Damage.of(losses, in: manifests)
    }
  }

  /// Packs in groups of at least so many bytes, so that the ranges of a huge repository are not all in memory at once.
  private static func groups(_ packs: [Manifest.PackReference], bytes: Int) -> [[Manifest.PackReference]] {
    var groups: [[Manifest.PackReference]] = []
    var size = bytes
    for pack in packs {
      if size >= bytes {
        groups.append([])
        size = 0
      }
      groups[groups.count - 1].append(pack)
      size += pack.size
    }
    return groups
  }

  /// The archive records: from listings, or held to the manifests' and their own digests.
  private func checkRecords(
    _ manifests: [(snapshot: Snapshot, manifest: Manifest)], deep: Bool
  ) async throws -> [Damage] {
    let listed = Set(try await repository.store.list(ObjectKey.records).objects.map(\.key))
    let results = try await concurrently(manifests, limit: 8) { snapshot, manifest -> [Damage] in
      try await ArchiveRecord.faults(of: snapshot, manifest, in: repository, listed: listed, deep: deep)
    }
    return results.flatMap { $0 }
  }
}

extension Damage {
  /// Damage of a metadata object.
  public init(_ error: FormatError, snapshots: [String]) {
    let object: String
    let kind: Kind
    switch error {
    case .missing(let key): (object, kind) = (key, .missing)
    case .digestMismatch(let key): (object, kind) = (key, .wrongContent)
    case .invalid(let key, let detail), .tooLarge(let key, let detail):
      (object, kind) = (key, .unreadable(detail))
    case .newerFormat(let key, let format):
      (object, kind) = (key, .unreadable("it has format \(format), which is newer than this program"))
    case .noRepository(let place), .occupied(let place, _), .exists(let place):
      (object, kind) = (place, .unreadable("it is no repository"))
    }
    self.init(object: object, kind: kind, snapshots: snapshots, files: [])
  }
}
