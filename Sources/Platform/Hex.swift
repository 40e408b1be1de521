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
      let (high, low) = (hexValue(digits[2 * index]), hexValue(digits[2 * index + 1]))
      guard high | low < 16 else { return nil }
      result[index] = high << 4 | low
    }
    return result
  }
}

private func hexDigit(_ value: UInt8) -> UInt8 {
  value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
}

/// 0 to 15, or 255 for any other character than a digit.
private func hexValue(_ character: UInt8) -> UInt8 {
  let number = character &- UInt8(ascii: "0")
  if number < 10 { return number }
  let letter = (character | 0x20) &- UInt8(ascii: "a")
  return letter < 6 ? letter + 10 : 255
}
