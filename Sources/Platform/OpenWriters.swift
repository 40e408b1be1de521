import Glibc

/// What tells one file from all others of this machine, whatever its names are.
public struct FileIdentity: Hashable, Sendable {
  /// The file system.
  public let device: UInt64
  /// The file in it.
  public let inode: UInt64

  /// The identity by what the file system tells.
  public init(_ status: FileStatus) {
    device = status.device
    inode = status.inode
  }
}

/// A process that has a file open for writing.
public struct OpenWriter: Equatable, Sendable {
  /// The file.
  public let file: FileIdentity
  /// The process's number.
  public let pid: Int
  /// The name of its program, at most 15 bytes, for example `python3`.
  public let program: String

  /// A writer, as a test describes it.
  public init(file: FileIdentity, pid: Int, program: String) {
    self.file = file
    self.pid = pid
    self.program = program
  }

  /// The other processes of this machine that have one of some files open for writing, as far as `/proc` lets this one see: those of
  /// the same user, or all for root (proc(5)). What cannot be read is passed over.
  ///
  /// - Parameters:
  ///   - files: what is looked for.
  ///   - names: the last components of the files' paths. Only what is open under one of these is asked for its identity, since that
  ///     question would wait for ever on the dead network mount of somebody else's file.
  public static func find(_ files: Set<FileIdentity>, names: Set<[UInt8]>) -> [OpenWriter] {
    guard !files.isEmpty, let processes = try? OpenDirectory("/proc").names() else { return [] }
    let own = Int(getpid())
    return processes.compactMap { Int(String(decoding: $0, as: UTF8.self)) }.filter { $0 != own }.sorted()
      .flatMap { writers(in: $0, files, names) }
  }

  private static func writers(in pid: Int, _ files: Set<FileIdentity>, _ names: Set<[UInt8]>) -> [OpenWriter]
  {
    guard let open = try? OpenDirectory("/proc/\(pid)/fd"), let numbers = try? open.names() else { return [] }
    var found: [OpenWriter] = []
    for number in numbers {
      let entry = cName(number)
      var status = stat()
      // The kernel's own words first: only the last question goes to the file's file system.
      guard let name = target(of: entry, in: open), names.contains(name),
        isForWriting("/proc/\(pid)/fdinfo/\(String(decoding: number, as: UTF8.self))"),
        fstatat(open.descriptor, entry, &status, 0) == 0
      else { continue }
      let file = FileIdentity(FileStatus(status))
      guard files.contains(file), !found.contains(where: { $0.file == file }) else { continue }
      let program = content("/proc/\(pid)/comm").prefix { $0 != UInt8(ascii: "\n") }
      found.append(OpenWriter(file: file, pid: pid, program: escaped(program)))
    }
    return found
  }

  /// The last component of what a descriptor's link shows.
  private static func target(of entry: [CChar], in directory: OpenDirectory) -> [UInt8]? {
    var text = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = readlinkat(directory.descriptor, entry, &text, text.count)
    guard length > 0 else { return nil }
    let bytes = text[..<length].map(UInt8.init(bitPattern:))
    return bytes.lastIndex(of: UInt8(ascii: "/")).map { Array(bytes[($0 + 1)...]) }
  }

  /// Whether the flags of a descriptor, in octal in its `fdinfo`, are those of O_WRONLY or O_RDWR.
  private static func isForWriting(_ path: String) -> Bool {
    for line in content(path).split(separator: UInt8(ascii: "\n")) where line.starts(with: "flags:".utf8) {
      let digits = line.dropFirst(6).filter { (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }
      return Int(String(decoding: digits, as: UTF8.self), radix: 8).map { $0 & Int(O_ACCMODE) != 0 } ?? false
    }
    return false
  }

  /// The first 4 KiB of one of the kernel's own files, which say that they have no size; empty where it cannot be read.
  private static func content(_ path: String) -> [UInt8] {
    guard let file = try? OpenFile(path) else { return [] }
    return [UInt8](unsafeUninitializedCapacity: 4096) { buffer, filled in
      filled = (try? file.read(at: 0, into: UnsafeMutableRawBufferPointer(buffer))) ?? 0
    }
  }
}
