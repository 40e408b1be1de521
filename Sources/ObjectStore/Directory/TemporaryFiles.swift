import CPlatform
import Glibc
import Platform

/// Files on their way to their keys, in one directory below the root. Each has two: `ID.data`, and `ID.key` with the key that it
/// will have, so that what a crash left behind can be told and removed. All calls block.
struct TemporaryFiles: Sendable {
  let tree: DirectoryTree

  /// Begins a file for a key.
  func begin(_ key: String, id: String) throws {
    let directory = try open(creating: true)
    let flags = O_WRONLY | O_CREAT | O_EXCL
    try directory.open("\(id).key", flags, mode: tree.fileMode, path: path(id))
      .write(Payload(Array(key.utf8)), at: 0, path: path(id))
    _ = try directory.open("\(id).data", flags, mode: tree.fileMode, path: path(id))
  }

  /// Writes bytes at an offset of a file that was begun.
  func write(_ payload: Payload, at offset: Int, _ id: String) throws {
    try open().open("\(id).data", O_WRONLY, path: path(id)).write(payload, at: offset, path: path(id))
  }

  /// Makes the file `size` bytes long, waits until it is on the disk, and gives it its key's name. Nil where it never had as many
  /// bytes.
  func publish(_ id: String, as key: String, size: Int) throws -> Bool {
    let directory = try open()
    let file = try directory.open("\(id).data", O_WRONLY, path: path(id))
    guard try file.status(path: path(id)).st_size >= size else { return false }
    guard ftruncate(file.number, size) == 0 else { throw SystemError.last("truncate", path(id)) }
    try file.sync(path: path(id))
    try rename(from: directory, id, to: key)
    unlinkat(directory.number, "\(id).key", 0)
    return true
  }

  /// Removes a file that was begun. One that is not there is no error.
  func discard(_ id: String) throws {
    do {
      let directory = try open()
      for name in ["\(id).data", "\(id).key"] {
        guard unlinkat(directory.number, name, 0) == 0 || errno == ENOENT else {
          throw SystemError.last("unlink", path(id))
        }
      }
    } catch let error as SystemError where error.isMissing {}
  }

  /// The key of a file that was begun, or nil where there is no such file.
  func key(of id: String) throws -> String? {
    guard isID(id) else { return nil }
    do {
      return try open().key(of: id, path: path(id))
    } catch let error as SystemError where error.isMissing {
      return nil
    }
  }

  /// All files that were begun for keys under a prefix, and when.
  func list(_ prefix: String) throws -> [PendingUpload] {
    guard let directory = try? open() else { return [] }
    var found: [PendingUpload] = []
    for name in try directory.names(path: tree.path(DirectoryTree.temporaries)) where name.hasSuffix(".key") {
      let id = String(name.dropLast(4))
      guard isID(id), let key = try? directory.key(of: id, path: path(id)), key.hasBytePrefix(prefix) else {
        continue
      }
      var status = stat()
      guard fstatat(directory.number, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
      found.append(
        PendingUpload(upload: MultipartUpload(key: key, id: id), started: status.modified))
    }
    return found.sorted { ($0.started, $0.upload.id) < ($1.started, $1.upload.id) }
  }

  /// The time by the file system's own clock: that of a file made just now. Nil where none can be made.
  func clock(id: String) -> Timestamp? {
    guard let directory = try? open(creating: true),
      let file = try? directory.open(
        "\(id).clock", O_WRONLY | O_CREAT | O_EXCL, mode: tree.fileMode, path: "")
    else { return nil }
    defer { unlinkat(directory.number, "\(id).clock", 0) }
    return try? file.status(path: "").modified
  }

  private func open(creating: Bool = false) throws -> Descriptor {
    try tree.directory([Substring(DirectoryTree.temporaries)], creating: creating)
  }

  private func rename(from directory: borrowing Descriptor, _ id: String, to key: String) throws {
    // A deletion beside this call may take away the directory that it left empty, even the one just opened.
    for attempt in 1... {
      do {
        let place = try tree.parent(key, creating: true)
        guard renameat(directory.number, "\(id).data", place.directory.number, place.name) == 0 else {
          throw SystemError.last("rename", tree.path(key))
        }
        return try place.directory.sync(path: tree.path(key))
      } catch let error as SystemError where error.code == ENOENT && attempt < 5 {}
    }
  }

  /// Ids become file names, so only what `DirectoryStore` makes may pass.
  private func isID(_ id: String) -> Bool { id.utf8.count == 32 && bytes(hex: id) != nil }

  private func path(_ id: String) -> String { tree.path("\(DirectoryTree.temporaries)/\(id)") }
}

extension Descriptor {
  fileprivate func key(of id: String, path: String) throws -> String? {
    var bytes = [UInt8](repeating: 0, count: 1025)
    let file = try open("\(id).key", O_RDONLY | O_NONBLOCK, path: path)
    let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0, path: path) }
    guard let key = String(validating: bytes.prefix(count), as: UTF8.self), isKey(key) else { return nil }
    return key
  }
}
