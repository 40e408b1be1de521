import Glibc
import Platform

/// The files below a root, reached one component at a time without following links. All calls block.
struct DirectoryTree: Sendable {
  /// Where files are written before they get their names.
  static let temporaries = ".ckbackup-tmp"

  let root: String
  let fileMode: mode_t
  let directoryMode: mode_t

  /// A file's directory and its name in it.
  struct Place: ~Copyable {
    let directory: Descriptor
    let name: String
  }

  /// The root. Throws `.noBucket` where it is not there.
  func openRoot() throws -> Descriptor {
    let opened = retrying { open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    guard opened >= 0 else {
      let error = SystemError.last("open", root)
      throw error.isMissing ? StoreError.noBucket(name: root) : error.asStoreError
    }
    return Descriptor(opened)
  }

  /// Makes the root and the directories above it.
  func createRoot() throws {
    var path = root.hasPrefix("/") ? "/" : ""
    for component in root.split(separator: "/") {
      path += component + "/"
      guard mkdir(path, directoryMode) == 0 || errno == EEXIST || errno == EISDIR || errno == EROFS else {
        throw SystemError.last("mkdir", path)
      }
    }
  }

  /// The directory at `components`. Where one is missing it is made if `creating`, and otherwise the call fails with ENOENT or ENOTDIR.
  func directory(_ components: [Substring], creating: Bool = false) throws -> Descriptor {
    var current = try openRoot()
    for (index, component) in components.enumerated() {
      let name = String(component)
      let path = "\(root)/\(components[...index].joined(separator: "/"))"
      do {
        current = try current.open(name, O_RDONLY | O_DIRECTORY, path: path)
      } catch let error as SystemError where creating && error.code == ENOENT {
        guard mkdirat(current.number, name, directoryMode) == 0 || errno == EEXIST else {
          throw SystemError.last("mkdir", path)
        }
        try current.sync(path: path)
        current = try current.open(name, O_RDONLY | O_DIRECTORY, path: path)
      }
    }
    return current
  }

  /// The directory of a key's file, and the file's name in it.
  func parent(_ key: String, creating: Bool = false) throws -> Place {
    let components = key.split(separator: "/")
    let directory = try directory(components.dropLast(), creating: creating)
    return Place(directory: directory, name: String(components.last ?? ""))
  }

  /// The open file of a key, or nil where there is none: nothing, a directory, a link or something else.
  func file(_ key: String) throws -> Descriptor? {
    do {
      let place = try parent(key)
      // Without O_NONBLOCK a pipe of that name would wait for a writer.
      let file = try place.directory.open(place.name, O_RDONLY | O_NONBLOCK, path: path(key))
      guard try file.status(path: path(key)).isFile else { return nil }
      return file
    } catch let error as SystemError where error.isMissing || error.code == ELOOP {
      return nil
    }
  }

  /// Removes a key's file and the directories that it leaves empty. What is not there is no error.
  func remove(_ key: String) throws {
    do {
      let place = try parent(key)
      guard unlinkat(place.directory.number, place.name, 0) == 0 || errno == ENOENT || errno == EISDIR else {
        throw SystemError.last("unlink", path(key))
      }
    } catch let error as SystemError where error.isMissing || error.code == ELOOP {
      return
    }
    var components = key.split(separator: "/")
    while components.count > 1 {
      components.removeLast()
      guard let place = try? parent(components.joined(separator: "/")),
        unlinkat(place.directory.number, place.name, AT_REMOVEDIR) == 0
      else { return }
    }
  }

  /// Every file whose key begins with `prefix`, ordered by key bytewise.
  func list(_ prefix: String) throws -> [ObjectInfo] {
    var found: [ObjectInfo] = []
    var waiting: [[Substring]] = [[]]
    while let components = waiting.popLast() {
      let above = components.map { $0 + "/" }.joined()
      guard let directory = try existing(components) else { continue }
      for name in try directory.names(path: path(above)) {
        let key = above + name
        guard isKey(key), key != Self.temporaries else { continue }
        // Worth a look: it lies under the prefix, or the prefix lies under it.
        guard key.hasBytePrefix(prefix) || prefix.hasBytePrefix(key + "/") else { continue }
        var status = stat()
        guard fstatat(directory.number, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
          if errno == ENOENT { continue }
          throw SystemError.last("stat", path(key))
        }
        if status.st_mode & S_IFMT == S_IFDIR {
          waiting.append(components + [Substring(name)])
        } else if status.isFile, key.hasBytePrefix(prefix) {
          found.append(
            ObjectInfo(key: key, size: Int(status.st_size), etag: nil, modified: status.modified))
        }
      }
    }
    return found.sorted { $0.key.precedesBytewise($1.key) }
  }

  /// How errors name a key's file.
  func path(_ key: String) -> String { "\(root)/\(key)" }

  /// A directory that may be gone by the time that it is looked at; the root may not.
  private func existing(_ components: [Substring]) throws -> Descriptor? {
    do {
      return try directory(components)
    } catch let error as SystemError where error.isMissing || error.code == ELOOP {
      return nil
    }
  }
}

extension SystemError {
  var asStoreError: StoreError { isNoSpace ? .full(detail: "\(path): \(reason)") : .system(self) }
}
