import Glibc
import Platform

/// Time and randomness as parameters, so that tests decide them.
public struct Surroundings: Sendable {
  /// This machine's clock.
  public var now: @Sendable () -> Timestamp
  /// So many random bytes, good enough for names that must never collide.
  public var random: @Sendable (Int) -> [UInt8]

  /// Surroundings of a test, or of `system`.
  public init(now: @escaping @Sendable () -> Timestamp, random: @escaping @Sendable (Int) -> [UInt8]) {
    self.now = now
    self.random = random
  }

  /// The real clock and the kernel's random source.
  public static let system = Surroundings(
    now: { .now() },
    random: { count in
      [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
        // getrandom gives up to 256 bytes in one piece or waits until it can (getrandom(2)).
        while filled < count {
          let got = getrandom(buffer.baseAddress.map { $0 + filled }, min(256, count - filled), 0)
          precondition(got > 0 || errno == EINTR, "the kernel gives no random bytes")
          filled += max(0, got)
        }
      }
    })
}
