import CZlib

/// Gzip over zlib, for small metadata objects.
package enum Gzip {
  /// Compresses without a name, so that equal input gives equal output; `modified` is the header's time in seconds since 1970, 0 for
  /// none (RFC 1952, section 2.3.1). A pack table must keep level 6: who makes a lost pack anew has to come to the same bytes.
  package static func compress(
    _ input: [UInt8], level: Int32 = 6, modified: UInt32 = 0
  ) throws(FormatError) -> [UInt8] {
    var stream = z_stream()
    guard
      deflateInit2_(
        &stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { throw .invalid(object: "gzip stream", detail: "zlib cannot start") }
    defer { deflateEnd(&stream) }
    let bound = Int(deflateBound(&stream, UInt(input.count)))
    let code = { (output: UnsafeMutableBufferPointer<UInt8>, filled: inout Int) -> Int32 in
      input.withUnsafeBufferPointer { source in
        stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
        stream.avail_in = UInt32(source.count)
        stream.next_out = output.baseAddress
        stream.avail_out = UInt32(output.count)
        let code = deflate(&stream, Z_FINISH)
        filled = output.count - Int(stream.avail_out)
        return code
      }
    }
    var result: Int32 = Z_OK
    guard input.count < UInt32.max / 2 else {
      throw .invalid(object: "gzip stream", detail: "it would be too large")
    }
    var output = [UInt8](unsafeUninitializedCapacity: bound) { result = code($0, &$1) }
    guard result == Z_STREAM_END else {
      throw .invalid(object: "gzip stream", detail: "zlib failed with \(result)")
    }
    for byte in 0..<4 { output[4 + byte] = UInt8(truncatingIfNeeded: modified >> (8 * byte)) }
    return output
  }

  /// The most bytes that a stream of `count` bytes may expand to. Deflate can make a thousand bytes of one (RFC 1951), which no real
  /// object comes near but a snapshot of terabytes of zeros.
  static func largestExpanded(from count: Int) -> Int { (8 << 20) + 128 * count }

  /// Expands one gzip stream; `object` names it in errors.
  ///
  /// Throws `.invalid` where it is no whole gzip stream or expands to more than `limit` bytes, or to more than `largestExpanded`.
  package static func expand(_ input: [UInt8], limit: Int, object: String) throws(FormatError) -> [UInt8] {
    var stream = z_stream()
    guard inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw .invalid(object: object, detail: "zlib cannot start")
    }
    defer { inflateEnd(&stream) }
    guard input.count < UInt32.max else { throw .invalid(object: object, detail: "it is too large") }
    let limit = min(limit, largestExpanded(from: input.count))
    var output: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 18)
    var code = Z_OK
    input.withUnsafeBufferPointer { source in
      stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
      stream.avail_in = UInt32(source.count)
      while code == Z_OK && output.count <= limit {
        block.withUnsafeMutableBufferPointer { target in
          stream.next_out = target.baseAddress
          stream.avail_out = UInt32(target.count)
          code = inflate(&stream, Z_NO_FLUSH)
          output.append(contentsOf: target.prefix(target.count - Int(stream.avail_out)))
        }
      }
    }
    guard output.count <= limit else {
      throw .invalid(object: object, detail: "it expands to more than \(limit) bytes")
    }
    guard code == Z_STREAM_END, stream.avail_in == 0 else {
      throw .invalid(object: object, detail: "it is no whole gzip stream")
    }
    return output
  }
}
