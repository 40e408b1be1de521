import Platform

/// `ckbackup.json`: what makes a prefix a repository.
public struct RepositoryInfo: Codable, Equatable, Sendable {
  /// The format number, 1.
  public let format: Int
  /// 128 random bits in hexadecimal digits; local caches go by it.
  public let id: String
  /// When it was created.
  public let created: Timestamp
  /// Files are cut into chunks of at most so many bytes.
  public let chunkSize: Int

  /// A description of a new repository.
  public init(id: String, created: Timestamp, chunkSize: Int) {
    format = repositoryFormat
    self.id = id
    self.created = created
    self.chunkSize = chunkSize
  }

  /// The default of `chunkSize`: 16 MiB.
  public static let defaultChunkSize = 16 << 20
  /// What `chunkSize` may be.
  public static let chunkSizes = 64 << 10...Manifest.longestChunk

  package static func decode(_ bytes: [UInt8]) throws(FormatError) -> RepositoryInfo {
    let key = ObjectKey.repository
    let info = try MetadataCoding.decode(RepositoryInfo.self, from: bytes, object: key)
    try MetadataCoding.check(format: info.format, object: key)
    guard chunkSizes.contains(info.chunkSize), info.id.utf8.count == 32,
      info.id.utf8.allSatisfy(ObjectKey.isHexDigit)
    else { throw .invalid(object: key, detail: "its id or chunk size is impossible") }
    return info
  }
}
