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
    var seen: UInt8 = 0
    let result = [UInt8](unsafeUninitializedCapacity: digits.count / 2) { target, filled in
      for index in target.indices {
        let (high, low) = (hexValue(digits[2 * index]), hexValue(digits[2 * index + 1]))
        target.initializeElement(at: index, to: high << 4 | low)
        seen |= high | low
      }
      filled = target.count
    }
    return seen < 16 ? result : nil
  }
}

private func hexDigit(_ value: UInt8) -> UInt8 {
  value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
}

/// 0 to 15, or 255 for any other character than a digit. Without a branch, since nothing foretells whether a digit is a letter.
private func hexValue(_ character: UInt8) -> UInt8 {
  let number = character &- UInt8(ascii: "0")
  let letter = (character | 0x20) &- UInt8(ascii: "a")
  return min(number < 10 ? number : 255, letter < 6 ? letter &+ 10 : 255)
}
