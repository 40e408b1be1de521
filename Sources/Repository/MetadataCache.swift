import Digests
import Glibc
import Platform

/// Copies of markers and manifests on this machine, so that a listing need not fetch them again.
///
/// It is never trusted beyond what names it: a marker counts under its key and ETag alone (`MarkerCopies`), a manifest under its
/// SHA-256, and each entry carries a digest of its name and content. It may be deleted at any time; where it cannot be written there is simply no cache.
public struct MetadataCache: Sendable {
  private let folder: String

  /// A cache in `folder`, which is made when something is first put there.
  public init(folder: String) { self.folder = folder }

  /// The bytes kept under a name, or nil.
  func get(_ name: String) -> [UInt8]? {
    guard let content = readFile(path(name)), content.count >= 32 else { return nil }
    let body = Array(content.dropFirst(32))
    return digest(of: name, body) == Array(content.prefix(32)) ? body : nil
  }

  /// Keeps bytes under a name. Failing is no error: the next reader fetches them.
  func put(_ name: String, _ body: [UInt8]) {
    makeDirectories(folder)
    let temporary = "\(path(name)).\(getpid()).\(UInt32.random(in: 0...(.max)))"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return }
    let content = digest(of: name, body) + body
    let written = content.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
    if written != content.count || rename(temporary, path(name)) != 0 { unlink(temporary) }
  }

  /// Of the name too: the copy of an older marker must not pass for the newer one.
  private func digest(of name: String, _ body: [UInt8]) -> [UInt8] {
    SHA256.hash(Array("\(name)\0".utf8) + body)
  }

  private func path(_ name: String) -> String { "\(folder)/\(Self.fileName(name))" }

  /// The file of an entry in the cache's folder.
  static func fileName(_ name: String) -> String { hex(SHA256.hash(Array(name.utf8)).prefix(20)) }

  private func makeDirectories(_ path: String) {
    if mkdir(path, 0o700) != 0, errno == ENOENT {
      makeDirectories(PathText.split(path).parent)
      mkdir(path, 0o700)
    }
  }

  private func readFile(_ path: String) -> [UInt8]? {
    guard let file = try? OpenFile(path), file.size <= Manifest.largestObject + 32 else { return nil }
    return try? file.bytes(at: 0, count: file.size)
  }
}
