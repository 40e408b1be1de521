import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Writing files") struct FileWriterTests {
  /// Writes `content` in chunks of these lengths, several threads at once, each from memory that begins `skipped` bytes after a page.
  private func write(_ content: [UInt8], _ lengths: [Int], skipped: Int, to path: String) async throws {
    let file = Manifest.FileEntry(
      path: try RelativePath("file"), size: content.count,
      attributes: .init(permissions: 0o600, modified: Timestamp(seconds: 1)), sha256: [], md5: [],
      fileClass: .weights, holes: [], chunks: [])
    let writer = FileWriter(root: try OpenDirectory(path), files: [file])
    try writer.createFiles([0])
    var places: [Range<Int>] = []
    for length in lengths {
      places.append((places.last?.upperBound ?? 0)..<(places.last?.upperBound ?? 0) + length)
    }
    let pool = BlockingPool(threads: 4)
    _ = try await concurrently(places, limit: 4) { place in
      try await pool.run {
        let buffer = Buffer(copying: [UInt8](repeating: 0xff, count: skipped) + content[place])
        try writer.write(
          buffer.slice(skipped..<skipped + place.count), to: Destination(file: 0, offset: place.lowerBound))
      }
    }
    try writer.finish([0])
  }

  @Test(
    "large chunks that begin and end anywhere in a page come out right, wherever they lie in memory",
    arguments: [0, 8, 4088])
  func anywhere(_ skipped: Int) async throws {
    let scratch = try Scratch()
    // More than what is copied at once; less than is written directly; neighbours that share a page; a last page that is not full.
    let lengths = [
      5 << 20, 1 << 20, (1 << 20) + 8, 3000, (2 << 20) - 1, 40, (1 << 20) + 4095, 4096, (3 << 20) + 77,
    ]
    let content = noise(lengths.reduce(0, +), seed: UInt64(skipped))
    try await write(content, lengths, skipped: skipped, to: scratch.path)
    let file = try OpenFile("\(scratch.path)/file")
    #expect(file.size == content.count)
    #expect(try file.bytes(at: 0, count: file.size) == content)
  }
}
