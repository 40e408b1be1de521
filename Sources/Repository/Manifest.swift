import Platform

/// Where each byte of each file of a snapshot is: all that a restore needs besides the packs.
public struct Manifest: Equatable, Sendable {
  /// The snapshot's id.
  public var id: String
  /// The run.
  public var run: String
  /// The training step.
  public var step: Int
  /// When it was pushed, to the second.
  public var time: Timestamp
  /// Directory or file.
  public var kind: Snapshot.Kind
  /// Mode and mtime of the directory itself; nil where a single file was pushed.
  public var root: Attributes?
  /// Every pack that holds a chunk of it.
  public var packs: [PackReference]
  /// Regular files, ordered by path.
  public var files: [FileEntry]
  /// Symbolic links, ordered by path.
  public var links: [LinkEntry]
  /// Directories below the root, empty ones too, ordered by path.
  public var directories: [DirectoryEntry]

  /// A manifest of all its parts.
  public init(
    id: String, run: String, step: Int, time: Timestamp, kind: Snapshot.Kind, root: Attributes?,
    packs: [PackReference], files: [FileEntry], links: [LinkEntry], directories: [DirectoryEntry]
  ) {
    self.id = id
    self.run = run
    self.step = step
    self.time = time
    self.kind = kind
    self.root = root
    self.packs = packs
    self.files = files
    self.links = links
    self.directories = directories
  }

  /// Permission bits and modification time of a file or directory.
  public struct Attributes: Equatable, Sendable {
    /// Permissions, set-id and sticky bits: 0...0o7777.
    public var permissions: UInt32
    /// When the content changed last.
    public var modified: Timestamp

    /// Permission bits and a modification time.
    public init(permissions: UInt32, modified: Timestamp) {
      self.permissions = permissions
      self.modified = modified
    }
  }

  /// A pack that chunks are in.
  public struct PackReference: Equatable, Hashable, Sendable {
    /// Its key.
    public var key: String
    /// Its size in bytes.
    public var size: Int
    /// The ETag that the store listed after it was written, or nil where the store has none.
    public var etag: String?
    /// What its chunks are needed for.
    public var fileClass: FileClass

    /// A pack as it stands in the store.
    public init(key: String, size: Int, etag: String?, fileClass: FileClass) {
      self.key = key
      self.size = size
      self.etag = etag
      self.fileClass = fileClass
    }
  }

  /// One chunk of a file and where it is stored.
  public struct ChunkReference: Equatable, Sendable {
    /// The SHA-256 of its bytes.
    public var id: ChunkID
    /// Index into the manifest's packs.
    public var pack: Int
    /// Where in the pack it begins, in bytes.
    public var offset: Int
    /// Its length in bytes.
    public var length: Int

    /// A chunk at its place.
    public init(id: ChunkID, pack: Int, offset: Int, length: Int) {
      self.id = id
      self.pack = pack
      self.offset = offset
      self.length = length
    }
  }

  /// A regular file.
  public struct FileEntry: Equatable, Sendable {
    /// Its path below the root.
    public var path: RelativePath
    /// Its size in bytes.
    public var size: Int
    /// Mode and modification time.
    public var attributes: Attributes
    /// SHA-256 of the whole file.
    public var sha256: [UInt8]
    /// MD5 of the whole file.
    public var md5: [UInt8]
    /// What it is needed for.
    public var fileClass: FileClass
    /// Runs that the file system stored as holes, in order; they read as zeros.
    public var holes: [Range<Int>]
    /// Its chunks in order; together they are the file.
    public var chunks: [ChunkReference]

    /// A file with its digests and chunks.
    public init(
      path: RelativePath, size: Int, attributes: Attributes, sha256: [UInt8], md5: [UInt8],
      fileClass: FileClass,
      holes: [Range<Int>], chunks: [ChunkReference]
    ) {
      self.path = path
      self.size = size
      self.attributes = attributes
      self.sha256 = sha256
      self.md5 = md5
      self.fileClass = fileClass
      self.holes = holes
      self.chunks = chunks
    }
  }

  /// A symbolic link, kept as it is and never followed.
  public struct LinkEntry: Equatable, Sendable {
    /// Its path below the root.
    public var path: RelativePath
    /// What it points to: any bytes.
    public var target: [UInt8]
    /// When the link itself was made.
    public var modified: Timestamp

    /// A link.
    public init(path: RelativePath, target: [UInt8], modified: Timestamp) {
      self.path = path
      self.target = target
      self.modified = modified
    }
  }

  /// A directory below the root.
  public struct DirectoryEntry: Equatable, Sendable {
    /// Its path below the root.
    public var path: RelativePath
    /// Mode and modification time.
    public var attributes: Attributes

    /// A directory.
    public init(path: RelativePath, attributes: Attributes) {
      self.path = path
      self.attributes = attributes
    }
  }

  /// Sum of the files' sizes in bytes.
  public var bytes: Int { files.reduce(0) { $0 + $1.size } }

  /// The length of its longest chunk in bytes.
  var longestChunk: Int { files.lazy.flatMap(\.chunks).map(\.length).max() ?? 0 }

  /// The lines of `SHA256SUMS`, whose digest names the snapshot.
  public var sha256Sums: [UInt8] { SumsFile.lines(files.map { ($0.path, $0.sha256) }) }
  /// The lines of `MD5SUMS`.
  public var md5Sums: [UInt8] { SumsFile.lines(files.map { ($0.path, $0.md5) }) }
}
