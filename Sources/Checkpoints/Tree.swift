import Platform

/// What lies below a checkpoint's path: every file, link and directory, in the order of their paths.
///
/// The path may name a directory or a single file; a file is then the only entry, under its own name.
public struct Tree: Sendable {
  /// The directory that the entries' paths begin at: the checkpoint itself, or what holds the single file.
  public let root: OpenDirectory
  /// True where the path names a file instead of a directory.
  public let isSingleFile: Bool
  /// Permission bits and time of the root directory itself; nil for a single file.
  public let rootAttributes: Attributes?
  /// Files, links and directories, ordered by path bytewise.
  public let entries: [Entry]
  /// What cannot be backed up, and why, ordered by path bytewise.
  public let skipped: [SkippedEntry]

  /// What a restore sets again.
  public struct Attributes: Equatable, Sendable {
    /// The permission bits: 0...0o7777.
    public let permissions: UInt32
    /// When the content changed last.
    public let modified: Timestamp
  }

  /// One file, link or directory.
  public struct Entry: Equatable, Sendable {
    /// Where it is, below the root.
    public let path: RelativePath
    /// What it is.
    public let kind: Kind
    /// Permission bits and time. A link's permission bits mean nothing.
    public let attributes: Attributes

    /// Its file facts where it is a regular file.
    public var file: FileStatus? { if case .file(let status) = kind { status } else { nil } }
  }

  /// The kinds of entries.
  public enum Kind: Equatable, Sendable {
    /// A regular file.
    case file(FileStatus)
    /// A symbolic link: the bytes it points to, never followed.
    case link(target: [UInt8])
    /// A directory; empty ones would be lost if they were not listed.
    case directory(isEmpty: Bool)
  }

  /// The regular files, in order.
  public var files: [Entry] { entries.filter { $0.file != nil } }
  /// The bytes of all regular files together.
  public var totalBytes: Int { entries.reduce(0) { $0 + ($1.file?.size ?? 0) } }

  /// The entry at a path, or nil.
  public func entry(_ path: RelativePath) -> Entry? {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].path < path { low = middle + 1 } else { high = middle }
    }
    return low < entries.count && entries[low].path == path ? entries[low] : nil
  }
}

/// Something in a checkpoint's tree that is not backed up.
public struct SkippedEntry: Equatable, Sendable {
  /// Where it is, below the root; may be longer than a `RelativePath` allows.
  public let path: [UInt8]
  /// Why it is left out.
  public let reason: Reason

  /// The reasons for leaving something out.
  public enum Reason: Equatable, Sendable {
    /// A socket.
    case socket
    /// A named pipe.
    case fifo
    /// A character or block device.
    case device
    /// This process may not read it, or the file system failed; the operand is the system's words.
    case unreadable(String)
    /// It was there a moment ago and is gone: somebody removes files from the checkpoint.
    case vanished
    /// Its path has more bytes than `RelativePath.maximumLength`.
    case pathTooLong
  }

  /// One sentence for people.
  public var sentence: String {
    let name = escaped(path)
    switch reason {
    case .socket: return "\(name) is a socket and is left out."
    case .fifo: return "\(name) is a named pipe and is left out."
    case .device: return "\(name) is a device and is left out."
    case .unreadable(let words): return "\(name) cannot be read: \(words)."
    case .vanished: return "\(name) disappeared while the checkpoint was read."
    case .pathTooLong:
      return
        "\(name.prefix(80))… has a path of \(path.count) bytes; \(RelativePath.maximumLength) are allowed."
    }
  }
}
