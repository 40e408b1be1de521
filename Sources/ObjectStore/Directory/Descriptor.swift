import CPlatform
import Glibc
import Platform

/// An open file or directory, closed when its owner is done with it.
struct Descriptor: ~Copyable {
  let number: Int32

  init(_ number: Int32) { self.number = number }

  deinit { close(number) }

  /// Opens `name` below this directory without following a link. `path` names it in errors.
  func open(_ name: String, _ flags: Int32, mode: mode_t = 0, path: String) throws -> Descriptor {
    let opened = retrying { ck_openat(number, name, flags | O_NOFOLLOW | O_CLOEXEC, mode) }
    guard opened >= 0 else { throw SystemError.last("open", path) }
    return Descriptor(opened)
  }

  /// What `fstat` tells.
  func status(path: String) throws -> stat {
    var status = stat()
    guard fstat(number, &status) == 0 else { throw SystemError.last("stat", path) }
    return status
  }

  /// Writes all bytes of a payload from `offset` on.
  func write(_ payload: Payload, at offset: Int, path: String) throws {
    var position = offset
    for slice in payload.slices {
      try slice.withBytes { bytes in
        var rest = bytes[...]
        while !rest.isEmpty {
          let part = UnsafeRawBufferPointer(rebasing: rest)
          let count = retrying { pwrite(number, part.baseAddress, part.count, position) }
          guard count >= 0 else { throw SystemError.last("write", path) }
          position += count
          rest = rest.dropFirst(count)
        }
      }
    }
  }

  /// Fills `target` with the bytes from `offset` on and returns how many there were before the file's end.
  func read(into target: UnsafeMutableRawBufferPointer, at offset: Int, path: String) throws -> Int {
    var filled = 0
    while filled < target.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: target[filled...])
      let count = retrying { pread(number, rest.baseAddress, rest.count, offset + filled) }
      guard count >= 0 else { throw SystemError.last("read", path) }
      if count == 0 { break }
      filled += count
    }
    return filled
  }

  /// Waits until everything written is on the disk. File systems that cannot sync a directory say EINVAL, and that is all they offer.
  func sync(path: String) throws {
    guard retrying({ fsync(number) }) == 0 || errno == EINVAL else { throw SystemError.last("fsync", path) }
  }

  /// The names in this directory, in no order, without `.` and `..`; nil for each that is no UTF-8 is left out.
  func names(path: String) throws -> [String] {
    // The stream gets a descriptor of its own and closes it.
    let copy = ck_openat(number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard copy >= 0 else { throw SystemError.last("open", path) }
    guard let stream = fdopendir(copy) else {
      let error = SystemError.last("open", path)
      close(copy)
      throw error
    }
    defer { closedir(stream) }
    var names: [String] = []
    errno = 0
    while let entry = readdir(stream) {
      let offset = MemoryLayout<dirent>.offset(of: \.d_name) ?? 0
      let start = UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self)
      if let name = String(validatingCString: start), name != ".", name != ".." { names.append(name) }
      errno = 0
    }
    guard errno == 0 else { throw SystemError.last("read", path) }
    return names
  }
}

/// Repeats a call that a signal interrupted.
func retrying<Number: SignedInteger>(_ call: () -> Number) -> Number {
  while true {
    let result = call()
    if result >= 0 || errno != EINTR { return result }
  }
}

extension stat {
  var isFile: Bool { st_mode & S_IFMT == S_IFREG }
  var modified: Timestamp {
    Timestamp(nanoseconds: Timestamp(seconds: Int64(st_mtim.tv_sec)).nanoseconds &+ Int64(st_mtim.tv_nsec))
  }
}
