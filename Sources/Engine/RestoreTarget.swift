import CPlatform
import Glibc
import Platform
import Repository

/// The place where a restore builds: a hidden directory beside the target, renamed to the target when everything is in it.
final class RestoreTarget: Sendable {
  /// What the user asked for.
  let path: String
  /// Where it is built.
  let partialPath: String
  /// The directory that is being built.
  let root: OpenDirectory
  private let single: RelativePath?
  private let overwrite: Bool

  /// Takes the place: makes the hidden directory or goes on with the one that an earlier restore of this snapshot left.
  ///
  /// - Parameter single: the file's name where the target is one file.
  /// - Throws: `EngineError.targetExists`, `.targetBusy`, `SystemError`.
  init(path given: String, snapshot: Snapshot, single: RelativePath?, overwrite: Bool) throws {
    var path = given
    if let single, Self.isDirectory(given) || given.hasSuffix("/") {
      path = given + (given.hasSuffix("/") ? "" : "/") + String(decoding: single.bytes, as: UTF8.self)
    }
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    let (parent, name) = PathText.split(path)
    guard !name.isEmpty, name != ".", name != ".." else {
      throw EngineError.badTarget(path: given)
    }
    if Self.isMountPoint(path, in: parent) { throw EngineError.targetIsMountPoint(path: path) }
    if !overwrite, Self.isOccupied(path) { throw EngineError.targetExists(path: path) }
    try Self.makeDirectories(parent)
    self.path = path
    self.single = single
    self.overwrite = overwrite
    partialPath = Self.partialPath(path, snapshot)
    if mkdir(partialPath, 0o700) != 0, errno != EEXIST { throw SystemError.last("mkdir", partialPath) }
    // Not through a link that somebody put there.
    let holder = try OpenDirectory(parent)
    root = try holder.directory(RelativePath(PathText.split(partialPath).name))
    // The lock is the kernel's: it ends with the process, however that ends.
    guard flock(root.descriptor, LOCK_EX | LOCK_NB) == 0 else { throw EngineError.targetBusy(path: path) }
    try checkOwner()
    // What an earlier restore had finished or replaced when it ended.
    try? holder.removeTree(RelativePath(PathText.split(Self.finishedPath(partialPath)).name))
  }

  /// The directory must be ours, and still be the one with that name: another restore may have published it before it was locked.
  private func checkOwner() throws {
    var (opened, named) = (stat(), stat())
    guard fstat(root.descriptor, &opened) == 0, lstat(partialPath, &named) == 0,
      opened.st_ino == named.st_ino,
      opened.st_dev == named.st_dev
    else { throw EngineError.targetBusy(path: path) }
    guard opened.st_uid == geteuid(), fchmod(root.descriptor, 0o700) == 0 else {
      throw SystemError(operation: "use", path: partialPath, code: EPERM)
    }
  }

  /// Free bytes of the file system, as a user without privileges may use them.
  func freeBytes() throws(SystemError) -> Int {
    var status = statvfs()
    guard fstatvfs(root.descriptor, &status) == 0 else { throw .last("statvfs", partialPath) }
    let (bytes, overflow) = Int(clamping: status.f_bavail).multipliedReportingOverflow(
      by: Int(status.f_frsize))
    return overflow ? .max : bytes
  }

  /// Gives the finished directory its name, in one step; what stood there before is removed afterwards.
  ///
  /// On the way it has a name that no restore goes on from: what was there before must never be taken for the remains of a restore.
  func publish() throws {
    let source = single.map { "\(partialPath)/\(String(decoding: $0.bytes, as: UTF8.self))" } ?? partialPath
    let parent = try OpenDirectory(PathText.split(path).parent)
    let finished = Self.finishedPath(partialPath)
    try root.sync()
    guard rename(source, finished) == 0 else { throw SystemError.last("rename", source) }
    if single != nil { rmdir(partialPath) }
    let isReplacing = overwrite && ck_rename_exchange(finished, path) == 0
    if isReplacing {
      try parent.sync()
      try? parent.removeTree(RelativePath(PathText.split(finished).name))
    } else if single != nil, !overwrite {
      try moveUnlessTaken(finished)
    } else if rename(finished, path) != 0 {
      if errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR {
        throw EngineError.targetExists(path: path)
      }
      throw SystemError.last("rename", path)
    }
    try parent.sync()
  }

  /// Gives a file its name where nothing has it by now.
  private func moveUnlessTaken(_ finished: String) throws {
    if ck_rename_no_replace(finished, path) == 0 { return }
    // Not every file system can do that in one call.
    if errno == EINVAL, link(finished, path) == 0 {
      unlink(finished)
      return
    }
    if errno == EEXIST { throw EngineError.targetExists(path: path) }
    throw SystemError.last("rename", path)
  }

  private static func finishedPath(_ partialPath: String) -> String { partialPath + ".done" }

  /// Gives up the place where nothing was built in it yet.
  func releaseIfEmpty() { rmdir(partialPath) }

  /// Removes a directory that was built beside a target, with all that is in it. Throws `SystemError`.
  static func removeTree(_ path: String) throws {
    let (parent, name) = PathText.split(path)
    try OpenDirectory(parent).removeTree(RelativePath(name))
  }

  /// Where a restore of a snapshot to a path is built.
  static func partialPath(_ path: String, _ snapshot: Snapshot) -> String {
    let (parent, name) = PathText.split(path)
    // A name has at most 255 bytes, and what is added takes 28. A letter that is cut in two becomes one of three bytes.
    let beginning = String(decoding: name.utf8.prefix(180), as: UTF8.self)
    return "\(parent)/.\(beginning).ckbackup-\(snapshot.id)"
  }

  /// Whether another file system begins at a path, so that nothing can be renamed to it.
  private static func isMountPoint(_ path: String, in parent: String) -> Bool {
    var (inner, outer) = (stat(), stat())
    return lstat(path, &inner) == 0 && stat(parent, &outer) == 0 && inner.st_dev != outer.st_dev
  }

  private static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Whether something stands at a path that a restore would have to replace. An empty directory is nothing.
  static func isOccupied(_ path: String) -> Bool {
    var status = stat()
    guard lstat(path, &status) == 0 else { return false }
    guard status.st_mode & S_IFMT == S_IFDIR, let directory = try? OpenDirectory(path) else { return true }
    return (try? directory.names().isEmpty) != true
  }

  static func makeDirectories(_ path: String) throws {
    if mkdir(path, 0o777) == 0 || errno == EEXIST || errno == EISDIR { return }
    guard errno == ENOENT else { throw SystemError.last("mkdir", path) }
    try makeDirectories(PathText.split(path).parent)
    if mkdir(path, 0o777) != 0, errno != EEXIST { throw SystemError.last("mkdir", path) }
  }
}
