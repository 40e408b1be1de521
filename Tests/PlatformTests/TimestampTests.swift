import Platform
import TestSupport
import Testing

@Suite("Timestamps") struct TimestampTests {
  @Test(
    "a moment is written as RFC 3339 and in SigV4's form, in UTC",
    arguments: [
      (0, "1970-01-01T00:00:00Z", "19700101T000000Z"),
      (1_795_491_774, "2026-11-24T03:42:54Z", "20261124T034254Z"),
      (951_782_400, "2000-02-29T00:00:00Z", "20000229T000000Z"),
      (-1, "1969-12-31T23:59:59Z", "19691231T235959Z"),
    ])
  func written(_ seconds: Int64, _ text: String, _ basic: String) {
    let time = Timestamp(seconds: seconds)
    #expect(time.rfc3339 == text && time.basicUTC == basic)
    #expect(Timestamp(parsing: text) == time)
  }

  @Test(
    "fractions and HTTP dates are read",
    arguments: [
      ("2026-11-24T03:42:54.5Z", 1_795_491_774_500_000_000),
      ("2026-11-24T03:42:54.000Z", 1_795_491_774_000_000_000),
      ("2026-11-24T03:42:54.123456789123Z", 1_795_491_774_123_456_789),
      ("2026-11-24T03:42:54+00:00", 1_795_491_774_000_000_000),
      ("Tue, 24 Nov 2026 03:42:54 GMT", 1_795_491_774_000_000_000),
    ])
  func read(_ text: String, _ nanoseconds: Int64) {
    #expect(Timestamp(parsing: text)?.nanoseconds == nanoseconds)
  }

  @Test(
    "what is no time, or one of another zone, is not taken for one",
    arguments: [
      "", "now", "2026-11-24", "2026-11-24T03:42", "2026-11-24T03:42:54", "2026-13-24T03:42:54Z",
      "2026-11-24T03:42:54+02:00", "2026-11-24T03:42:54Z and more", "2026-11-24T03:42:54.5",
      "Tue, 24 Nov 2026 03:42:54 CET", "Tue, 24 Nov 2026 03:42:54",
    ])
  func refused(_ text: String) {
    #expect(Timestamp(parsing: text) == nil)
  }

  @Test("moments that no 64 bits hold saturate and never end the program")
  func extremes() throws {
    for text in ["9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59Z", "2262-04-11T23:47:16.9Z"] {
      #expect(try #require(Timestamp(parsing: text)) > Timestamp(seconds: 9_000_000_000), "\(text)")
    }
    for nanoseconds in [Int64.min, .max] {
      let time = Timestamp(nanoseconds: nanoseconds)
      #expect(!time.rfc3339.isEmpty && !time.localMinute.isEmpty)
      #expect(Timestamp(seconds: time.seconds) <= time)
    }
    #expect(Timestamp(seconds: .max).nanoseconds == .max && Timestamp(seconds: .min).nanoseconds == .min)
  }

  @Test("the seconds of a moment are those that have passed, to the last nanosecond; the seed is printed")
  func seconds() {
    #expect(Timestamp(nanoseconds: 1_600_000_000_999_999_999).seconds == 1_600_000_000)
    #expect(Timestamp(nanoseconds: 1_600_000_000_999_999_999).rfc3339 == "2020-09-13T12:26:40Z")
    #expect(Timestamp(nanoseconds: -1).seconds == -1 && Timestamp(nanoseconds: -1_000_000_000).seconds == -1)
    var generator = Seeded()
    for _ in 0..<1000 {
      let seconds = Int64.random(in: -4_000_000_000...9_000_000_000, using: &generator)
      let time = Timestamp(
        nanoseconds: seconds * 1_000_000_000 + Int64.random(in: 0..<1_000_000_000, using: &generator))
      #expect(time.seconds == seconds)
      #expect(Timestamp(parsing: time.rfc3339) == Timestamp(seconds: seconds))
    }
  }

  @Test("the time between two moments is in seconds, negative where the other is later")
  func between() {
    let (early, late) = (Timestamp(seconds: 100), Timestamp(nanoseconds: 101_500_000_000))
    #expect(early < late)
    #expect(late.seconds(since: early) == 1.5 && early.seconds(since: late) == -1.5)
  }
}
