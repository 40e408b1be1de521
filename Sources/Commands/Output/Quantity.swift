/// Sizes and times as people write and read them.
enum Quantity {
  private static let units = [
    "": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30,
    "t": 1 << 40, "tib": 1 << 40, "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000, "tb": 1_000_000_000_000,
  ]

  /// Reads `512MiB`, `1.5GiB`, `50GB`, `1048576`; nil for anything else or more than fits.
  static func bytes(_ text: String) -> Int? {
    let (number, unit) = split(text)
    guard let value = Double(number), value >= 0, let factor = units[unit.lowercased()] else { return nil }
    return Int(exactly: (value * Double(factor)).rounded())
  }

  /// Reads `20MiB`, `20MiB/s` as bytes a second; nil for anything else, and for less than 1 KiB a second.
  static func rate(_ text: String) -> Int? {
    let size = text.hasSuffix("/s") ? String(text.dropLast(2)) : text
    return bytes(size).flatMap { $0 >= 1024 ? $0 : nil }
  }

  /// Reads `90s`, `15m`, `24h`, `30d`, `2w` as seconds; nil for anything else.
  static func seconds(_ text: String) -> Double? {
    let factors = ["s": 1.0, "m": 60, "h": 3600, "d": 86400, "w": 604800]
    let (number, unit) = split(text)
    guard let value = Double(number), value >= 0, value.isFinite, let factor = factors[unit] else {
      return nil
    }
    return value * factor
  }

  private static func split(_ text: String) -> (number: String, unit: String) {
    let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    return (String(number), text.dropFirst(number.count).trimmingPrefix { $0 == " " }.description)
  }

  /// `0 B`, `812 B`, `3.4 KiB`, `1.2 GiB`.
  static func format(bytes: Int) -> String {
    var value = Double(bytes)
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
      if abs(value) < 1024 || unit == "TiB" {
        return unit == "B" ? "\(bytes) B" : "\(fixed(value, digits: value < 100 ? 1 : 0)) \(unit)"
      }
      value /= 1024
    }
    return "\(bytes) B"
  }

  /// `12s`, `3m 05s`, `2h 07m`, `4d 02h`.
  static func format(seconds: Double) -> String {
    let whole = Int(max(0, seconds).rounded())
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    switch whole {
    case ..<60: return "\(whole)s"
    case ..<3600: return "\(whole / 60)m \(two(whole % 60))s"
    case ..<86400: return "\(whole / 3600)h \(two(whole / 60 % 60))m"
    default: return "\(whole / 86400)d \(two(whole / 3600 % 24))h"
    }
  }

  /// `1 file`, `3 files`.
  static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

  /// `rank 3`, `ranks 0-2, 5`: numbers in order; of more than `limit` runs of them the first ones, and how many numbers there are more.
  static func ranks(_ numbers: [Int], limit: Int = 50) -> String {
    var runs: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = runs.last, last.upperBound + 1 == number {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    let rest = runs.dropFirst(limit).reduce(0) { $0 + $1.count }
    let words = runs.prefix(limit).map {
      $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
    }
    return
      "\(numbers.count == 1 ? "rank" : "ranks") \(words.joined(separator: ", "))\(rest > 0 ? " and \(rest) more" : "")"
  }

  /// A number with so many digits after the point.
  static func fixed(_ value: Double, digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    var factor = 1.0
    for _ in 0..<digits { factor *= 10 }
    let scaled = Int((abs(value) * factor).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    if digits == 0 { return "\(sign)\(scaled)" }
    let fraction = String(scaled % Int(factor))
    return "\(sign)\(scaled / Int(factor))." + String(repeating: "0", count: digits - fraction.count)
      + fraction
  }

  /// A metric with four significant digits or so: `0.0123`, `1.234`, `12.35`, `1e-06`.
  static func format(metric value: Double) -> String {
    let size = abs(value)
    if value == value.rounded(), size < 1e9 { return fixed(value, digits: 0) }
    // A `Float` has the digits that people read, and not every size.
    if size < 1e-30 || size >= 1e30 { return "\(value)" }
    if size < 0.001 || size >= 1e9 { return "\(Float(value))" }
    return fixed(value, digits: size < 10 ? 4 : size < 1000 ? 2 : 1)
  }
}
