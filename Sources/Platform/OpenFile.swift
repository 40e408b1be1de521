import CPlatform
import Glibc

/// What the file system tells of a file: enough to copy it exactly and to see whether it changed in between.
public struct FileStatus: Equatable, Sendable {
  /// The size in bytes.
  public let size: Int
  /// The type and permission bits of `st_mode`.
  public let mode: UInt32
  /// When its content changed last.
  public let modified: Timestamp
  /// When its content or its attributes changed last (the kernel's own time, which nobody can set).
  public let changed: Timestamp
  /// With `device`, the file's identity.
  public let inode: UInt64
  /// With `inode`, the file's identity.
  public let device: UInt64
  /// Blocks of 512 bytes that are allocated.
  public let blocks: Int

  /// The facts of a `stat` call.
  public init(_ status: stat) {
    size = Int(status.st_size)
    mode = UInt32(status.st_mode)
    modified = Timestamp(status.st_mtim)
    changed = Timestamp(status.st_ctim)
    inode = UInt64(status.st_ino)
    device = UInt64(status.st_dev)
    blocks = Int(status.st_blocks)
  }

  /// Whether it is the same file as it was at an earlier look, and nothing was written to it since. Its blocks do not count: some
  /// file systems, ext4 for one, allocate them when they write to the disk what the page cache has held since the file was closed.
  public func isUntouched(since earlier: FileStatus) -> Bool {
    size == earlier.size && mode == earlier.mode && modified == earlier.modified
      && changed == earlier.changed && inode == earlier.inode && device == earlier.device
  }

  /// Read, write and execute for owner, group and others, and the set-id and sticky bits: 0...0o7777.
  public var permissions: UInt32 { mode & 0o7777 }
  /// True where fewer bytes are allocated than the file is long: it has holes (or its file system compresses).
  public var isSparse: Bool { blocks < size / 512 }

  package var isFile: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFREG) }
  package var isDirectory: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFDIR) }
  package var isLink: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFLNK) }
}

extension Timestamp {
  package init(_ time: timespec) {
    let whole = Timestamp(seconds: Int64(time.tv_sec)).nanoseconds
    let (sum, overflow) = whole.addingReportingOverflow(Int64(time.tv_nsec))
    self.init(nanoseconds: overflow ? whole : sum)
  }
}

/// A regular file that is open for reading. It is closed when the last reference goes.
public final class OpenFile: Sendable {
  /// The open descriptor; it stays this object's.
  public let descriptor: Int32
  /// The file as people know it, for errors.
  public let path: String
  /// What the file system told when the file was opened.
  public let status: FileStatus

  init(descriptor: Int32, path: String, status: FileStatus) {
    self.descriptor = descriptor
    self.path = path
    self.status = status
  }

  /// Opens a regular file that a user named; links are followed. Throws `SystemError`, `EINVAL` where it is no regular file.
  public convenience init(_ path: String) throws(SystemError) {
    let descriptor = ck_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0)
    guard descriptor >= 0 else { throw .last("open", path) }
    var status = stat()
    let code = fstat(descriptor, &status) == 0 ? 0 : errno
    self.init(descriptor: descriptor, path: path, status: FileStatus(status))
    guard code == 0, self.status.isFile else {
      throw SystemError(operation: "open", path: path, code: code == 0 ? EINVAL : code)
    }
  }

  deinit { close(descriptor) }

  /// The size in bytes when the file was opened.
  public var size: Int { status.size }

  /// Asks the file system again, so that a change since the opening shows. Throws `SystemError`.
  public func currentStatus() throws(SystemError) -> FileStatus {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .last("stat", path) }
    return FileStatus(status)
  }

  /// Fills `target` from byte `offset` on; gives how many bytes were read, fewer than asked only where the file ends.
  ///
  /// Throws `SystemError`.
  public func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
    guard let base = target.baseAddress else { return 0 }
    var done = 0
    while done < target.count {
      let count = pread(descriptor, base + done, target.count - done, offset + done)
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        throw .last("read", path)
      }
      done += count
    }
    return done
  }

  /// The same for bytes that are read once, in long runs: the page cache is left as it was found. What it had of a run, whole, it keeps, since
  /// somebody may use it; what had to be read from the disk it gives up.
  public func readOnce(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int
  {
    let cached = max(0, Int(ck_read_cached(descriptor, target.baseAddress, target.count, Int64(offset))))
    if cached == target.count { return cached }
    let rest = UnsafeMutableRawBufferPointer(rebasing: target[cached...])
    let more = try read(at: offset + cached, into: rest)
    // Where the file has no more, the cache had all of it. The kernel gives up whole pages alone: the one that the run begins in too.
    let start = offset / Int(getpagesize()) * Int(getpagesize())
    if more > 0 {
      posix_fadvise(descriptor, off_t(start), off_t(offset + cached + more - start), POSIX_FADV_DONTNEED)
    }
    return cached + more
  }

  /// The bytes from `offset` on, at most `count`, fewer only where the file ends. Throws `SystemError`.
  public func bytes(at offset: Int, count: Int) throws(SystemError) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: max(0, min(count, size - offset)))
    var failure: SystemError?
    let filled = result.withUnsafeMutableBytes { target in
      do throws(SystemError) { return try read(at: offset, into: target) } catch {
        failure = error
        return 0
      }
    }
    if let failure { throw failure }
    result.removeLast(result.count - filled)
    return result
  }
}

