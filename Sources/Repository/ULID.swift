import Platform

/// Names that sort by time: 48 bits of milliseconds and 80 random bits in Crockford's base 32, 26 characters
/// (github.com/ulid/spec).
public enum ULID {
  private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

  /// A ULID for a moment; `random` is 10 random bytes.
  public static func make(at time: Timestamp, random: [UInt8]) -> String {
    let milliseconds = UInt64(max(0, time.nanoseconds / 1_000_000)) & 0xffff_ffff_ffff
    var bits: [UInt8] = (0..<6).map { UInt8(truncatingIfNeeded: milliseconds >> (40 - 8 * $0)) }
    bits += random.prefix(10)
    bits += [UInt8](repeating: 0, count: 16 - bits.count)
    var digits: [UInt8] = []
    // 128 bits in 26 digits: the first digit holds 3 bits, the others 5.
    for digit in 0..<26 {
      var value = 0
      for bit in (digit * 5 - 2)..<(digit * 5 + 3) where bit >= 0 {
        value = value << 1 | Int(bits[bit / 8] >> (7 - bit % 8) & 1)
      }
      digits.append(alphabet[value])
    }
    return String(decoding: digits, as: UTF8.self)
  }
}
