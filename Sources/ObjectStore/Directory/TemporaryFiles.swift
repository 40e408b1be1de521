import Glibc
import Platform

/// Files on their way to their keys, in one directory below the root. Each has two: `ID.data`, and `ID.key` with the key that it
/// will have, so that what a crash left behind can be told and removed. All calls block.
struct TemporaryFiles: Sendable {
  let tree: DirectoryTree

  private enum Kind: String {
    case data, key, clock
  }

  /// Begins a file for a key.
  func begin(_ key: String, id: String) throws {
    let root = try tree.openRoot()
    try root.makeDirectory(try RelativePath(DirectoryTree.temporaries), durably: true)
    try root.openForWriting(try path(id, .key), flags: O_CREAT | O_EXCL).write(Array(key.utf8), at: 0)
    _ = try root.openForWriting(try path(id, .data), flags: O_CREAT | O_EXCL)
  }

  /// Writes bytes at an offset of a file that was begun.
  func write(_ payload: Payload, at offset: Int, _ id: String) throws {
    try tree.openRoot().openForWriting(try path(id, .data)).write(payload, at: offset)
  }

  /// Makes the file `size` bytes long, waits until it is on the disk, and gives it its key's name. False where it never had as many
  /// bytes.
  func publish(_ id: String, as key: String, size: Int) throws -> Bool {
    let root = try tree.openRoot()
    let file = try root.openForWriting(try path(id, .data))
    guard try file.size() >= size else { return false }
    try file.resize(size)
    try file.sync()
    try rename(id, to: try RelativePath(key), in: root)
    try? root.remove(try path(id, .key))
    return true
  }

  /// Removes a file that was begun. One that is not there is no error.
  func discard(_ id: String) throws {
    let root = try tree.openRoot()
    for kind in [Kind.data, .key] { _ = try ifThere { try root.remove(try path(id, kind)) } }
  }

  /// The key of a file that was begun, or nil where there is no such file.
  func key(of id: String) throws -> String? { isID(id) ? try key(of: id, in: tree.openRoot()) : nil }

  /// All files that were begun for keys under a prefix, and when.
  func list(_ prefix: String) throws -> [PendingUpload] {
    let root = try tree.openRoot()
    let directory = try ifThere { try root.directory(try RelativePath(DirectoryTree.temporaries)) }
    var found: [PendingUpload] = []
    for name in try directory?.names() ?? [] {
      let name = String(decoding: name, as: UTF8.self)
      let id = String(name.dropLast(4))
      guard name == "\(id).\(Kind.key)", isID(id), let key = try key(of: id, in: root),
        key.hasBytePrefix(prefix),
        let status = try ifThere({ try root.status(of: try path(id, .key)) })
      else { continue }
      found.append(
        PendingUpload(upload: MultipartUpload(key: key, id: id), started: status.modified))
    }
    return found.sorted { ($0.started, $0.upload.id) < ($1.started, $1.upload.id) }
  }

  /// The time by the file system's own clock: that of a file made just now. Nil where none can be made.
  func clock(id: String) -> Timestamp? {
    guard let root = try? tree.openRoot(), let path = try? path(id, .clock),
      (try? root.openForWriting(path, flags: O_CREAT | O_EXCL)) != nil
    else { return nil }
    defer { try? root.remove(path) }
    return try? root.status(of: path).modified
  }

  private func rename(_ id: String, to key: RelativePath, in root: OpenDirectory) throws {
    // A deletion beside this call may take away the directory that it left empty, even the one just made.
    for attempt in 1... {
      do {
        if let parent = key.parent { try root.makeDirectory(parent, durably: true) }
        try root.rename(try path(id, .data), to: key)
        return try (key.parent.map { try root.directory($0) } ?? root).sync()
      } catch let error as SystemError where error.code == ENOENT && attempt < 5 {}
    }
  }

  private func key(of id: String, in root: OpenDirectory) throws -> String? {
    let file = try ifThere { try root.open(try path(id, .key)) }
    guard let bytes = try file?.bytes(at: 0, count: 1025), let key = String(validating: bytes, as: UTF8.self),
      isKey(key)
    else { return nil }
    return key
  }

  /// Ids become file names, so only what `DirectoryStore` makes may pass.
  private func isID(_ id: String) -> Bool { id.utf8.count == 32 && bytes(hex: id) != nil }

  private func path(_ id: String, _ kind: Kind) throws -> RelativePath {
    try RelativePath("\(DirectoryTree.temporaries)/\(id).\(kind)")
  }
}
