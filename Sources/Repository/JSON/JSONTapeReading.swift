import Platform

/// The values themselves.
extension JSONTape {
  /// `true` or `false`, or nil where it is something else.
  func bool(_ index: Int) -> Bool? {
    switch first(index) {
    case UInt8(ascii: "t"): true
    case UInt8(ascii: "f"): false
    default: nil
    }
  }

  /// A whole number, or nil where it is something else or does not fit.
  func integer(_ index: Int) -> Int64? {
    var position = Int(values[index].start)
    let isNegative = text[position] == UInt8(ascii: "-")
    if isNegative { position += 1 }
    guard Self.isDigit(text[position]) else { return nil }
    var value: Int64 = 0
    while position < text.count, Self.isDigit(text[position]) {
      let digit = Int64(text[position] &- UInt8(ascii: "0"))
      let (tens, isLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, isLarger) = tens.subtractingReportingOverflow(digit)
      if isLarge || isLarger { return nil }
      value = sum
      position += 1
    }
    // Counted below zero, where there is one number more.
    let isWhole = position == text.count || !Self.goesOn(text[position])
    guard isWhole else { return double(index).flatMap { Int64(exactly: $0) } }
    return isNegative ? value : value == .min ? nil : -value
  }

  private static func goesOn(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e")
  }

  /// A finite number, or nil where it is something else or has more than 400 digits.
  func double(_ index: Int) -> Double? {
    let number = text[Int(values[index].start)...].prefix {
      Self.isDigit($0) || Self.goesOn($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+")
    }
    guard number.count <= 400, let value = Double(String(decoding: number, as: UTF8.self)), value.isFinite
    else { return nil }
    return value
  }

  /// A text, or nil where it is something else or no Unicode.
  func string(_ index: Int) -> String? {
    guard first(index) == UInt8(ascii: "\"") else { return nil }
    let start = Int(values[index].start) + 1
    var end = start
    while text[end] != UInt8(ascii: "\"") {
      if text[end] == UInt8(ascii: "\\") { return unescapedString(from: start) }
      end += 1
    }
    return String(validating: text[start..<end], as: UTF8.self)
  }

  private func unescapedString(from start: Int) -> String? {
    var result: [UInt8] = []
    var position = start
    while text[position] != UInt8(ascii: "\"") {
      guard text[position] == UInt8(ascii: "\\") else {
        result.append(text[position])
        position += 1
        continue
      }
      position += 2
      switch text[position - 1] {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(text[position - 1])
      case UInt8(ascii: "b"): result.append(0x08)
      case UInt8(ascii: "f"): result.append(0x0c)
      case UInt8(ascii: "n"): result.append(0x0a)
      case UInt8(ascii: "r"): result.append(0x0d)
      case UInt8(ascii: "t"): result.append(0x09)
      case UInt8(ascii: "u"):
        guard let scalar = escapedScalar(&position) else { return nil }
        result += String(scalar).utf8
      default: return nil
      }
    }
    return String(validating: result, as: UTF8.self)
  }

  /// The character whose digits come next; two escapes make one that does not fit 16 bits.
  private func escapedScalar(_ position: inout Int) -> Unicode.Scalar? {
    guard let high = codeUnit(&position) else { return nil }
    guard UTF16.isLeadSurrogate(high) else { return Unicode.Scalar(high) }
    guard text[position...].starts(with: "\\u".utf8) else { return nil }
    position += 2
    guard let low = codeUnit(&position), UTF16.isTrailSurrogate(low) else { return nil }
    return Unicode.Scalar(0x10000 + (UInt32(high & 0x3ff) << 10 | UInt32(low & 0x3ff)))
  }

  private func codeUnit(_ position: inout Int) -> UInt16? {
    let digits = String(decoding: text[position...].prefix(4), as: UTF8.self)
    guard let unit = bytes(hex: digits), unit.count == 2 else { return nil }
    position += 4
    return UInt16(unit[0]) << 8 | UInt16(unit[1])
  }
}
