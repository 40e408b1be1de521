import CPlatform
import Glibc

/// A moment: nanoseconds since 1970-01-01 00:00 UTC.
public struct Timestamp: Hashable, Comparable, Sendable {
  /// Nanoseconds since 1970, negative before it.
  public var nanoseconds: Int64

  /// The moment that many nanoseconds after the start of 1970.
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
  /// The moment that many whole seconds after the start of 1970. Out of range values saturate.
  public init(seconds: Int64) {
    let (value, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    nanoseconds = overflow ? (seconds < 0 ? .min : .max) : value
  }

  /// Whole seconds since 1970, rounded down.
  public var seconds: Int64 {
    // Integers: a Double rounds the last nanoseconds of a second up to the next one.
    let (quotient, remainder) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    return remainder < 0 ? quotient - 1 : quotient
  }

  /// The system's clock.
  public static func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  /// Orders by time.
  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Seconds from `earlier` to this moment, negative where it lies before.
  public func seconds(since earlier: Timestamp) -> Double {
    Double(nanoseconds) / 1e9 - Double(earlier.nanoseconds) / 1e9
  }

  /// RFC 3339 in UTC to the second, for example `2026-11-24T03:42:54Z`.
  public var rfc3339: String { format("%Y-%m-%dT%H:%M:%SZ", local: false) }
  /// The form of SigV4's `x-amz-date`, for example `20261124T034254Z`.
  public var basicUTC: String { format("%Y%m%dT%H%M%SZ", local: false) }
  /// Local time to the minute for people, for example `2026-11-24 03:42`.
  public var localMinute: String { format("%Y-%m-%d %H:%M", local: true) }

  /// `strftime` on this moment, in UTC or the machine's time zone.
  public func format(_ pattern: String, local: Bool) -> String {
    var time = time_t(seconds)
    var parts = tm()
    _ = local ? localtime_r(&time, &parts) : gmtime_r(&time, &parts)
    var text = [CChar](repeating: 0, count: 128)
    let length = strftime(&text, text.count, pattern, &parts)
    return String(decoding: text.prefix(length).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// Reads RFC 3339 in UTC (`2026-11-24T03:42:54Z`, fractions of a second allowed) or an HTTP date
  /// (`Tue, 24 Nov 2026 03:42:54 GMT`). Nil where it is neither, in another time zone too.
  public init?(parsing text: String) {
    for (pattern, zones) in [
      ("%Y-%m-%dT%H:%M:%S", ["Z", "z", "+00:00"]), ("%a, %d %b %Y %H:%M:%S", [" GMT"]),
    ] {
      var seconds: Int64 = 0
      let length = ck_parse_time(text, pattern, &seconds)
      guard length >= 0 else { continue }
      var rest = text.utf8.dropFirst(Int(length))
      var nanoseconds: Int64 = 0
      if rest.first == UInt8(ascii: ".") {
        let digits = rest.dropFirst().prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        rest = rest.dropFirst(1 + digits.count)
        let kept = String(decoding: digits.prefix(9), as: UTF8.self)
        nanoseconds = Int64(kept + String(repeating: "0", count: 9 - kept.utf8.count)) ?? 0
      }
      guard zones.contains(where: { rest.elementsEqual($0.utf8) }) else { continue }
      let whole = Timestamp(seconds: seconds).nanoseconds
      let (sum, overflow) = whole.addingReportingOverflow(nanoseconds)
      self.init(nanoseconds: overflow ? whole : sum)
      return
    }
    return nil
  }
}
