import CPlatform
import Glibc

/// An open directory, below which files are reached without ever following a symbolic link.
public final class DirectoryHandle: Sendable {
  /// The open descriptor; it closes with this object.
  public let descriptor: Int32
  /// The directory's path as it was opened, for errors.
  public let path: String

  /// Opens a directory by path; links in the path itself are followed, as the user named it.
  public init(_ path: String) throws(SystemError) {
    descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    self.path = path
    guard descriptor >= 0 else { throw .last("open", path) }
  }

  private init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  /// A path below this directory as people see it.
  public func display(_ relative: RelativePath) -> String { "\(path)/\(relative.display)" }

  /// Opens the directory that holds `relative`, component by component. With `create`, missing ones are made with mode 0700.
  public func parent(of relative: RelativePath, create: Bool = false) throws(SystemError) -> DirectoryHandle {
    var current = self
    for component in relative.components.dropLast() {
      current = try current.child(Array(component), create: create)
    }
    return current
  }

  /// Opens a directory below this one.
  public func directory(_ relative: RelativePath, create: Bool = false) throws(SystemError) -> DirectoryHandle {
    try parent(of: relative, create: create).child(relative.lastComponent, create: create)
  }

  private func child(_ name: [UInt8], create: Bool) throws(SystemError) -> DirectoryHandle {
    let shown = "\(path)/\(String(decoding: name, as: UTF8.self))"
    let found = withName(name) { pointer -> Int32 in
      if create, mkdirat(descriptor, pointer, 0o700) != 0, errno != EEXIST { return -1 }
      return ck_openat(descriptor, pointer, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)
    }
    guard found >= 0 else { throw .last("open", shown) }
    return DirectoryHandle(descriptor: found, path: shown)
  }

  /// Opens a file below this directory. `flags` are those of open(2); O_NOFOLLOW and O_CLOEXEC are added.
  public func file(
    _ relative: RelativePath, flags: Int32, mode: UInt32 = 0, createParents: Bool = false
  ) throws(SystemError) -> FileHandle {
    let parent = try parent(of: relative, create: createParents)
    let found = withName(relative.lastComponent) { ck_openat(parent.descriptor, $0, flags | O_NOFOLLOW | O_CLOEXEC, mode) }
    guard found >= 0 else { throw .last("open", display(relative)) }
    return FileHandle(descriptor: found, path: display(relative))
  }

  /// What `fstatat` tells of an entry, links not followed.
  public func status(_ relative: RelativePath) throws(SystemError) -> stat {
    let parent = try parent(of: relative)
    var status = stat()
    let code = withName(relative.lastComponent) { fstatat(parent.descriptor, $0, &status, AT_SYMLINK_NOFOLLOW) }
    guard code == 0 else { throw .last("stat", display(relative)) }
    return status
  }

  /// Makes a symbolic link with any bytes as its target.
  public func makeLink(_ relative: RelativePath, target: [UInt8]) throws(SystemError) {
    let parent = try parent(of: relative, create: true)
    let code = withName(target) { target in
      withName(relative.lastComponent) { symlinkat(target, parent.descriptor, $0) }
    }
    guard code == 0 else { throw .last("symlink", display(relative)) }
  }

  /// Removes a file or link.
  public func remove(_ relative: RelativePath) throws(SystemError) {
    let parent = try parent(of: relative)
    guard withName(relative.lastComponent, { unlinkat(parent.descriptor, $0, 0) }) == 0 else {
      throw .last("unlink", display(relative))
    }
  }

  /// Sets an entry's modification time in nanoseconds since 1970; a link's own, not its target's.
  public func setModified(_ relative: RelativePath, nanoseconds: Int64) throws(SystemError) {
    let parent = try parent(of: relative)
    let seconds = nanoseconds.floorDivided(by: 1_000_000_000)
    let code = withName(relative.lastComponent) {
      ck_set_mtime(parent.descriptor, $0, seconds, nanoseconds - seconds * 1_000_000_000)
    }
    guard code == 0 else { throw .last("utimensat", display(relative)) }
  }

  /// Sets mode and modification time of this directory itself.
  public func setAttributes(mode: UInt16, modified nanoseconds: Int64) throws(SystemError) {
    let seconds = nanoseconds.floorDivided(by: 1_000_000_000)
    guard fchmod(descriptor, mode_t(mode)) == 0 else { throw .last("chmod", path) }
    guard ck_set_mtime(descriptor, ".", seconds, nanoseconds - seconds * 1_000_000_000) == 0 else {
      throw .last("utimensat", path)
    }
  }

  /// Makes the directory's entries durable.
  public func sync() throws(SystemError) {
    guard fsync(descriptor) == 0 else { throw .last("fsync", path) }
  }
}

/// An open file; it closes with this object. Reads and writes carry their own offset, so threads may share it.
public final class FileHandle: Sendable {
  /// The open descriptor.
  public let descriptor: Int32
  /// The file's path for errors.
  public let path: String

  /// Takes over an open descriptor.
  public init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  /// What `fstat` tells.
  public func status() throws(SystemError) -> stat {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .last("stat", path) }
    return status
  }

  /// Reads at an offset until `target` is full or the file ends; gives the number of bytes.
  public func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
    var done = 0
    while done < target.count {
      let got = pread(descriptor, target.baseAddress.map { $0 + done }, target.count - done, off_t(offset + done))
      if got == 0 { break }
      if got < 0 {
        if errno == EINTR { continue }
        throw .last("read", path)
      }
      done += got
    }
    return done
  }

  /// Writes all of `source` at an offset.
  public func write(_ source: UnsafeRawBufferPointer, at offset: Int) throws(SystemError) {
    var done = 0
    while done < source.count {
      let put = pwrite(descriptor, source.baseAddress.map { $0 + done }, source.count - done, off_t(offset + done))
      if put < 0 {
        if errno == EINTR { continue }
        throw .last("write", path)
      }
      done += put
    }
  }

  /// Makes the file's bytes durable.
  public func sync() throws(SystemError) {
    guard fsync(descriptor) == 0 else { throw .last("fsync", path) }
  }

  /// Tells the kernel that a range's pages are not needed any more, so that the page cache is left to others.
  public func forget(_ range: Range<Int>) {
    posix_fadvise(descriptor, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_DONTNEED)
  }

  /// The runs that the file system stores as holes, from SEEK_HOLE and SEEK_DATA; none where it cannot tell.
  public func holes(size: Int) -> [Range<Int>] {
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

/// Lends a file name's bytes as a C string.
func withName<R>(_ name: [UInt8], _ body: (UnsafePointer<CChar>) -> R) -> R {
  (name + [0]).withUnsafeBufferPointer { buffer in
    buffer.withMemoryRebound(to: CChar.self) { characters in
      guard let base = characters.baseAddress else { preconditionFailure("a name has at least its terminator") }
      return body(base)
    }
  }
}

extension stat {
  /// Modification time in nanoseconds since 1970.
  public var modifiedNanoseconds: Int64 {
    let (value, overflow) = Int64(st_mtim.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? (st_mtim.tv_sec < 0 ? .min : .max) : value.addingReportingOverflow(Int64(st_mtim.tv_nsec)).partialValue
  }
}

extension Int64 {
  fileprivate func floorDivided(by divisor: Int64) -> Int64 {
    self >= 0 ? self / divisor : -((-self + divisor - 1) / divisor)
  }
}
