import Digests
import ObjectStore
import Platform

/// The files that one process of many sees of the checkpoint that they push together.
public struct RankView: Equatable, Sendable {
  /// A file as it looked when the tree was scanned. Two processes that see the same of it see the same file.
  public struct File: Hashable, Sendable {
    /// Its path below the root.
    public let path: RelativePath
    /// Its size in bytes.
    public let size: Int
    /// When its content changed last.
    public let modified: Timestamp

    /// A file.
    public init(path: RelativePath, size: Int, modified: Timestamp) {
      self.path = path
      self.size = size
      self.modified = modified
    }
  }

  private struct Document: Codable {
    struct Entry: Codable {
      var path: String?
      var pathBase64: String?
      var size: Int
      var mtime: Int64
    }
    var format: Int
    var group: String?
    var files: [Entry]
  }

  /// The most bytes of a view, before and after it is expanded.
  static let largestObject = 64 << 20
  private static let largestExpanded = 256 << 20

  /// The files, ordered by path.
  public let files: [File]

  /// A view of files in any order.
  public init(_ files: [File]) { self.files = files.sorted { $0.path < $1.path } }

  /// 16 hexadecimal digits that are the same for the same view.
  public var digest: String {
    var text: [UInt8] = []
    for file in files {
      text += file.path.bytes
      text += Array("\0\(file.size)\0\(file.modified.nanoseconds)\0".utf8)
    }
    return hex(SHA256.hash(text).prefix(8))
  }

  /// Its object's bytes, with the name of the group for people. Throws `FormatError.tooLarge` where it has too many files.
  public func encode(group: String) throws(FormatError) -> [UInt8] {
    let document = Document(
      format: repositoryFormat, group: group,
      files: files.map { file in
        let path = TextOrBase64.encode(file.path.bytes)
        return .init(
          path: path.text, pathBase64: path.base64, size: file.size, mtime: file.modified.nanoseconds)
      })
    let (object, detail) = ("the view of a process", "it has too many files")
    let json = try MetadataCoding.encode(
      document, pretty: false, upTo: Self.largestExpanded, object: object, detail: detail)
    let bytes = try Gzip.compress(json)
    guard bytes.count <= Self.largestObject, json.count <= Gzip.largestExpanded(from: bytes.count) else {
      throw .tooLarge(object: object, detail: detail)
    }
    return bytes
  }

  /// The name of the group that a view's bytes tell, held to the token that stands for it; nil where they tell none.
  static func groupName(_ bytes: [UInt8], token: String, object: String) -> String? {
    guard let json = try? Gzip.expand(bytes, limit: largestExpanded, object: object),
      let name = try? MetadataCoding.decode(Document.self, from: json, object: object).group,
      RankGroup.token(of: name) == token
    else { return nil }
    return name
  }

  /// Reads a view and holds it to the digest in its name. Throws `FormatError` where it is none, or another.
  static func decode(_ bytes: [UInt8], digest: String, object: String) throws(FormatError) -> RankView {
    let json = try Gzip.expand(bytes, limit: largestExpanded, object: object)
    let document = try MetadataCoding.decode(Document.self, from: json, object: object)
    try MetadataCoding.check(format: document.format, object: object)
    var files: [File] = []
    for entry in document.files {
      guard let bytes = TextOrBase64.decode(entry.path, entry.pathBase64),
        let path = try? RelativePath(bytes),
        entry.size >= 0
      else { throw .invalid(object: object, detail: "it lists a file that cannot be") }
      files.append(.init(path: path, size: entry.size, modified: Timestamp(nanoseconds: entry.mtime)))
    }
    let view = RankView(files)
    guard view.digest == digest else { throw .digestMismatch(object: object) }
    return view
  }
}

extension Repository {
  /// The name of the group of a share with such a view, as its process was told it; nil where the view is gone, damaged or too large.
  ///
  /// - Throws: `StoreError`.
  public func groupName(of share: RankShare, digest: String) async throws -> String? {
    let key = share.view(digest)
    do {
      let bytes = try await store.get(key, limit: RankView.largestObject)
      return RankView.groupName(bytes, token: share.group.token, object: key)
    } catch StoreError.missing {
      return nil
    } catch StoreError.tooLarge {
      return nil
    }
  }

  /// The view of a share; nil where it has been replaced or removed.
  ///
  /// - Throws: `FormatError` where it cannot be read, `StoreError`.
  public func view(of share: RankShare, digest: String) async throws -> RankView? {
    let key = share.view(digest)
    do {
      return try RankView.decode(
        try await store.get(key, limit: RankView.largestObject), digest: digest, object: key)
    } catch StoreError.tooLarge {
      throw FormatError.invalid(object: key, detail: "it has more than \(RankView.largestObject) bytes")
    } catch StoreError.missing {
      return nil
    }
  }
}
