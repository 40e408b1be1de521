import Glibc
import Platform

/// The files below a root. No link below it is followed. All calls block and throw `SystemError`, or `.noBucket` where the root is
/// not there.
struct DirectoryTree: Sendable {
  /// Where files are written before they get their names.
  static let temporaries = ".ckbackup-tmp"

  let root: String

  /// The root, opened anew for each use: a share that is gone is noticed, and nothing keeps it from being unmounted.
  func openRoot() throws -> OpenDirectory {
    do {
      return try OpenDirectory(root)
    } catch {
      throw error.isMissing ? StoreError.noBucket(name: root) : error.asStoreError
    }
  }

  /// Makes the root and the directories above it.
  func createRoot() throws {
    var path = PathText.isAbsolute(root) ? "/" : ""
    for component in PathText.components(root) {
      path += component + "/"
      guard mkdir(path, 0o700) == 0 || errno == EEXIST || errno == EISDIR || errno == EROFS else {
        throw SystemError.last("mkdir", path)
      }
    }
  }

  /// The open file of a key, or nil where there is none: nothing, a directory, a link or something else.
  func file(_ key: String) throws -> OpenFile? {
    let root = try openRoot()
    return try ifThere { try root.open(try RelativePath(key)) }
  }

  /// Removes a key's file and the directories that it leaves empty. What is not there is no error.
  func remove(_ key: String) throws {
    let root = try openRoot()
    var path = try RelativePath(key)
    do {
      guard try ifThere({ try root.remove(path) }) != nil else { return }
    } catch let error as SystemError where error.code == EISDIR {
      return
    }
    while let parent = path.parent, (try? root.removeDirectory(parent)) != nil { path = parent }
  }

  /// Every file whose key begins with `prefix`, ordered by key bytewise.
  func list(_ prefix: String) throws -> [ObjectInfo] {
    let root = try openRoot()
    var found: [ObjectInfo] = []
    var waiting = [""]
    while let above = waiting.popLast() {
      guard let directory = try above.isEmpty ? root : existing(above, in: root) else { continue }
      for bytes in try directory.names() {
        guard let name = String(validating: bytes, as: UTF8.self) else { continue }
        let key = above.isEmpty ? name : "\(above)/\(name)"
        // Worth a look: it lies under the prefix, or the prefix lies under it.
        guard isKey(key), key != Self.temporaries,
          key.hasBytePrefix(prefix) || prefix.hasBytePrefix(key + "/"),
          let status = try ifThere({ try directory.status(of: try RelativePath(name)) })
        else { continue }
        if status.isDirectory {
          waiting.append(key)
        } else if status.isFile, key.hasBytePrefix(prefix) {
          found.append(ObjectInfo(key: key, size: status.size, etag: nil, modified: status.modified))
        }
      }
    }
    return found.sorted { $0.key.precedesBytewise($1.key) }
  }

  /// A directory that may be gone, or be a link, by the time that it is looked at.
  private func existing(_ key: String, in root: OpenDirectory) throws -> OpenDirectory? {
    try ifThere { try root.directory(try RelativePath(key)) }
  }
}

/// What `body` gives, or nil where it fails since there is no file, or something else in its place.
func ifThere<Result>(_ body: () throws -> Result) throws -> Result? {
  do {
    return try body()
  } catch let error as SystemError where error.isMissing || error.code == ELOOP || error.code == EINVAL {
    return nil
  }
}

extension SystemError {
  var asStoreError: StoreError { isNoSpace ? .full(detail: "\(path): \(reason)") : .system(self) }
}
