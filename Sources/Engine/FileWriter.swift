import CPlatform
import Glibc
import Platform
import Repository
import Synchronization

/// Where a chunk goes: a file of the snapshot and an offset in it.
struct Destination: Sendable {
  /// Index into the manifest's files.
  let file: Int
  /// In bytes.
  let offset: Int
}

/// Writes verified chunks into the files that a restore builds.
///
/// Large runs go past the page cache (O_DIRECT), which costs half the processor time and leaves the cache to others; where the file
/// system refuses that, everything goes through it.
final class FileWriter: Sendable {
  private let root: OpenDirectory
  private let files: [Manifest.FileEntry]
  private let direct: Atomic<Bool>
  private static let alignment = 4096
  private static let leastDirect = 1 << 20
  /// Bytes that are copied at once, a multiple of the alignment.
  private static let copied = 2 << 20

  init(root: OpenDirectory, files: [Manifest.FileEntry]) {
    self.root = root
    self.files = files
    direct = Atomic(true)
  }

  /// Makes every file with its full size, as one hole, readable by its owner alone. A file of that size that is there already
  /// stays.
  func createFiles(_ indices: [Int]) throws {
    for index in indices {
      let file = files[index]
      let output = try root.openForWriting(file.path, flags: O_CREAT)
      if try output.size() != file.size { try output.resize(file.size) }
    }
  }

  /// Writes a chunk to one of its places, leaving out the holes. Bytes of a hole that are not zero are written all the same.
  func write(_ chunk: Slice, to destination: Destination) throws {
    let file = files[destination.file]
    let whole = destination.offset..<destination.offset + chunk.count
    for run in file.split(whole) {
      let part = chunk.sub(run.range.lowerBound - whole.lowerBound..<run.range.upperBound - whole.lowerBound)
      if run.isHole, part.withBytes({ $0.allSatisfy { $0 == 0 } }) { continue }
      try write(part, file, run.range.lowerBound)
    }
  }

  private func write(_ bytes: Slice, _ file: Manifest.FileEntry, _ offset: Int) throws {
    try bytes.withBytes { memory in
      let pages = wholePages(offset, memory.count)
      guard direct.load(ordering: .relaxed), pages.count >= Self.leastDirect,
        try writeDirect(memory, pages, file, offset)
      else { return try root.openForWriting(file.path).write(memory, at: offset) }
      if pages.count == memory.count { return }
      // The pages in which it begins and ends have bytes of others.
      let output = try root.openForWriting(file.path)
      for edge in [0..<pages.lowerBound, pages.upperBound..<memory.count] where !edge.isEmpty {
        try output.write(UnsafeRawBufferPointer(rebasing: memory[edge]), at: offset + edge.lowerBound)
      }
    }
  }

  /// The part of `count` bytes at an offset of a file that is whole pages there.
  private func wholePages(_ offset: Int, _ count: Int) -> Range<Int> {
    let before = (Self.alignment - offset % Self.alignment) % Self.alignment
    return before..<max(before, before + (count - before) / Self.alignment * Self.alignment)
  }

  /// Writes whole pages past the page cache; false where the file system refuses. Memory that does not begin at a page is copied to
  /// some that does, which costs a fraction of what the page cache would: there the kernel copies too, and on AMD's Zen 4 at less
  /// than half the speed where the two places begin a few bytes apart in their pages.
  private func writeDirect(
    _ memory: UnsafeRawBufferPointer, _ pages: Range<Int>, _ file: Manifest.FileEntry, _ offset: Int
  ) throws -> Bool {
    do throws(SystemError) {
      let output = try root.openForWriting(file.path, flags: ck_o_direct())
      let whole = UnsafeRawBufferPointer(rebasing: memory[pages])
      if UInt(bitPattern: whole.baseAddress) % UInt(Self.alignment) == 0 {
        try output.write(whole, at: offset + pages.lowerBound)
        return true
      }
      let copy = UnsafeMutableRawBufferPointer.allocate(
        byteCount: min(whole.count, Self.copied), alignment: Self.alignment)
      defer { copy.deallocate() }
      for start in stride(from: 0, to: whole.count, by: copy.count) {
        let part = UnsafeRawBufferPointer(rebasing: whole[start..<min(start + copy.count, whole.count)])
        copy.copyMemory(from: part)
        try output.write(
          UnsafeRawBufferPointer(rebasing: copy[..<part.count]), at: offset + pages.lowerBound + start)
      }
      return true
    } catch {
      guard error.code == EINVAL || error.code == EOPNOTSUPP else { throw error }
      direct.store(false, ordering: .relaxed)
      return false
    }
  }

  /// Gives the files their modes and times and makes them durable. Many files are synced by one call. The set-id bits are left out:
  /// the file may belong to somebody else now, and its content comes from a store.
  func finish(_ indices: [Int]) throws {
    let together = indices.count > 256
    for index in indices {
      let file = files[index]
      let output = try root.openForWriting(file.path)
      try output.setPermissions(file.attributes.permissions & 0o777)
      try root.setModified(file.path, file.attributes.modified)
      // Last, so that mode and time are durable too.
      if !together {
        try output.sync()
        output.forgetPages()
      }
    }
    if together, ck_syncfs(root.descriptor) != 0 { throw SystemError.last("syncfs", root.path) }
  }
}

extension Manifest.FileEntry {
  /// A run of the file, cut where holes begin and end.
  fileprivate func split(_ run: Range<Int>) -> [(range: Range<Int>, isHole: Bool)] {
    var parts: [(range: Range<Int>, isHole: Bool)] = []
    var position = run.lowerBound
    for hole in holes where hole.overlaps(run) {
      let part = hole.clamped(to: run)
      if part.lowerBound > position { parts.append((position..<part.lowerBound, false)) }
      parts.append((part, true))
      position = part.upperBound
    }
    if position < run.upperBound { parts.append((position..<run.upperBound, false)) }
    return parts
  }

  /// Whether a run of the file lies in one hole.
  func isHole(_ run: Range<Int>) -> Bool {
    holes.contains { $0.lowerBound <= run.lowerBound && run.upperBound <= $0.upperBound }
  }
}
