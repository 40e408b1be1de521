import Checkpoints
import Digests
import Platform
import Repository

/// A directory or file on this machine, held to a snapshot without a download: the manifest has every file's SHA-256.
public struct LocalComparison: Sendable {
  /// A difference.
  public struct Difference: Equatable, Sendable {
    /// The kinds of differences.
    public enum Kind: Equatable, Sendable {
      /// The snapshot has it and the directory does not.
      case missing
      /// The directory has it and the snapshot does not.
      case extra
      /// It is something else: a link instead of a file, for example.
      case otherKind
      /// Its size in bytes differs.
      case size(expected: Int, found: Int)
      /// Its bytes, or a link's target, differ.
      case content
      /// Its permission bits differ.
      case permissions(expected: UInt32, found: UInt32)
      /// It cannot be read; the operand is the system's words.
      case unreadable(String)
    }
    /// Where it is, below the root.
    public let path: RelativePath
    /// What is different.
    public let kind: Kind
  }

  private let repository: Repository
  private let resources: Resources
  private let progress: Progress

  /// A comparison with snapshots of a repository.
  public init(_ repository: Repository, resources: Resources, progress: Progress) {
    self.repository = repository
    self.resources = resources
    self.progress = progress
  }

  /// Reads every file below `path` and gives what differs from the snapshot, ordered by path. Times are not compared.
  ///
  /// - Throws: `FormatError` where the manifest cannot be read, `SystemError` where `path` cannot be opened, `StoreError`.
  public func run(_ snapshot: Snapshot, at path: String) async throws -> [Difference] {
    progress.begin(.prepare)
    let manifest = try await repository.manifest(of: snapshot)
    let tree = try await resources.disk.run { try Tree.scan(path) }
    progress.begin(.verify, total: manifest.bytes)
    var differences = others(manifest, tree)
    // A single file is compared under whatever name it has here.
    let isSingle = tree.isSingleFile && manifest.kind == .file
    let files = manifest.files.map { ($0, isSingle ? tree.entries.first : tree.entry($0.path)) }
    differences += try await concurrently(files, limit: resources.batchBuffers) { file, entry in
      let difference = try await resources.disk.run { compare(file, entry, below: tree.root) }
      progress.add(done: file.size)
      return difference
    }.compactMap { $0 }
    return differences.sorted { $0.path < $1.path }
  }

  /// Links, directories, and what the snapshot does not have.
  private func others(_ manifest: Manifest, _ tree: Tree) -> [Difference] {
    var differences: [Difference] = []
    /// What is there and cannot be read, by path: a directory that nobody may search, for example.
    var unreadable: [[UInt8]: String] = [:]
    for entry in tree.skipped {
      if case .unreadable(let words) = entry.reason { unreadable[entry.path] = words }
    }
    func compare(_ path: RelativePath, _ fits: (Tree.Kind) -> Difference.Kind?) {
      let absent = unreadable[path.bytes].map(Difference.Kind.unreadable) ?? .missing
      let kind = tree.entry(path).map { fits($0.kind) } ?? absent
      if let kind { differences.append(.init(path: path, kind: kind)) }
    }
    for link in manifest.links {
      compare(link.path) { kind in
        guard case .link(let target) = kind else { return .otherKind }
        return target == link.target ? nil : .content
      }
    }
    for directory in manifest.directories {
      compare(directory.path) { kind in if case .directory = kind { nil } else { .otherKind } }
    }
    guard !tree.isSingleFile else { return differences }
    let known = Set(
      manifest.files.map(\.path) + manifest.links.map(\.path) + manifest.directories.map(\.path))
    differences += tree.entries.filter { !known.contains($0.path) }.map { .init(path: $0.path, kind: .extra) }
    return differences
  }

  private func compare(
    _ file: Manifest.FileEntry, _ entry: Tree.Entry?, below root: OpenDirectory
  ) -> Difference? {
    func different(_ kind: Difference.Kind) -> Difference { .init(path: file.path, kind: kind) }
    guard let entry else { return different(.missing) }
    guard let status = entry.file else { return different(.otherKind) }
    guard status.size == file.size else { return different(.size(expected: file.size, found: status.size)) }
    do throws(SystemError) {
      guard try digest(of: root.open(entry.path)) == file.sha256 else { return different(.content) }
    } catch {
      return different(.unreadable(error.reason))
    }
    let (expected, found) = (file.attributes.permissions, entry.attributes.permissions)
    return expected & 0o777 == found & 0o777 ? nil : different(.permissions(expected: expected, found: found))
  }

  private func digest(of file: OpenFile) throws(SystemError) -> [UInt8] {
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { block.deallocate() }
    var digest = SHA256()
    var offset = 0
    while true {
      let count = try file.readOnce(at: offset, into: block)
      if count == 0 { return digest.finish() }
      digest.update(UnsafeRawBufferPointer(rebasing: block[..<count]))
      offset += count
    }
  }
}
