import Platform

/// Time, randomness and waiting as parameters, so that tests decide them.
public struct Surroundings: Sendable {
  /// This machine's clock.
  public var now: @Sendable () -> Timestamp
  /// So many random bytes, good enough for names that must never collide.
  public var random: @Sendable (Int) -> [UInt8]
  /// Waits so many seconds. Throws `CancellationError`.
  public var sleep: @Sendable (Double) async throws -> Void

  /// Surroundings of a test, or of `system`.
  public init(
    now: @escaping @Sendable () -> Timestamp, random: @escaping @Sendable (Int) -> [UInt8],
    sleep: @escaping @Sendable (Double) async throws -> Void = { try await Task.sleep(for: .seconds($0)) }
  ) {
    self.now = now
    self.random = random
    self.sleep = sleep
  }

  /// The real clock and the kernel's random source.
  public static let system = Surroundings(
    now: { .now() },
    random: { count in
      var generator = SystemRandomNumberGenerator()
      return (0..<count).map { _ in UInt8.random(in: 0...(.max), using: &generator) }
    })
}
