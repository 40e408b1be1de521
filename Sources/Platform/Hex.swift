/// Bytes as lower-case hexadecimal digits.
public func hex(_ bytes: some Sequence<UInt8>) -> String {
  var digits: [UInt8] = []
  digits.reserveCapacity(bytes.underestimatedCount * 2)
  for byte in bytes {
    digits.append(hexDigit(byte >> 4))
    digits.append(hexDigit(byte & 15))
  }
  return String(decoding: digits, as: UTF8.self)
}

/// The bytes that hexadecimal digits stand for, or nil where a character is no such digit or the count is odd.
public func bytes(hex text: String) -> [UInt8]? {
  var text = text
  return text.withUTF8 { digits in
    guard digits.count % 2 == 0 else { return nil }
    var result = [UInt8](repeating: 0, count: digits.count / 2)
    for index in result.indices {
      guard let high = hexValue(digits[2 * index]), let low = hexValue(digits[2 * index + 1]) else {
        return nil
      }
      result[index] = high << 4 | low
    }
    return result
  }
}

private func hexDigit(_ value: UInt8) -> UInt8 {
  value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
}

private func hexValue(_ character: UInt8) -> UInt8? {
  switch character {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
  default: nil
  }
}
