/// Repeatable random numbers (SplitMix64; Steele, Lea and Flood: Fast splittable pseudorandom number
/// generators, 2014).
public struct Seeded: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// The numbers of a seed: the same on every machine.
  public init(seed: UInt64) { state = seed }

  /// Numbers from a fresh seed, which is printed so that a failure can be repeated.
  public init(_ test: String = #function) {
    state = UInt64.random(in: 0...UInt64.max)
    print("\(test): seed \(state)")
  }

  /// The next 64 random bits.
  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }

  /// The next `count` random bytes.
  public mutating func bytes(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count + 7) { buffer, filled in
      for place in stride(from: 0, to: count, by: 8) {
        UnsafeMutableRawBufferPointer(buffer).storeBytes(of: next(), toByteOffset: place, as: UInt64.self)
      }
      filled = count
    }
  }
}

/// Random bytes that are the same for the same seed.
public func noise(_ count: Int, seed: UInt64) -> [UInt8] {
  var numbers = Seeded(seed: seed)
  return numbers.bytes(count)
}
