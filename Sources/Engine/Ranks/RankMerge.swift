import Checkpoints
import Digests
import Platform
import Repository

/// The shares of all processes as one snapshot. A pure function of them, so that whoever joins them writes the same bytes.
struct RankMerge: Sendable {
  /// The manifest of all files.
  var manifest: Manifest
  /// The shares, by rank.
  let shares: [StoredShare]
  /// What nobody has, as sentences.
  let absences: [String]

  /// Joins shares that are ordered by rank; there is at least one.
  ///
  /// - Throws: `EngineError.ranksDisagree` where two of them have different content under one path.
  init(_ shares: [StoredShare]) throws(EngineError) {
    let first = shares[0].part.snapshot
    var merged = Manifest(
      id: "", run: first.run, step: first.step, time: shares.map(\.part.snapshot.time).max() ?? first.time,
      kind: .directory, root: shares.lazy.compactMap(\.manifest.root).first, packs: [], files: [], links: [],
      directories: [])
    var packs: [String: Int] = [:]
    var owners: [RelativePath: (rank: Int, content: [UInt8])] = [:]
    /// Whether the entry is new; its content tells it from others.
    func claim(_ path: RelativePath, _ content: [UInt8], _ rank: Int) throws(EngineError) -> Bool {
      guard let owner = owners[path] else {
        owners[path] = (rank, content)
        return true
      }
      guard owner.content == content else {
        throw .ranksDisagree(path: path.display, ranks: [owner.rank, rank])
      }
      return false
    }
    for share in shares {
      let rank = share.share.rank
      for file in share.manifest.files where try claim(file.path, Array("f".utf8) + file.sha256, rank) {
        var file = file
        for index in file.chunks.indices {
          let pack = share.manifest.packs[file.chunks[index].pack]
          if packs[pack.key] == nil {
            packs[pack.key] = merged.packs.count
            merged.packs.append(pack)
          }
          file.chunks[index].pack = packs[pack.key] ?? 0
        }
        merged.files.append(file)
      }
      for link in share.manifest.links where try claim(link.path, Array("l".utf8) + link.target, rank) {
        merged.links.append(link)
      }
      for directory in share.manifest.directories where try claim(directory.path, Array("d".utf8), rank) {
        merged.directories.append(directory)
      }
    }
    merged.files.sort { $0.path < $1.path }
    merged.links.sort { $0.path < $1.path }
    merged.directories.sort { $0.path < $1.path }
    merged.id = hex(SHA256.hash(merged.sha256Sums).prefix(8))
    manifest = merged
    self.shares = shares
    absences = Self.absences(shares, paths: Set(owners.keys.map(\.display)))
  }

  private static func absences(_ shares: [StoredShare], paths: Set<String>) -> [String] {
    let hasWeights = shares.contains(where: \.part.hasWeights)
    var sentences: [String] = []
    var told = Set<String>()
    for absence in shares.flatMap(\.part.absences) {
      if absence.file.map(paths.contains) ?? hasWeights { continue }
      if told.insert(absence.sentence).inserted { sentences.append(absence.sentence) }
    }
    return sentences
  }

  /// The files that somebody sees and nobody has stored.
  func gaps(_ views: some Collection<RankView>) -> Set<RankView.File> {
    let stored = Set(manifest.files.map(\.path))
    return views.reduce(into: []) { $0.formUnion($1.files.filter { !stored.contains($0.path) }) }
  }

  /// The marker of the whole.
  func snapshot(at reference: Snapshot.ManifestReference, replacing former: Snapshot?) -> Snapshot {
    let parts = shares.map(\.part)
    let markers = parts.map(\.snapshot)
    return Snapshot(
      id: manifest.id, run: manifest.run, step: manifest.step, time: manifest.time, kind: .directory,
      layout: markers.lazy.map(\.layout).first { $0 != "plain" } ?? markers[0].layout,
      complete: absences.isEmpty && markers.allSatisfy(\.complete), files: manifest.files.count,
      bytes: manifest.bytes, addedBytes: markers.reduce(0) { $0 + $1.addedBytes },
      metrics: SummaryMetrics(of: Self.metrics(markers), asked: Set(parts.flatMap { $0.askedMetrics ?? [] }))
        .chosen,
      tags: Set(markers.flatMap(\.tags) + (former?.tags ?? [])).sorted(),
      milestone: former?.milestone == true || markers.contains(where: \.milestone),
      note: note.map(Self.summary) ?? former?.note, manifest: reference)
  }

  /// The metrics of all markers; where they differ, that of the lowest rank counts.
  private static func metrics(_ markers: [Snapshot]) -> [String: Double] {
    markers.reduce(into: [:]) { $0.merge($1.metrics) { first, _ in first } }
  }

  /// As much of a note as fits a marker beside all else. Each process has a sentence of its own, and together they may be a book.
  private static func summary(_ note: String) -> String {
    let largest = 64 << 10
    guard note.utf8.count > largest else { return note }
    return String(decoding: note.utf8.prefix(largest), as: UTF8.self) + "…"
  }

  /// What all processes were told to note, each sentence once; nil where that is nothing.
  private var note: String? {
    var notes: [String] = []
    for note in shares.compactMap(\.part.snapshot.note) where !notes.contains(note) { notes.append(note) }
    return notes.isEmpty ? nil : notes.joined(separator: "; ")
  }

  /// The archive record of the whole; its files come from the shares.
  func record(_ snapshot: Snapshot, from repository: Repository) -> ArchiveRecord? {
    let records = shares.compactMap { share in share.record.map { (share, $0) } }
    guard var document = records.first?.1 else { return nil }
    document.id = snapshot.id
    document.time = snapshot.time
    document.layout = snapshot.layout
    document.complete = snapshot.complete
    document.note = note ?? snapshot.note
    document.remarks = absences
    document.worldSize = max(document.worldSize ?? 0, shares.count)
    document.files = []
    var attachments: [ArchiveRecord.Attachment] = []
    var names: [String: Set<String>] = [:]
    for (share, record) in records {
      document.remarks += record.remarks.filter { !document.remarks.contains($0) }
      if share.share != records.first?.0.share { document.add(record) }
      for file in record.files where names[file.name, default: []].insert(file.sha256).inserted {
        var name = file.name
        if names[name, default: []].count > 1 {
          // Of files with one name the first stands for all, but what somebody gave is kept.
          guard share.part.given?.contains(name) == true else { continue }
          name = "rank-\(share.share.rank)-\(name)"
          document.hyperparameters[name] = record.hyperparameters[file.name]
          document.results[name] = record.results[file.name]
        }
        attachments.append(
          .init(name: name, role: file.role) {
            let key = share.share.folder + file.object
            let bytes = try await repository.store.get(key, limit: max(0, min(file.size, 1 << 30)))
            guard hex(SHA256.hash(bytes)) == file.sha256 else {
              throw FormatError.digestMismatch(object: key)
            }
            return bytes
          })
      }
    }
    document.metrics.merge(Self.metrics(shares.map(\.part.snapshot))) { first, _ in first }
    return ArchiveRecord(
      snapshot: snapshot, manifest: manifest, document: document, attachments: attachments)
  }
}
