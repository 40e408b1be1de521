import Glibc
import Platform
import TestSupport
import Testing

@Suite("Reading once") struct ReadOnceTests {
  /// How many of a file's pages stand in the page cache, as mincore(2) tells.
  private func cachedPages(_ path: String, size: Int) throws -> Int {
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    let mapping = try #require(mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0))
    defer { munmap(mapping, size) }
    var pages = [UInt8](repeating: 0, count: (size + 4095) / 4096)
    try #require(mincore(mapping, size, &pages) == 0)
    return pages.count { $0 & 1 == 1 }
  }

  @Test(
    "a run that is read once comes whole, and the page cache is as it was before", arguments: [true, false])
  func leavesCache(_ wasCached: Bool) throws {
    let scratch = try Scratch()
    let bytes = noise(1 << 20, seed: 5)
    try scratch.write("file", bytes)
    let path = "\(scratch.path)/file"
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    // Pages that wait to be written cannot be given up.
    fsync(descriptor)
    posix_fadvise(descriptor, 0, 0, wasCached ? POSIX_FADV_WILLNEED : POSIX_FADV_DONTNEED)
    if wasCached { _ = try OpenFile(path).bytes(at: 0, count: bytes.count) }
    // A file system in memory has its files there and nowhere else.
    guard try wasCached == (cachedPages(path, size: bytes.count) == 256) else { return }

    let target = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 4096)
    defer { target.deallocate() }
    #expect(try OpenFile(path).readOnce(at: 0, into: target) == bytes.count)
    #expect(Array(target) == bytes)
    #expect(try cachedPages(path, size: bytes.count) == (wasCached ? 256 : 0))
    #expect(try OpenFile(path).readOnce(at: bytes.count - 10, into: target) == 10, "fewer at the end")
    #expect(try OpenFile(path).readOnce(at: bytes.count + 10, into: target) == 0)
    #expect(
      try cachedPages(path, size: bytes.count) == (wasCached ? 256 : 0), "the end of a file counts as whole")
  }
}
