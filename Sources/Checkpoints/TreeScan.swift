import CPlatform
import Glibc
import Platform

extension Tree {
  /// Lists what lies below `path`, a directory or a regular file. A link in `path` itself is followed, none below it.
  ///
  /// Throws `SystemError` where `path` cannot be opened or is neither directory nor file. What goes wrong further down is
  /// not thrown but told in `skipped`.
  public static func scan(_ path: String) throws(SystemError) -> Tree {
    var status = stat()
    guard stat(path, &status) == 0 else { throw .last("open", path) }
    let facts = FileStatus(status)
    if facts.isDirectory {
      var scan = Scan(root: try OpenDirectory(path))
      return try scan.run()
    }
    guard facts.isFile else { throw SystemError(operation: "open", path: path, code: EINVAL) }
    return try single(path)
  }

  /// A link to a file is resolved first, so that the file is opened under the name it has in its own directory.
  private static func single(_ path: String) throws(SystemError) -> Tree {
    let (root, name) = try OpenDirectory.holding(path)
    let status = try root.open(name).status
    let entry = Entry(path: name, kind: .file(status), attributes: Attributes(status))
    return Tree(root: root, isSingleFile: true, rootAttributes: nil, entries: [entry], skipped: [])
  }
}

extension Tree.Attributes {
  init(_ status: FileStatus) { self.init(permissions: status.permissions, modified: status.modified) }
}

/// One walk over a tree. Directories wait in a list instead of in recursive calls, so that depth costs neither stack nor
/// open descriptors.
private struct Scan {
  let root: OpenDirectory
  var entries: [Tree.Entry] = []
  var skipped: [SkippedEntry] = []
  var waiting: [RelativePath] = []
  /// The directory that was opened last. What lies in it is opened from there, the rest from the root again.
  var recent: (path: RelativePath, directory: OpenDirectory)?

  init(root: OpenDirectory) { self.root = root }

  mutating func run() throws(SystemError) -> Tree {
    let attributes = Tree.Attributes(try root.status())
    let names = try root.names()
    for name in names { look(at: name, in: root, below: nil) }
    while let path = waiting.popLast() { enter(path) }
    entries.sort { $0.path < $1.path }
    skipped.sort { $0.path.lexicographicallyPrecedes($1.path) }
    return Tree(
      root: root, isSingleFile: false, rootAttributes: attributes, entries: entries, skipped: skipped)
  }

  /// Lists a directory, then records it itself, since only then is it known whether it is empty.
  private mutating func enter(_ path: RelativePath) {
    do throws(SystemError) {
      let directory = try open(path)
      recent = (path, directory)
      let attributes = Tree.Attributes(try directory.status())
      let names = try directory.names()
      entries.append(.init(path: path, kind: .directory(isEmpty: names.isEmpty), attributes: attributes))
      for name in names { look(at: name, in: directory, below: path) }
    } catch { skip(path.bytes, error) }
  }

  private func open(_ path: RelativePath) throws(SystemError) -> OpenDirectory {
    if let recent, recent.path == path.parent { return try recent.directory.child(path) }
    return try root.directory(path)
  }

  private mutating func look(at name: [UInt8], in directory: OpenDirectory, below parent: RelativePath?) {
    let raw = (parent.map { $0.bytes + [UInt8(ascii: "/")] } ?? []) + name
    guard let path = try? RelativePath(raw) else {
      skipped.append(SkippedEntry(path: raw, reason: .pathTooLong))
      return
    }
    var status = stat()
    let name = cName(name)
    guard fstatat(directory.descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
      return skip(raw, .last("stat", path.display))
    }
    let facts = FileStatus(status)
    switch mode_t(facts.mode) & S_IFMT {
    case S_IFDIR: waiting.append(path)
    case S_IFREG:
      guard faccessat(directory.descriptor, name, R_OK, AT_EACCESS) == 0 else {
        return skip(raw, .last("open", path.display))
      }
      entries.append(.init(path: path, kind: .file(facts), attributes: .init(facts)))
    case S_IFLNK:
      guard let target = readLink(directory, name) else { return skip(raw, .last("readlink", path.display)) }
      entries.append(.init(path: path, kind: .link(target: target), attributes: .init(facts)))
    case S_IFIFO: skipped.append(SkippedEntry(path: raw, reason: .fifo))
    case S_IFSOCK: skipped.append(SkippedEntry(path: raw, reason: .socket))
    default: skipped.append(SkippedEntry(path: raw, reason: .device))
    }
  }

  private mutating func skip(_ path: [UInt8], _ error: SystemError) {
    skipped.append(SkippedEntry(path: path, reason: error.isMissing ? .vanished : .unreadable(error.reason)))
  }
}

private func readLink(_ directory: OpenDirectory, _ name: [CChar]) -> [UInt8]? {
  var target = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
  let length = readlinkat(directory.descriptor, name, &target, target.count)
  return length < 0 ? nil : target[..<length].map(UInt8.init(bitPattern:))
}
