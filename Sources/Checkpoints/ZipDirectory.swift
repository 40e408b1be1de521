import Platform

/// The records at the end of a zip: where its directory is.
struct ZipEnd {
  let directoryOffset: Int
  let directorySize: Int
  let entryCount: Int

  private static let endSize = 22
  private static let locatorSize = 20
  private static let zip64Size = 56

  /// Reads the end record (the file's last 22 bytes, as torch writes no comment), the zip64 record where its locator
  /// stands before it, and checks them against each other. Throws `TorchZipDefect` or `SystemError`.
  init(reading file: some ByteSource) throws {
    let tailSize = Self.endSize + Self.locatorSize + Self.zip64Size
    let tail = try file.bytes(at: max(0, file.size - tailSize), count: tailSize)
    let end = tail.suffix(Self.endSize)
    guard end.count == Self.endSize, end.starts(with: [0x50, 0x4b, 5, 6]),
      end.suffix(2).elementsEqual([0, 0])
    else {
      throw TorchZipDefect.endMissing(fileSize: file.size)
    }
    let count = field(end, 10, 2)
    let size = field(end, 12, 4)
    let offset = field(end, 16, 4)
    let before = tail.dropLast(Self.endSize)
    guard before.suffix(Self.locatorSize).starts(with: [0x50, 0x4b, 6, 7]) else {
      try self.init(
        offset: offset, size: size, count: count, mustEndAt: file.size - Self.endSize)
      return
    }
    let locator = before.suffix(Self.locatorSize)
    let record = before.dropLast(Self.locatorSize)
    let recordOffset = file.size - tailSize
    guard record.count == Self.zip64Size, record.starts(with: [0x50, 0x4b, 6, 6]),
      field(locator, 8, 8) == UInt64(recordOffset)
    else { throw TorchZipDefect.directory(reason: "its zip64 record is not where its locator points") }
    let wide = (count: field(record, 32, 8), size: field(record, 40, 8), offset: field(record, 48, 8))
    guard wide.count == field(record, 24, 8), Self.agree(count, wide.count, 0xffff),
      Self.agree(size, wide.size, 0xffff_ffff), Self.agree(offset, wide.offset, 0xffff_ffff)
    else { throw TorchZipDefect.directory(reason: "its two end records disagree") }
    try self.init(offset: wide.offset, size: wide.size, count: wide.count, mustEndAt: recordOffset)
  }

  private init(offset: UInt64, size: UInt64, count: UInt64, mustEndAt end: Int) throws(TorchZipDefect) {
    let (sum, overflow) = offset.addingReportingOverflow(size)
    guard !overflow, sum == UInt64(end) else {
      throw .directory(reason: "its directory does not end where its end record begins")
    }
    // An entry of the directory has at least 46 bytes, which bounds the count by the size.
    guard count <= size / UInt64(DirectoryEntry.size) else {
      throw .directory(reason: "its directory is too short for \(count) entries")
    }
    directoryOffset = Int(offset)
    directorySize = Int(size)
    entryCount = Int(count)
  }

  /// A narrow field agrees with the wide one by being equal or by saying, all ones, that the wide one counts.
  private static func agree(_ narrow: UInt64, _ wide: UInt64, _ ones: UInt64) -> Bool {
    narrow == wide || narrow == ones
  }
}

/// The entries of a zip's central directory, which must fill `bytes` exactly. Throws `TorchZipDefect`.
func parseDirectory(_ bytes: [UInt8], count: Int) throws(TorchZipDefect) -> [TorchZip.Entry] {
  var entries: [TorchZip.Entry] = []
  entries.reserveCapacity(count)
  var rest = bytes[...]
  for number in 0..<count {
    guard let entry = DirectoryEntry(rest) else {
      throw .directory(reason: "its directory is broken at entry \(number + 1) of \(count)")
    }
    entries.append(entry.entry)
    rest = rest.dropFirst(entry.length)
  }
  guard rest.isEmpty else { throw .directory(reason: "its directory is longer than its \(count) entries") }
  return entries
}

/// One entry of the central directory.
private struct DirectoryEntry {
  static let size = 46
  let entry: TorchZip.Entry
  /// The length of the entry in the directory.
  let length: Int

  /// Nil where the bytes do not begin with a whole entry, or it claims sizes beyond any file.
  init?(_ bytes: ArraySlice<UInt8>) {
    guard bytes.count >= Self.size, bytes.starts(with: [0x50, 0x4b, 1, 2]) else { return nil }
    let nameLength = Int(field(bytes, 28, 2))
    let extraLength = Int(field(bytes, 30, 2))
    length = Self.size + nameLength + extraLength + Int(field(bytes, 32, 2))
    guard bytes.count >= length else { return nil }
    let name = bytes.dropFirst(Self.size).prefix(nameLength)
    let extra = bytes.dropFirst(Self.size + nameLength).prefix(extraLength)
    var wide = zip64Extra(extra)
    guard let size = Self.widen(field(bytes, 24, 4), from: &wide),
      let stored = Self.widen(field(bytes, 20, 4), from: &wide),
      let offset = Self.widen(field(bytes, 42, 4), from: &wide)
    else { return nil }
    entry = TorchZip.Entry(
      name: Array(name), headerOffset: offset, dataOffset: nil, storedSize: stored, size: size,
      method: UInt16(field(bytes, 10, 2)), crc32: UInt32(field(bytes, 16, 4)))
  }

  /// A 32-bit field, or where it is all ones the next 64-bit one of the zip64 extra field.
  private static func widen(_ narrow: UInt64, from wide: inout ArraySlice<UInt8>) -> Int? {
    guard narrow == 0xffff_ffff else { return Int(narrow) }
    guard wide.count >= 8 else { return nil }
    defer { wide = wide.dropFirst(8) }
    return Int(exactly: littleEndian(wide.prefix(8)))
  }
}

/// The content of the extra field with id 1 (zip64), empty where there is none.
private func zip64Extra(_ extra: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
  var rest = extra
  while rest.count >= 4 {
    let length = Int(field(rest, 2, 2))
    guard rest.count >= 4 + length else { return [] }
    if field(rest, 0, 2) == 1 { return rest.dropFirst(4).prefix(length) }
    rest = rest.dropFirst(4 + length)
  }
  return []
}

/// The little-endian number of `width` bytes that begins `offset` bytes into `bytes`, which must hold it.
private func field(_ bytes: ArraySlice<UInt8>, _ offset: Int, _ width: Int) -> UInt64 {
  let start = bytes.startIndex + offset
  return littleEndian(bytes[start..<start + width])
}
