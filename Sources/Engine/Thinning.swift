import Digests
import ObjectStore
import Platform
import Repository

/// Makes of a snapshot one of its weights alone: a snapshot of its own, named by what it holds, committed like any other. The one
/// that was thinned is for the caller to remove afterwards.
struct Thinning {
  private let repository: Repository
  private let grace: Double

  /// Thinning in a repository; `grace` is its grace period in seconds.
  init(_ repository: Repository, grace: Double) {
    self.repository = repository
    self.grace = grace
  }

  /// Commits what stays of a snapshot, with its labels and its record. No chunk is read or sent.
  ///
  /// - Returns: false where it has to stay whole for now: it has nothing to let go, no record, or a pack of its weights or an object
  ///   of the result is condemned, which a later prune will have settled.
  /// - Throws: `FormatError`, `StoreError`.
  func run(_ snapshot: Snapshot) async throws -> Bool {
    let whole = try await repository.manifest(of: snapshot)
    guard let manifest = whole.thinned,
      var document = try await ArchiveRecord.read(of: snapshot, from: repository)
    else { return false }
    var thin = snapshot
    thin.id = manifest.id
    thin.files = manifest.files.count
    thin.bytes = manifest.bytes
    thin.addedBytes = 0
    thin.thinned = true
    thin.manifest = try await repository.write(manifest)
    document.id = thin.id
    document.resumable = false
    document.keepParts(of: manifest)
    document.remarks.append(
      "The files that only training needs were let go; the checkpoint was the snapshot \(snapshot.id).")
    let (store, folder) = (repository.store, snapshot.record)
    let attachments = document.files.map { file in
      ArchiveRecord.Attachment(name: file.name, role: file.role) {
        try await store.get(folder + file.object, limit: min(max(0, file.size), ArchiveRecord.largestObject))
      }
    }
    document.files = []
    do {
      try await ArchiveRecord(
        snapshot: thin, manifest: manifest, document: document, attachments: attachments
      ).write(to: store)
    } catch StoreError.missing {
      return false
    }
    return try await Commit(repository, grace: grace).run(thin, manifest)
  }
}

extension Manifest {
  /// The same without the files that only training needs, and without packs that only these are in; nil where nothing can be let go
  /// or nothing would be left.
  var thinned: Manifest? {
    let kept = files.filter { $0.fileClass == .weights }
    guard !kept.isEmpty, kept.count < files.count else { return nil }
    let used = Set(kept.flatMap { $0.chunks.map(\.pack) }).sorted()
    let positions = Dictionary(uniqueKeysWithValues: used.enumerated().map { ($1, $0) })
    var thin = self
    thin.packs = used.map { packs[$0] }
    thin.files = kept.map { file in
      var file = file
      for index in file.chunks.indices { file.chunks[index].pack = positions[file.chunks[index].pack] ?? 0 }
      return file
    }
    thin.id = hex(SHA256.hash(thin.sha256Sums).prefix(8))
    return thin
  }
}
