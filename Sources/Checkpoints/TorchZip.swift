import Platform

/// What is wrong with a file that torch.save wrote, as far as its zip directory tells.
public enum TorchZipDefect: Error, Equatable, Sendable {
  /// The end record is not at the end of the file: the save did not finish, or the tail was lost.
  case endMissing(fileSize: Int)
  /// The end records and the directory disagree; the operand says in what.
  case directory(reason: String)
  /// The entry's own header is not where the directory says, or names another entry.
  case localHeader(entry: String)
  /// The entry's bytes run into the next entry or into the directory.
  case overlap(entry: String)
  /// The CRC-32 of the entry's bytes is not the one that the directory records.
  case sum(entry: String)
}

/// The directory of a torch file in zip form: which entries it holds and where. Nothing in it is unpickled.
///
/// Only the file's tail and the entries' headers are read, so that a file of 100 GB costs kilobytes. Of directories with
/// more than `checkedHeaders` entries, so many entries' headers are looked at, evenly spread, the first and last among
/// them; the directory itself is always checked whole. CRC-32 sums are not checked, since that means reading everything.
///
/// The format: APPNOTE.TXT of PKWARE, as torch's caffe2/serialize/inline_container.cc and miniz use it: entries stored
/// without compression, sizes and sums in the directory alone, and a zip64 end record even in small files.
public struct TorchZip: Sendable {
  /// How many entries' own headers are read at most.
  public static let checkedHeaders = 4096
  /// The largest directory that is read, in bytes; torch writes about 70 for each storage.
  static let maximumDirectory = 64 << 20

  /// One entry.
  public struct Entry: Equatable, Sendable {
    /// Its name's bytes, for example `optimizer/data/0`.
    public let name: [UInt8]
    /// Where its own header begins in the file.
    public let headerOffset: Int
    /// Where its bytes begin, or nil where its header was not among those that were looked at.
    public internal(set) var dataOffset: Int?
    /// How many bytes are stored.
    public let storedSize: Int
    /// How many bytes it has without its compression; torch stores without.
    public let size: Int
    /// 0 where the bytes are stored as they are.
    public let method: UInt16
    /// The CRC-32 by the directory; torch can be told to write 0 everywhere.
    public let crc32: UInt32

    /// The name for people.
    public var display: String { escaped(name) }
    /// The name without the archive's own first component, for example `data/0` or `data.pkl`.
    public var innerName: ArraySlice<UInt8> {
      guard let slash = name.firstIndex(of: UInt8(ascii: "/")) else { return name[...] }
      return name[(slash + 1)...]
    }
  }

  /// The entries, in the order of their places in the file.
  public private(set) var entries: [Entry]
  /// Where the directory begins: the end of the last entry.
  public let directoryOffset: Int

  /// Reads and checks a file's directory. Throws `TorchZipDefect` where it is not whole, or `SystemError`.
  public init(reading file: some ByteSource) throws {
    let end = try ZipEnd(reading: file)
    guard end.directorySize <= Self.maximumDirectory else {
      throw TorchZipDefect.directory(reason: "its directory would have \(end.directorySize) bytes")
    }
    let directory = try file.bytes(at: end.directoryOffset, count: end.directorySize)
    guard directory.count == end.directorySize else { throw TorchZipDefect.endMissing(fileSize: file.size) }
    entries = try parseDirectory(directory, count: end.entryCount)
    entries.sort { $0.headerOffset < $1.headerOffset }
    directoryOffset = end.directoryOffset
    try checkPlaces()
    try readHeaders(of: file)
  }

  /// The entry whose name without the archive's first component is `innerName`, for example `data.pkl`.
  public func entry(_ innerName: String) -> Entry? {
    entries.first { $0.innerName.elementsEqual(innerName.utf8) }
  }

  /// The bytes of a stored entry. Throws `TorchZipDefect` where its header is wrong, it is compressed or has more than
  /// `limit` bytes, or `SystemError`.
  public func bytes(of entry: Entry, in file: some ByteSource, limit: Int) throws -> [UInt8] {
    guard entry.method == 0, entry.storedSize == entry.size, entry.size <= limit else {
      throw TorchZipDefect.directory(reason: "\(entry.display) is compressed or larger than \(limit) bytes")
    }
    let bytes = try file.bytes(at: try Self.range(of: entry, in: file).lowerBound, count: entry.size)
    guard bytes.count == entry.size else { throw TorchZipDefect.endMissing(fileSize: file.size) }
    return bytes
  }

  /// Where the stored bytes of an entry lie in the file. Throws `TorchZipDefect` where its own header is wrong, or `SystemError`.
  public static func range(of entry: Entry, in file: some ByteSource) throws -> Range<Int> {
    let start = try entry.dataOffset ?? readHeader(entry, file)
    return start..<start + entry.storedSize
  }

  /// Each entry must end before the next begins, by the smallest header that it can have.
  private func checkPlaces() throws(TorchZipDefect) {
    for (index, entry) in entries.enumerated() {
      let limit = index + 1 < entries.count ? entries[index + 1].headerOffset : directoryOffset
      let smallest = LocalHeader.size + entry.name.count
      guard entry.headerOffset <= limit, entry.storedSize <= limit - entry.headerOffset - smallest else {
        throw .overlap(entry: entry.display)
      }
    }
  }

  private mutating func readHeaders(of file: some ByteSource) throws {
    let checked = min(entries.count, Self.checkedHeaders)
    for sample in 0..<checked {
      let index = checked < 2 ? 0 : sample * (entries.count - 1) / (checked - 1)
      let limit = index + 1 < entries.count ? entries[index + 1].headerOffset : directoryOffset
      let start = try Self.readHeader(entries[index], file)
      guard start <= limit, entries[index].storedSize <= limit - start else {
        throw TorchZipDefect.overlap(entry: entries[index].display)
      }
      entries[index].dataOffset = start
    }
  }

  /// Where an entry's bytes begin, by its own header, which must be there and name it.
  private static func readHeader(_ entry: Entry, _ file: some ByteSource) throws -> Int {
    let bytes = try file.bytes(at: entry.headerOffset, count: LocalHeader.size + entry.name.count)
    guard let header = LocalHeader(bytes), bytes.dropFirst(LocalHeader.size).elementsEqual(entry.name) else {
      throw TorchZipDefect.localHeader(entry: entry.display)
    }
    return entry.headerOffset + header.length
  }
}

/// An entry's own header, of which only its length matters.
private struct LocalHeader {
  static let size = 30
  /// The header's length with name and padding.
  let length: Int

  init?(_ bytes: [UInt8]) {
    guard bytes.count >= Self.size, bytes.starts(with: [0x50, 0x4b, 3, 4]) else { return nil }
    length = Self.size + Int(littleEndian(bytes[26..<28])) + Int(littleEndian(bytes[28..<30]))
  }
}
