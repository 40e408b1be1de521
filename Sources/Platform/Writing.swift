import CPlatform
import Glibc

// The writing half of the system-call edge: what a restore and a directory store do below an open directory. No call follows a
// symbolic link.

extension OpenDirectory {
  /// A path below this directory as people see it.
  public func display(_ relative: RelativePath) -> String { "\(path)/\(relative.display)" }

  /// Opens a directory below this one and makes what is missing on the way with mode 0700; if `durably`, each entry that was made
  /// is on the disk when the call returns. Throws `SystemError`.
  @discardableResult
  public func makeDirectory(
    _ relative: RelativePath, durably: Bool = false
  ) throws(SystemError) -> OpenDirectory {
    try walk(relative.components[...], on: relative, making: durably ? .durably : .missing)
  }

  /// The directory that holds an entry, without making anything.
  func holder(of relative: RelativePath) throws(SystemError) -> OpenDirectory {
    guard let parent = relative.parent else { return self }
    return try directory(parent)
  }

  /// Opens a file below this directory for writing. `flags` are those of open(2); with O_CREAT missing directories are made too and
  /// the file gets mode 0600. Throws `SystemError`.
  public func openForWriting(_ relative: RelativePath, flags: Int32 = 0) throws(SystemError) -> WritableFile {
    let components = relative.components
    let holder =
      try walk(components.dropLast(), on: relative, making: flags & O_CREAT != 0 ? .missing : .nothing)
    let all = O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags
    let descriptor = ck_openat(holder.descriptor, cName(components.last ?? []), all, 0o600)
    guard descriptor >= 0 else { throw .last("open", display(relative)) }
    return WritableFile(descriptor: descriptor, path: display(relative))
  }

  /// What the file system tells of an entry, links not followed. Throws `SystemError`.
  public func status(of relative: RelativePath) throws(SystemError) -> FileStatus {
    let holder = try holder(of: relative)
    var status = stat()
    guard fstatat(holder.descriptor, cName(relative.components.last ?? []), &status, AT_SYMLINK_NOFOLLOW) == 0
    else {
      throw .last("stat", display(relative))
    }
    return FileStatus(status)
  }

  /// Makes a symbolic link with any bytes as its target, and the directories above it. Throws `SystemError`.
  public func makeLink(_ relative: RelativePath, target: [UInt8]) throws(SystemError) {
    let holder = try walk(relative.components.dropLast(), on: relative, making: .missing)
    guard symlinkat(cName(target), holder.descriptor, cName(relative.components.last ?? [])) == 0 else {
      throw .last("symlink", display(relative))
    }
  }

  /// Removes a file or link. Throws `SystemError`.
  public func remove(_ relative: RelativePath) throws(SystemError) {
    let holder = try holder(of: relative)
    guard unlinkat(holder.descriptor, cName(relative.components.last ?? []), 0) == 0 else {
      throw .last("unlink", display(relative))
    }
  }

  /// Sets an entry's modification time; a link's own, not its target's. Throws `SystemError`.
  public func setModified(_ relative: RelativePath, _ time: Timestamp) throws(SystemError) {
    let holder = try holder(of: relative)
    guard setTime(holder.descriptor, cName(relative.components.last ?? []), time) == 0 else {
      throw .last("utimensat", display(relative))
    }
  }

  /// Sets mode and modification time of this directory itself. Throws `SystemError`.
  public func setAttributes(permissions: UInt32, modified: Timestamp) throws(SystemError) {
    // The time first: a mode without search permission would keep "." from being found.
    guard setTime(descriptor, cName(Array(".".utf8)), modified) == 0 else { throw .last("utimensat", path) }
    guard fchmod(descriptor, permissions) == 0 else { throw .last("chmod", path) }
  }

  /// Makes the directory's entries durable. File systems that cannot sync a directory say EINVAL, and that is all they offer.
  /// Throws `SystemError`.
  public func sync() throws(SystemError) {
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw .last("fsync", path) }
  }
}

private func setTime(_ directory: Int32, _ name: [CChar], _ time: Timestamp) -> Int32 {
  let remainder = time.nanoseconds % 1_000_000_000
  return ck_set_mtime(directory, name, time.seconds, remainder < 0 ? remainder + 1_000_000_000 : remainder)
}

/// A file that is open for writing. It is closed when the last reference goes. Writes carry their own offset.
public final class WritableFile: Sendable {
  /// The open descriptor; it stays this object's.
  public let descriptor: Int32
  /// The file as people know it, for errors.
  public let path: String

  init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  /// The size in bytes now. Throws `SystemError`.
  public func size() throws(SystemError) -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .last("stat", path) }
    return Int(status.st_size)
  }

  /// Gives the file a size; what is added is a hole. Throws `SystemError`.
  public func resize(_ size: Int) throws(SystemError) {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw .last("truncate", path) }
  }

  /// Writes all of `source` at an offset. Throws `SystemError`.
  public func write(_ source: UnsafeRawBufferPointer, at offset: Int) throws(SystemError) {
    guard let base = source.baseAddress else { return }
    var done = 0
    while done < source.count {
      let count = pwrite(descriptor, base + done, source.count - done, off_t(offset + done))
      if count < 0 {
        if errno == EINTR { continue }
        throw .last("write", path)
      }
      done += count
    }
  }

  /// Writes all of some bytes at an offset. Throws `SystemError`.
  public func write(_ bytes: [UInt8], at offset: Int) throws {
    try bytes.withUnsafeBytes { try write($0, at: offset) }
  }

  /// Writes all bytes of a payload at an offset. Throws `SystemError`.
  public func write(_ payload: Payload, at offset: Int) throws {
    var offset = offset
    for slice in payload.slices {
      try slice.withBytes { try write($0, at: offset) }
      offset += slice.count
    }
  }

  /// Sets the permission bits. Throws `SystemError`.
  public func setPermissions(_ permissions: UInt32) throws(SystemError) {
    guard fchmod(descriptor, permissions) == 0 else { throw .last("chmod", path) }
  }

  /// Makes the bytes durable. Throws `SystemError`.
  public func sync() throws(SystemError) {
    guard fsync(descriptor) == 0 else { throw .last("fsync", path) }
  }

  /// Tells the kernel that the file's pages are not needed any more, so that the page cache is left to others.
  public func forgetPages() { posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }
}

extension OpenFile {
  /// Tells the kernel that the file will be read from front to back.
  public func willReadInOrder() { posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL) }

  /// The runs that the file system stores as holes, in order; none where it cannot tell.
  public func holes() -> [Range<Int>] {
    var holes: [Range<Int>] = []
    var position = 0
    while position < size {
      let hole = Int(lseek(descriptor, off_t(position), ck_seek_hole()))
      guard hole >= position, hole < size else { break }
      let data = Int(lseek(descriptor, off_t(hole), ck_seek_data()))
      let end = data > hole ? min(data, size) : size
      holes.append(hole..<end)
      position = end
    }
    return holes
  }
}
