import TestSupport

/// Changes bytes as a damaged disk, a cut connection or an attacker would: a function of its numbers.
struct Mutator {
  var numbers: Seeded
  /// Inputs grow no longer than this, in bytes.
  private static let longest = 1 << 18

  init(seed: UInt64) { numbers = Seeded(seed: seed) }

  mutating func below(_ limit: Int) -> Int { limit <= 1 ? 0 : Int.random(in: 0..<limit, using: &numbers) }
  mutating func oneIn(_ count: Int) -> Bool { below(count) == 0 }
  mutating func pick<Value>(_ values: [Value]) -> Value { values[below(values.count)] }

  /// A seed with one to eight changes; few are more frequent than many.
  mutating func mutate(_ seeds: [[UInt8]], isText: Bool) -> [UInt8] {
    var bytes = pick(seeds)
    repeat {
      if isText, !oneIn(3) { changeText(&bytes) } else { changeBytes(&bytes, seeds) }
      if bytes.count > Self.longest { bytes.removeLast(bytes.count - Self.longest) }
    } while oneIn(2)
    return bytes
  }

  // MARK: Any bytes

  private mutating func changeBytes(_ bytes: inout [UInt8], _ seeds: [[UInt8]]) {
    switch below(12) {
    case 0...1: if !bytes.isEmpty { bytes[below(bytes.count)] ^= 1 << UInt8(below(8)) }
    case 2: if !bytes.isEmpty { bytes[below(bytes.count)] = UInt8(below(256)) }
    case 3: bytes.removeLast(below(bytes.count + 1))
    case 4: bytes.removeSubrange(span(of: bytes))
    case 5:
      let copy = bytes[span(of: bytes)]
      for _ in 0...below(4) { bytes.insert(contentsOf: copy, at: below(bytes.count + 1)) }
    case 6:
      let other = pick(seeds)
      bytes.replaceSubrange(span(of: bytes), with: other[span(of: other)])
    case 7: bytes.insert(contentsOf: numbers.bytes(1 + below(16)), at: below(bytes.count + 1))
    case 8...10: setNumber(&bytes)
    default:
      let range = span(of: bytes)
      bytes.replaceSubrange(range, with: [UInt8](repeating: pick([0, 0xff, 0x20]), count: range.count))
    }
  }

  /// Puts an extreme number over 2, 4 or 8 bytes, lowest byte first as all lengths here are; often near an end of the bytes, where
  /// headers and trailers are.
  private mutating func setNumber(_ bytes: inout [UInt8]) {
    let width = pick([2, 4, 8])
    guard bytes.count >= width else { return }
    let last = bytes.count - width
    let place = [below(last + 1), min(last, below(64)), max(0, last - below(96))][below(3)]
    var value = pick(Self.extremes)
    if oneIn(4) { value = UInt64(max(0, bytes.count - 64 + below(128))) }
    for index in 0..<width { bytes[place + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
  }

  private static let extremes: [UInt64] = [
    0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 1 << 32, 1 << 53,
    0x7fff_ffff_ffff_ffff, 1 << 63, 0xffff_ffff_ffff_ffff, 100_000_000, 100_000_001, 64 << 20,
  ]

  /// A range of bytes, short ones more often.
  private mutating func span(of bytes: [UInt8]) -> Range<Int> {
    let start = below(bytes.count + 1)
    let longest = bytes.count - start
    return start..<start + below(min(longest, oneIn(3) ? longest : 32) + 1)
  }

  // MARK: JSON, XML, TOML

  private mutating func changeText(_ bytes: inout [UInt8]) {
    switch below(8) {
    case 0...2: replaceNumber(&bytes)
    case 3...4: replaceString(&bytes)
    case 5:
      guard let range = bracketed(bytes) else { return }
      bytes.replaceSubrange(range, with: Array(pick(Self.values).utf8))
    case 6:
      guard let range = bracketed(bytes) else { return }
      let copy = bytes[range] + [UInt8(ascii: ",")]
      for _ in 0...below(oneIn(50) ? 400 : 4) where bytes.count < Self.longest {
        bytes.insert(contentsOf: copy, at: range.lowerBound)
      }
    default: nest(&bytes)
    }
  }

  private static let texts = [
    "", ".", "..", "../../x", "/etc/passwd", "a//b", "a/", "\\u0000", "\\ud800", "%2e%2e", "%00", "\u{202e}",
    "0",
    "packs/../ckbackup.json", "9999999999999999999999", String(repeating: "a/", count: 2500),
    "e\u{301}\u{301}",
    String(repeating: "x", count: 300), "2026-99-99T99:99:99Z", "9999-12-31T23:59:59.999999999Z", "NaN",
    "&amp;&#0;&lol;", "W/\\\"\\\"",
  ]
  private static let values = [
    "null", "[]", "{}", "true", "0", "-1", "\"\"", "[[]]", "1e999", "-0", "NaN", "[null]", "{\"\":{}}",
  ]
  private static let digits = [
    "0", "-1", "1", "2147483647", "2147483648", "4294967296", "9007199254740993", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "18446744073709551616", "1e308", "1e999", "0.1", "-0",
    "1e-400",
    "00", "67108865", "274877906945", String(repeating: "9", count: 380),
    "0." + String(repeating: "3", count: 390),
  ]

  private mutating func replaceNumber(_ bytes: inout [UInt8]) {
    let isDigit = { (byte: UInt8) in (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    let from = below(bytes.count)
    guard let start = bytes[from...].firstIndex(where: isDigit) else { return }
    let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
    bytes.replaceSubrange(start..<end, with: Array(pick(Self.digits).utf8))
  }

  private mutating func replaceString(_ bytes: inout [UInt8]) {
    let isQuote = { (byte: UInt8) in
      [UInt8(ascii: "\""), UInt8(ascii: ">"), UInt8(ascii: "<")].contains(byte)
    }
    let from = below(bytes.count)
    guard let start = bytes[from...].firstIndex(where: isQuote).map({ $0 + 1 }),
      let end = bytes[start...].firstIndex(where: isQuote)
    else { return }
    let text = oneIn(4) ? numbers.bytes(1 + below(6)) : Array(pick(Self.texts).utf8)
    bytes.replaceSubrange(start..<end, with: text)
  }

  /// A bracket somewhere and all up to the one that closes it.
  private mutating func bracketed(_ bytes: [UInt8]) -> Range<Int>? {
    let opening: [UInt8] = [UInt8(ascii: "{"), UInt8(ascii: "[")]
    let from = below(bytes.count)
    guard let start = bytes[from...].firstIndex(where: opening.contains) else { return nil }
    var depth = 0
    for index in start..<bytes.count {
      if opening.contains(bytes[index]) { depth += 1 }
      if bytes[index] == UInt8(ascii: "}") || bytes[index] == UInt8(ascii: "]") { depth -= 1 }
      if depth == 0 { return start..<index + 1 }
    }
    return nil
  }

  private mutating func nest(_ bytes: inout [UInt8]) {
    let count = pick([2, 15, 16, 17, 126, 127, 128, 129, 511, 513, 5000])
    let (open, close) = pick([("[", "]"), ("{\"a\":", "}"), ("<a>", "</a>"), ("a=[", "]"), ("a.", "b=1")])
    let at = below(bytes.count + 1)
    let whole = oneIn(2) ? Array(String(repeating: close, count: count).utf8) : []
    bytes.insert(contentsOf: Array(String(repeating: open, count: count).utf8) + whole, at: at)
  }
}