/// A directory that is open, below which files are opened without ever following a symbolic link.
public final class OpenDirectory: Sendable {
  /// The open descriptor; it stays this object's.
  public let descriptor: Int32
  private let base: String
  private let below: RelativePath?

  /// Opens a directory that a user named; links in `path` itself are followed. Throws `SystemError`.
  public convenience init(_ path: String) throws(SystemError) {
    let descriptor = ck_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard descriptor >= 0 else { throw .last("open", path) }
    self.init(descriptor: descriptor, base: path, below: nil)
  }

  /// The directory that a file is in, links in `path` resolved, and the name that the file has there. Throws `SystemError`.
  public static func holding(_ path: String) throws(SystemError) -> (
    directory: OpenDirectory, name: RelativePath
  ) {
    guard let resolved = realpath(path, nil) else { throw .last("open", path) }
    defer { free(resolved) }
    let bytes = UnsafeBufferPointer(start: resolved, count: strlen(resolved)).map { UInt8(bitPattern: $0) }
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")),
      let name = try? RelativePath(bytes[(slash + 1)...])
    else { throw SystemError(operation: "open", path: path, code: EINVAL) }
    let parent = slash == 0 ? bytes[...0] : bytes[..<slash]
    let descriptor = ck_openat(AT_FDCWD, cName(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard descriptor >= 0 else { throw .last("open", path) }
    return (
      OpenDirectory(descriptor: descriptor, base: String(decoding: parent, as: UTF8.self), below: nil), name
    )
  }

  private init(descriptor: Int32, base: String, below: RelativePath?) {
    self.descriptor = descriptor
    self.base = base
    self.below = below
  }

  deinit { close(descriptor) }

  /// The directory as people know it, for errors.
  public var path: String { below.map(shown) ?? base }

  /// The directory's own attributes. Throws `SystemError`.
  public func status() throws(SystemError) -> FileStatus {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .last("stat", path) }
    return FileStatus(status)
  }

  /// Opens a regular file below it for reading.
  ///
  /// Throws `SystemError`: `ELOOP` or `ENOTDIR` where a component is a link, `EINVAL` where it is no regular file. A FIFO
  /// or device in the file's place never blocks the call.
  public func open(_ file: RelativePath) throws(SystemError) -> OpenFile {
    let components = file.components
    let holder = try walk(components.dropLast(), on: file)
    let flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY
    let descriptor = ck_openat(holder.descriptor, cName(components.last ?? []), flags, 0)
    guard descriptor >= 0 else { throw failure("open", file, errno) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let code = errno
      close(descriptor)
      throw failure("stat", file, code)
    }
    let facts = FileStatus(status)
    guard facts.isFile else {
      close(descriptor)
      throw failure("open", file, EINVAL)
    }
    return OpenFile(descriptor: descriptor, path: shown(file), status: facts)
  }

  /// Opens a directory below it. Throws `SystemError`, `ELOOP` or `ENOTDIR` where a component is a link.
  public func directory(_ path: RelativePath) throws(SystemError) -> OpenDirectory {
    try walk(path.components[...], on: path)
  }

  /// Opens the directory that is `path` below the root, where this one is `path.parent` below the root.
  package func child(_ path: RelativePath) throws(SystemError) -> OpenDirectory {
    try walk(path.components.suffix(1), on: path)
  }

  /// What `walk` makes on its way.
  enum Making {
    case nothing
    case missing
    /// What is missing, and its entry is synced to the disk.
    case durably
  }

  /// Opens one directory after the other, none through a link, `making` those that are missing; `path` is what the user asked for.
  func walk(
    _ components: ArraySlice<ArraySlice<UInt8>>, on path: RelativePath, making: Making = .nothing
  ) throws(SystemError) -> OpenDirectory {
    var current = self
    for component in components {
      let name = cName(component)
      if making != .nothing {
        if mkdirat(current.descriptor, name, 0o700) == 0 {
          if making == .durably { try current.sync() }
        } else if errno != EEXIST {
          throw failure("mkdir", path, errno)
        }
      }
      let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
      let descriptor = ck_openat(current.descriptor, name, flags, 0)
      guard descriptor >= 0 else { throw failure("open", path, errno) }
      current = OpenDirectory(descriptor: descriptor, base: base, below: path)
    }
    return current
  }

  private func shown(_ path: RelativePath) -> String { base + "/" + path.display }

  private func failure(_ operation: String, _ path: RelativePath, _ code: Int32) -> SystemError {
    SystemError(operation: operation, path: shown(path), code: code)
  }
}

/// The bytes of a name as the C library takes them.
package func cName(_ bytes: some Collection<UInt8>) -> [CChar] { bytes.map { CChar(bitPattern: $0) } + [0] }
