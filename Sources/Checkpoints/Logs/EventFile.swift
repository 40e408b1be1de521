import Platform

/// Reads the scalars of an event file of TensorBoard, `events.out.tfevents.…`.
///
/// The file is a row of records: length (8 bytes, little-endian), its masked CRC-32C, the bytes, their masked CRC-32C
/// (tensorflow/core/lib/io/record_writer.cc). Each is an `Event`: step = 2, summary = 5 with values = 1, each with tag = 1 and
/// simple_value = 2 or tensor = 8 (tensorflow/core/util/event.proto, core/framework/summary.proto and tensor.proto).
package struct EventFile {
  /// Longer records are passed over: scalars are short, images and graphs are not. In bytes.
  static let maximumRecord = 256 << 10
  private static let window = 1 << 20

  private let file: OpenFile
  private var buffer: [UInt8] = []
  private var bufferStart = 0

  /// An event file that is read from its beginning.
  package init(_ file: OpenFile) { self.file = file }

  /// Gives every scalar with its tag and step, in the file's order, up to the end or the first record whose length cannot be trusted.
  /// A record whose bytes are damaged is passed over.
  ///
  /// Throws `SystemError`.
  package mutating func scalars(_ take: (String, Int, Double) -> Void) throws(SystemError) {
    var offset = 0
    while let head = try bytes(at: offset, count: 12) {
      let length = littleEndian(head.prefix(8))
      guard CRC32C.masked(head.prefix(8)) == littleEndian(head.suffix(4)),
        length <= UInt64(max(0, file.size - offset - 16))
      else { return }
      if length <= UInt64(Self.maximumRecord) {
        guard let record = try bytes(at: offset + 12, count: Int(length) + 4) else { return }
        let event = record.prefix(Int(length))
        if CRC32C.masked(event) == littleEndian(record.suffix(4)) { Self.scalars(ofEvent: event, take) }
      }
      offset += 16 + Int(length)
    }
  }

  /// Bytes of the file, read ahead; nil where it ends before.
  private mutating func bytes(at offset: Int, count: Int) throws(SystemError) -> ArraySlice<UInt8>? {
    if offset < bufferStart || offset + count > bufferStart + buffer.count {
      buffer = try file.bytes(at: offset, count: Self.window)
      bufferStart = offset
    }
    let start = offset - bufferStart
    return start + count <= buffer.count ? buffer[start..<start + count] : nil
  }

  /// Gives every scalar of one `Event`.
  package static func scalars(
    ofEvent event: ArraySlice<UInt8>, _ take: (String, Int, Double) -> Void
  ) {
    var step: UInt64 = 0
    var summaries: [ArraySlice<UInt8>] = []
    var fields = ProtobufFields(event)
    while let field = fields.next() {
      switch field {
      case (2, .number(let number)): step = number
      case (5, .bytes(let bytes)): summaries.append(bytes)
      default: break
      }
    }
    guard let step = Int(exactly: step) else { return }
    for summary in summaries {
      var values = ProtobufFields(summary)
      while let field = values.next() {
        if case (1, .bytes(let bytes)) = field, let (tag, value) = scalar(bytes) { take(tag, step, value) }
      }
    }
  }

  private static func scalar(_ message: ArraySlice<UInt8>) -> (tag: String, value: Double)? {
    var tag: String?
    var value: Double?
    var fields = ProtobufFields(message)
    while let field = fields.next() {
      switch field {
      case (1, .bytes(let bytes)) where bytes.count <= 256: tag = String(decoding: bytes, as: UTF8.self)
      case (2, .number(let bits)): value = float(bits)
      case (8, .bytes(let tensor)): value = number(tensor) ?? value
      default: break
      }
    }
    guard let tag, !tag.isEmpty, let value else { return nil }
    return (tag, value)
  }

  /// The number in a tensor that holds one of 4 or 8 bytes: DT_FLOAT is 1, DT_DOUBLE 2.
  private static func number(_ tensor: ArraySlice<UInt8>) -> Double? {
    var kind: UInt64 = 1
    var value: Double?
    var fields = ProtobufFields(tensor)
    while let field = fields.next() {
      switch field {
      case (1, .number(let number)): kind = number
      case (4, .bytes(let bytes)) where bytes.count == 4 && kind == 1: value = float(littleEndian(bytes))
      case (4, .bytes(let bytes)) where bytes.count == 8 && kind == 2:
        value = Double(bitPattern: littleEndian(bytes))
      // A repeated number stands alone or packed.
      case (5, .number(let bits)): value = float(bits)
      case (5, .bytes(let bytes)) where bytes.count == 4: value = float(littleEndian(bytes))
      case (6, .number(let bits)): value = Double(bitPattern: bits)
      case (6, .bytes(let bytes)) where bytes.count == 8: value = Double(bitPattern: littleEndian(bytes))
      default: break
      }
    }
    return value
  }

  private static func float(_ bits: UInt64) -> Double {
    Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
  }
}

/// CRC-32C, the Castagnoli polynomial (RFC 3720, appendix B.4).
private enum CRC32C {
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
  }

  /// The checksum as the records keep it, turned and moved by a constant (tensorflow/core/lib/hash/crc32c.h).
  static func masked(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    var crc = UInt32.max
    for byte in bytes { crc = table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8 }
    crc = ~crc
    return UInt64((crc >> 15 | crc << 17) &+ 0xa282_ead8)
  }
}
