import Platform
import Repository

extension Damage {
  /// Turns lost chunks into damage: which files of which snapshots need them.
  static func of(
    _ losses: [ChunkFetcher.Loss], in snapshots: [(snapshot: Snapshot, manifest: Manifest)]
  ) -> [Damage] {
    var byPack: [String: (kind: Damage.Kind, chunks: Set<ChunkID>)] = [:]
    for loss in losses {
      byPack[loss.pack, default: (loss.kind, [])].chunks.formUnion(loss.chunks.map(\.id))
    }
    return byPack.sorted { $0.key < $1.key }.map { pack, loss in
      let (labels, files) = users(of: pack, in: snapshots) { loss.chunks.contains($0.id) }
      return Damage(object: pack, kind: loss.kind, snapshots: labels, files: files)
    }
  }

  /// The snapshots and files that need chunks of a pack which `isLost` accepts.
  static func users(
    of pack: String, in snapshots: [(snapshot: Snapshot, manifest: Manifest)],
    isLost: (Manifest.ChunkReference) -> Bool = { _ in true }
  ) -> (snapshots: [String], files: [String]) {
    var labels: [String] = []
    var files = Set<String>()
    for (snapshot, manifest) in snapshots {
      guard let index = manifest.packs.firstIndex(where: { $0.key == pack }) else { continue }
      let hurt = manifest.files.filter { $0.chunks.contains { $0.pack == index && isLost($0) } }
      if hurt.isEmpty { continue }
      labels.append(snapshot.label)
      files.formUnion(hurt.map(\.path.display))
    }
    return (labels, files.sorted())
  }
}
