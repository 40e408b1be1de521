import Platform

/// A text with all bytes but the unreserved ones of RFC 3986, and those of `keeping`, as `%XX`.
func percentEncoded(_ text: String, keeping: String = "") -> String {
  let digits = Array("0123456789ABCDEF".utf8)
  let kept = Array("-._~\(keeping)".utf8)
  var result: [UInt8] = []
  result.reserveCapacity(text.utf8.count)
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      result.append(byte)
    case _ where kept.contains(byte): result.append(byte)
    default: result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
  }
  return String(decoding: result, as: UTF8.self)
}

/// The text that a listing with `encoding-type=url` stands for. Nil where it is broken or no UTF-8.
func percentDecoded(_ text: String) -> String? {
  percentDecodedBytes(text).flatMap { String(validating: $0, as: UTF8.self) }
}

/// The bytes that an encoded text stands for: `+` is a blank, `%XX` a byte. Nil where it is broken.
func percentDecodedBytes(_ text: String) -> [UInt8]? {
  var result: [UInt8] = []
  result.reserveCapacity(text.utf8.count)
  var rest = Array(text.utf8)[...]
  while let byte = rest.popFirst() {
    switch byte {
    case UInt8(ascii: "+"): result.append(32)
    case UInt8(ascii: "%"):
      guard rest.count >= 2, let decoded = bytes(hex: String(decoding: rest.prefix(2), as: UTF8.self)) else {
        return nil
      }
      result += decoded
      rest = rest.dropFirst(2)
    default: result.append(byte)
    }
  }
  return result
}
