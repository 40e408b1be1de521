import Checkpoints
import Platform

/// The files of a directory that may hold chunks of a snapshot, cut the way a push would cut them.
enum SeedFiles {
  /// The directory and every chunk in it. Files that cannot be read are passed over.
  static func candidates(in path: String, chunkSize: Int) throws -> (
    root: OpenDirectory, candidates: [LocalCandidate]
  ) {
    let tree = try Tree.scan(path)
    var candidates: [LocalCandidate] = []
    for entry in tree.files {
      guard let file = try? tree.root.open(entry.path),
        let cuts = try? CutPlan.chunks(of: file, chunkSize: chunkSize)
      else { continue }
      var offset = 0
      for length in cuts {
        candidates.append(LocalCandidate(path: entry.path, offset: offset, length: length, expected: nil))
        offset += length
      }
    }
    return (tree.root, candidates)
  }
}
