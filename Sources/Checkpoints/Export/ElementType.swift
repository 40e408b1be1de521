/// A floating-point type that weights can be written in instead of their own.
public enum ElementType: String, Sendable, CaseIterable {
  /// bfloat16: the upper half of a float32.
  case bf16
  /// IEEE 754 binary16.
  case fp16

  /// Its name in safetensors.
  var dtype: String { self == .bf16 ? "BF16" : "F16" }

  /// The type in which a tensor is written: this one for floating-point numbers of 2 bytes and more, its own for anything else.
  func target(of dtype: String) -> String {
    ["F64", "F32", "F16", "BF16"].contains(dtype) ? self.dtype : dtype
  }
}

/// Turns elements of one type into another, rounding to the nearest, ties to even.
enum Conversion {
  /// Converts `source`, elements of type `from`, to type `to`; both little-endian.
  static func convert(_ source: [UInt8], from: String, to: String) -> [UInt8] {
    guard from != to else { return source }
    let count = source.count / (itemSizes[from] ?? 1)
    var result = [UInt8](repeating: 0, count: count * 2)
    source.withUnsafeBytes { source in
      result.withUnsafeMutableBytes { target in
        for index in 0..<count {
          let value = float(source, index, from)
          let bits = to == "BF16" ? bfloat16(value) : float16(value)
          target.storeBytes(of: bits.littleEndian, toByteOffset: 2 * index, as: UInt16.self)
        }
      }
    }
    return result
  }

  private static func float(_ source: UnsafeRawBufferPointer, _ index: Int, _ type: String) -> Double {
    switch type {
    case "F64":
      Double(
        bitPattern: UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self)))
    case "F32":
      Double(
        Float(
          bitPattern: UInt32(littleEndian: source.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))))
    case "BF16":
      Double(
        Float(
          bitPattern: UInt32(
            UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))) << 16))
    default:
      half(UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
    }
  }

  /// A double's nearest bfloat16. A double is rounded once only: by way of its float32 with the lost bits kept as one sticky bit.
  static func bfloat16(_ value: Double) -> UInt16 {
    let bits = oddFloat(value)
    if value.isNaN { return UInt16(bits >> 16) | 0x40 }
    let (rounded, overflow) = bits.addingReportingOverflow(0x7fff + (bits >> 16 & 1))
    return UInt16((overflow ? bits : rounded) >> 16)
  }

  /// The float32 next to a double towards zero, its lowest bit set where the double lies beyond it.
  private static func oddFloat(_ value: Double) -> UInt32 {
    var float = Float(value)
    if Double(float) == value || !value.isFinite { return float.bitPattern }
    if Double(float).magnitude > value.magnitude {
      float = Float(bitPattern: float.bitPattern - 1)
    }
    return float.bitPattern | 1
  }

  /// A double's nearest binary16.
  static func float16(_ value: Double) -> UInt16 {
    let sign: UInt16 = value.sign == .minus ? 0x8000 : 0
    let magnitude = value.magnitude
    if value.isNaN { return sign | 0x7e00 }
    // 65520 lies in the middle between the largest number and the next that would be.
    if magnitude >= 65520 { return sign | 0x7c00 }
    // Below 2^-14 all neighbours are 2^-24 apart.
    if magnitude < 0x1p-14 { return sign | UInt16((magnitude * 0x1p24).rounded(.toNearestOrEven)) }
    let exponent = Int(magnitude.exponent)
    let scaled = (magnitude.significand * 1024).rounded(.toNearestOrEven)
    // A significand that is rounded up to 2 moves the exponent by itself.
    return sign | UInt16((exponent + 14) * 1024 + Int(scaled))
  }

  private static func half(_ bits: UInt16) -> Double {
    let sign: Double = bits & 0x8000 == 0 ? 1 : -1
    let exponent = Int(bits >> 10 & 0x1f)
    let fraction = Double(bits & 0x3ff)
    switch exponent {
    case 0: return sign * fraction * 0x1p-24
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default:
      return sign * (1 + fraction / 1024) * Double(sign: .plus, exponent: exponent - 15, significand: 1)
    }
  }
}
