import Digests
import Glibc
import Platform
import Repository
import TestSupport

/// A few small checkpoints on disk that share most of their bytes.
final class Checkpoints: Sendable {
  private let root: OpenDirectory
  private let place: String
  private let ids: [String]

  var count: Int { ids.count }

  /// Makes them below a directory.
  init(below place: String) throws {
    self.place = place
    root = try OpenDirectory(place)
    var ids: [String] = []
    for index in 0..<5 {
      var sums: [UInt8] = []
      var random = Seeded(seed: UInt64(index))
      // Two and two have their frozen weights in common.
      var shared = Seeded(seed: 99 + UInt64(index / 2))
      for (name, size, isShared) in [
        ("events.out.tfevents.1", 30_000, false), ("frozen.raw", 90_000, true), ("tuned.raw", 70_000, false),
      ] {
        let bytes = (0..<size).map { _ in UInt8(truncatingIfNeeded: isShared ? shared.next() : random.next())
        }
        let path = try RelativePath("checkpoint-\(index)/\(name)")
        try root.openForWriting(path, flags: O_CREAT).write(bytes, at: 0)
        // Saves of their own have times of their own, however quickly these were written.
        try root.setModified(path, Timestamp(seconds: Int64(1_600_000_000 + 1000 * index)))
        sums += Array("\(hex(SHA256.hash(bytes)))  \(name)\n".utf8)
      }
      ids.append(hex(SHA256.hash(sums).prefix(8)))
    }
    self.ids = ids
  }

  /// Whether an id is that of one of them.
  func holds(_ id: String) -> Bool { ids.contains(id) }

  /// The one with an id, or nil.
  func index(of id: String) -> Int? { ids.firstIndex(of: id) }

  func path(_ index: Int) -> String { "\(place)/checkpoint-\(index)" }

  /// Whether a directory holds the checkpoint with this id, and nothing else.
  func isSame(_ id: String, as path: String) -> Bool {
    guard let directory = try? OpenDirectory(path), let names = try? directory.names() else { return false }
    var sums: [UInt8] = []
    for name in names.map({ String(decoding: $0, as: UTF8.self) }).sorted() {
      guard let path = try? RelativePath(name), let file = try? directory.open(path),
        let bytes = try? file.bytes(at: 0, count: file.size)
      else { return false }
      sums += Array("\(hex(SHA256.hash(bytes)))  \(name)\n".utf8)
    }
    return hex(SHA256.hash(sums).prefix(8)) == id
  }

  /// Removes a directory below the place.
  func remove(_ path: String) {
    if let relative = try? RelativePath(String(path.dropFirst(place.count + 1))) {
      try? root.removeTree(relative)
    }
  }
}
