/// Bytes in the standard alphabet of base64 (RFC 4648, section 4), padded.
public func base64(_ bytes: some Collection<UInt8>) -> String {
  var text: [UInt8] = []
  text.reserveCapacity((bytes.count + 2) / 3 * 4)
  var rest = bytes[...]
  while !rest.isEmpty {
    let group = rest.prefix(3)
    rest = rest.dropFirst(3)
    var bits: UInt32 = 0
    for byte in group { bits = bits << 8 | UInt32(byte) }
    bits <<= 8 * UInt32(3 - group.count)
    for place in 0..<4 {
      let digit = Int(bits >> UInt32(18 - 6 * place) & 63)
      text.append(place <= group.count ? alphabet[digit] : padding)
    }
  }
  return String(decoding: text, as: UTF8.self)
}

/// The bytes that base64 (RFC 4648, section 4) stands for, or nil where the text is not exactly what `base64` writes:
/// other characters, white space, missing padding, or bits set that belong to no byte.
public func bytes(base64 text: some StringProtocol) -> [UInt8]? {
  let digits = Array(text.utf8)
  guard digits.count.isMultiple(of: 4) else { return nil }
  let padded = digits.suffix(2).reversed().prefix { $0 == padding }.count
  var bytes: [UInt8] = []
  bytes.reserveCapacity(digits.count / 4 * 3)
  var bits: UInt32 = 0
  var bitCount: UInt32 = 0
  for digit in digits.dropLast(padded) {
    guard let value = values[Int(digit)] else { return nil }
    bits = bits << 6 | value
    bitCount += 6
    if bitCount >= 8 {
      bitCount -= 8
      bytes.append(UInt8(bits >> bitCount))
      bits &= (1 << bitCount) - 1
    }
  }
  return bits == 0 ? bytes : nil
}

private let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
private let padding = UInt8(ascii: "=")
/// The value of each character, nil where it is none of the alphabet.
private let values: [UInt32?] = {
  var values = [UInt32?](repeating: nil, count: 256)
  for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt32(value) }
  return values
}()
