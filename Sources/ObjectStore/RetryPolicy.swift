/// How often and how long a request is tried before its error counts.
public struct RetryPolicy: Sendable {
  /// Tries in all, the first one included. So many that it is `total` that ends them, save where luck makes all pauses short.
  public var attempts = 20
  /// Seconds that the first pause is at most; each further one may be twice as long.
  public var base = 0.2
  /// Seconds that any pause is at most.
  public var cap = 20.0
  /// Seconds that the server may make us wait with `Retry-After`.
  public var retryAfterCap = 60.0
  /// Seconds from the first try after which no other begins.
  public var total = 120.0
  /// Tries in all while no request at all was ever answered: then the address is likelier wrong than the server busy.
  public var unreachableAttempts = 3
  /// Seconds from the first try after which no other begins while nothing was ever answered: one silence of a minute is survived.
  public var unreachableTotal = 65.0

  /// The defaults.
  public init() {}

  /// Seconds to wait after try number `attempt` (from 1) failed with `error`, `elapsed` seconds after the first began; nil where
  /// there shall be no other try.
  ///
  /// Full jitter: any time between nothing and the bound, so that many clients do not come back together
  /// (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter). `random` is in 0..<1.
  func pause(after error: StoreError, attempt: Int, elapsed: Double, answered: Bool, random: Double)
    -> Double?
  {
    guard error.isTransient else { return nil }
    var attempts = attempts
    var total = total
    if case .unreachable = error, !answered {
      attempts = min(attempts, unreachableAttempts)
      total = min(total, unreachableTotal)
    }
    guard attempt < attempts else { return nil }
    var bound = base
    for _ in 1..<max(attempt, 1) where bound < cap { bound *= 2 }
    var pause = min(bound, cap) * random
    if case .transient(_, _, let asked?) = error { pause = max(pause, min(asked, retryAfterCap)) }
    return elapsed + pause <= total ? pause : nil
  }
}
