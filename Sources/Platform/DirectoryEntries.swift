import CPlatform
import Glibc

// What is done to the names in an open directory. No call follows a symbolic link.

extension OpenDirectory {
  /// The names in the directory, without `.` and `..`, in no order. Throws `SystemError`.
  public func names() throws(SystemError) -> [[UInt8]] {
    // The stream takes over the descriptor it is given, so it gets one of its own, with a position of its own.
    let copy = ck_openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard copy >= 0 else { throw .last("open", path) }
    guard let stream = fdopendir(copy) else {
      let error = SystemError.last("open", path)
      close(copy)
      throw error
    }
    defer { closedir(stream) }
    var names: [[UInt8]] = []
    let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name) ?? 19
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw .last("read", path) }
        return names
      }
      // The name is read in place: the entry may be shorter than the structure that describes it.
      let pointer = UnsafeRawPointer(entry) + nameOffset
      let name = UnsafeRawBufferPointer(
        start: pointer, count: strlen(pointer.assumingMemoryBound(to: CChar.self)))
      if !name.elementsEqual(".".utf8), !name.elementsEqual("..".utf8) { names.append(Array(name)) }
    }
  }

  /// Gives a file, link or directory below this directory another name below it, in place of a file that had that name. Throws
  /// `SystemError`, `ENOENT` where the new name's directory is not there.
  public func rename(_ old: RelativePath, to new: RelativePath) throws(SystemError) {
    let source = try holder(of: old)
    let target = try holder(of: new)
    let code = renameat(
      source.descriptor, cName(old.components.last ?? []), target.descriptor, cName(new.components.last ?? [])
    )
    guard code == 0 else { throw .last("rename", display(new)) }
  }

  /// Removes an empty directory. Throws `SystemError`.
  public func removeDirectory(_ relative: RelativePath) throws(SystemError) {
    let holder = try holder(of: relative)
    guard unlinkat(holder.descriptor, cName(relative.components.last ?? []), AT_REMOVEDIR) == 0 else {
      throw .last("rmdir", display(relative))
    }
  }

  /// Removes an entry and, where it is a directory, everything below it, whatever the modes are. Links are removed, not followed.
  /// Throws `SystemError`.
  public func removeTree(_ relative: RelativePath) throws(SystemError) {
    guard try status(of: relative).isDirectory else { return try remove(relative) }
    var waiting = [relative]
    while let path = waiting.last {
      try setPermissions(path, 0o700)
      var isEmpty = true
      for name in try directory(path).names() {
        guard let child = try? path.appending(name) else {
          throw SystemError(operation: "unlink", path: display(path), code: ENAMETOOLONG)
        }
        if try status(of: child).isDirectory {
          waiting.append(child)
          isEmpty = false
        } else {
          try remove(child)
        }
      }
      if isEmpty {
        try removeDirectory(path)
        waiting.removeLast()
      }
    }
  }

  /// Sets the permission bits of an entry; a link is not followed. Throws `SystemError`.
  public func setPermissions(_ relative: RelativePath, _ permissions: UInt32) throws(SystemError) {
    let holder = try holder(of: relative)
    let name = cName(relative.components.last ?? [])
    guard fchmodat(holder.descriptor, name, permissions, AT_SYMLINK_NOFOLLOW) == 0 else {
      throw .last("chmod", display(relative))
    }
  }
}
