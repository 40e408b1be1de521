import Checkpoints
import Digests
import Platform
import Repository

/// What of a snapshot is restored, and where each chunk goes.
struct RestorePlan: Sendable {
  /// A chunk that is needed: where it is stored and all its places.
  struct Need: Sendable {
    let pack: Int
    let offset: Int
    let length: Int
    var destinations: [Destination]
  }

  /// Indices of the manifest's files that are wanted.
  let files: [Int]
  /// Sum of their sizes in bytes.
  let bytes: Int
  /// Their chunks, but for those that are holes.
  let needs: [ChunkID: Need]
  private let links: [Manifest.LinkEntry]
  private let isWhole: Bool

  /// Whether there is nothing to restore.
  var isEmpty: Bool { files.isEmpty && links.isEmpty }

  /// Throws `FormatError.invalid` where a chunk has two lengths, which would leave bytes of a file unwritten.
  init(_ manifest: Manifest, selection: Selection) throws(FormatError) {
    let owners = RankFiles(manifest.files.map(\.path))
    files = manifest.files.indices.filter {
      selection.contains(
        manifest.files[$0].path, fileClass: manifest.files[$0].fileClass, owners: owners)
    }
    bytes = files.reduce(0) { $0 + manifest.files[$1].size }
    links = manifest.links.filter {
      selection.isEverything || selection.contains($0.path, fileClass: .weights, owners: owners)
    }
    isWhole = selection.isEverything
    needs = try Self.needs(of: files, in: manifest)
  }

  private static func needs(of files: [Int], in manifest: Manifest) throws(FormatError) -> [ChunkID: Need] {
    var needs: [ChunkID: Need] = [:]
    var zeros: [Int: ChunkID?] = [:]
    for index in files {
      let file = manifest.files[index]
      var offset = 0
      for chunk in file.chunks {
        defer { offset += chunk.length }
        if file.isHole(offset..<offset + chunk.length) {
          let zero = zeros[chunk.length] ?? ChunkID(SHA256.hash([UInt8](repeating: 0, count: chunk.length)))
          zeros[chunk.length] = zero
          if chunk.id == zero { continue }
        }
        let destination = Destination(file: index, offset: offset)
        let new = Need(pack: chunk.pack, offset: chunk.offset, length: chunk.length, destinations: [])
        guard needs[chunk.id, default: new].length == chunk.length else {
          throw .invalid(
            object: "the manifest of \(manifest.run)@\(manifest.step)",
            detail: "a chunk has two lengths in it")
        }
        needs[chunk.id, default: new].destinations.append(destination)
      }
    }
    return needs
  }

  /// Makes the directory that is built one that this restore can go on from: what is no part of it goes (files of another selection
  /// or size, links, which are made last), and the rest becomes writable.
  func prepareDirectory(_ manifest: Manifest, below root: OpenDirectory) throws {
    let tree = try Tree.scan(root.path)
    let sizes = Dictionary(
      uniqueKeysWithValues: files.map { (manifest.files[$0].path, manifest.files[$0].size) })
    let wanted = directories(of: manifest)
    for entry in tree.skipped { try root.removeTree(RelativePath(entry.path)) }
    for entry in tree.entries where (try? root.status(of: entry.path)) != nil {
      switch entry.kind {
      case .directory where wanted.contains(entry.path): try root.setPermissions(entry.path, 0o700)
      case .file(let status) where sizes[entry.path] == status.size:
        try root.setPermissions(entry.path, 0o600)
      default: try root.removeTree(entry.path)
      }
    }
  }

  /// The directories that this restore makes.
  private func directories(of manifest: Manifest) -> Set<RelativePath> {
    if isWhole { return Set(manifest.directories.map(\.path)) }
    var parents = Set<RelativePath>()
    for path in files.map({ manifest.files[$0].path }) + links.map(\.path) {
      var parent = path.parent
      while let directory = parent, parents.insert(directory).inserted { parent = directory.parent }
    }
    return parents
  }

  /// The chunks that may be in the directory already, with their places.
  func candidates(_ manifest: Manifest, below root: OpenDirectory) -> [(LocalCandidate, Destination)] {
    var candidates: [(LocalCandidate, Destination)] = []
    for index in files {
      let file = manifest.files[index]
      guard let handle = try? root.open(file.path) else { continue }
      let holes = handle.holes()
      var offset = 0
      for chunk in file.chunks {
        let run = offset..<offset + chunk.length
        offset = run.upperBound
        guard needs[chunk.id] != nil,
          !holes.contains(where: { $0.lowerBound <= run.lowerBound && run.upperBound <= $0.upperBound })
        else { continue }
        candidates.append(
          (
            LocalCandidate(path: file.path, offset: run.lowerBound, length: run.count, expected: chunk.id),
            Destination(file: index, offset: run.lowerBound)
          ))
      }
    }
    return candidates
  }

  /// Makes links and directories, and gives everything but the files its mode and time, innermost first.
  func finishTree(_ manifest: Manifest, below root: OpenDirectory) throws {
    for link in links {
      try root.makeLink(link.path, target: link.target)
      try root.setModified(link.path, link.modified)
    }
    let wanted = directories(of: manifest)
    let made = manifest.directories.filter { wanted.contains($0.path) }
    for entry in made { try root.makeDirectory(entry.path).sync() }
    // Innermost first: what is in a directory must be reached before it gets a mode that may forbid that, and does not touch its time.
    for entry in made.sorted(by: { $1.path < $0.path }) {
      try root.directory(entry.path).setAttributes(
        permissions: entry.attributes.permissions, modified: entry.attributes.modified)
    }
    if let attributes = manifest.root {
      try root.setAttributes(permissions: attributes.permissions, modified: attributes.modified)
    }
  }
}
