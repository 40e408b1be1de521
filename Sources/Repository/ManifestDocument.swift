import FoundationEssentials
import Platform

/// The manifest's JSON: what `ManifestCoding` reads and writes. Chunks are columns, so that a manifest of a million chunks
/// decodes as a few long arrays.
struct ManifestDocument: Codable {
  struct Root: Codable {
    var mode: String
    var mtime: Int64
  }
  struct Pack: Codable {
    var key: String
    var size: Int
    var etag: String?
    var `class`: FileClass
  }
  struct Chunks: Codable {
    var id: [String]
    var pack: [Int]
    var offset: [Int]
    var length: [Int]
    /// How the bytes are encoded; absent where all chunks are raw, which is all that this format has so far.
    var encoding: [String]?
  }
  struct File: Codable {
    var path: String?
    var pathBase64: String?
    var size: Int
    var mode: String
    var mtime: Int64
    var sha256: String
    var md5: String
    var `class`: FileClass
    var holes: [[Int]]?
    var chunks: Chunks
  }
  struct Link: Codable {
    var path: String?
    var pathBase64: String?
    var target: String?
    var targetBase64: String?
    var mtime: Int64
  }
  struct Directory: Codable {
    var path: String?
    var pathBase64: String?
    var mode: String
    var mtime: Int64
  }

  var format: Int
  var id: String
  var run: String
  var step: Int
  var time: Timestamp
  var kind: Snapshot.Kind
  var root: Root?
  var packs: [Pack]
  var files: [File]
  var links: [Link]
  var directories: [Directory]
}

/// Bytes that are text where they are UTF-8, and base 64 where they are not.
enum TextOrBase64 {
  static func encode(_ bytes: [UInt8]) -> (text: String?, base64: String?) {
    if let text = String(validating: bytes, as: UTF8.self) { return (text, nil) }
    return (nil, Data(bytes).base64EncodedString())
  }

  static func decode(_ text: String?, _ base64: String?) -> [UInt8]? {
    if let text, base64 == nil { return Array(text.utf8) }
    guard text == nil, let base64, let data = Data(base64Encoded: base64) else { return nil }
    return Array(data)
  }
}
