import HTTP
import ObjectStore
import Platform
import Synchronization
import TestSupport
import Testing

/// A place whose credentials end after `lifetime` seconds, that may fail and may be made to wait.
private final class Place: CredentialsSource {
  private struct State {
    var asked = 0
    var fails = false
    var isHeld = false
    var held: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())
  let now: Mutex<Timestamp>
  private let lifetime: Double?
  private let recheck: Double?

  init(lifetime: Double?, recheck: Double? = nil) {
    now = Mutex(noon)
    self.lifetime = lifetime
    self.recheck = recheck
  }

  var asked: Int { state.withLock { $0.asked } }
  func fail(_ fails: Bool) { state.withLock { $0.fails = fails } }
  func pass(_ seconds: Int64) { now.withLock { $0.nanoseconds += seconds * 1_000_000_000 } }
  func hold() { state.withLock { $0.isHeld = true } }
  func release() {
    let held = state.withLock { state in
      state.isHeld = false
      defer { state.held = [] }
      return state.held
    }
    for continuation in held { continuation.resume() }
  }

  func find() async throws -> FoundCredentials {
    await withCheckedContinuation { continuation in
      let goesOn = state.withLock { state in
        state.asked += 1
        if state.isHeld { state.held.append(continuation) }
        return !state.isHeld
      }
      if goesOn { continuation.resume() }
    }
    let (number, fails) = state.withLock { ($0.asked, $0.fails) }
    if fails { throw CredentialsError.failed(place: "the place", reason: "no", cure: "Wait") }
    let expires = lifetime.map { seconds in
      Timestamp(nanoseconds: now.withLock { $0.nanoseconds } + Int64(seconds) * 1_000_000_000)
    }
    return FoundCredentials(
      Credentials(accessKey: "AK\(number)", secretKey: "s"), origin: "the place", expires: expires,
      recheck: recheck)
  }

  func renewing() -> RenewingCredentials {
    RenewingCredentials(self, clock: { [self] in now.withLock { $0 } })
  }
}

struct RenewalTests {
  @Test func credentialsAreRenewedFiveMinutesBeforeTheyEnd() async throws {
    let place = Place(lifetime: 3600)
    let credentials = place.renewing()
    #expect(try await credentials.credentials().accessKey == "AK1")
    place.pass(3299)
    #expect(try await credentials.credentials().accessKey == "AK1")
    place.pass(1)
    #expect(try await credentials.credentials().accessKey == "AK2")
    #expect(try await credentials.credentials().accessKey == "AK2")
    #expect(place.asked == 2)
    #expect(try await credentials.origin() == "the place")
  }

  @Test func shortOnesAreRenewedAtHalfOfTheirTime() async throws {
    let place = Place(lifetime: 60)
    let credentials = place.renewing()
    for (seconds, expected) in [(0, "AK1"), (29, "AK1"), (1, "AK2"), (29, "AK2"), (1, "AK3")] {
      place.pass(Int64(seconds))
      #expect(try await credentials.credentials().accessKey == expected)
    }
  }

  @Test func aRenewalThatFailsKeepsTheOldOnesUntilTheyEnd() async throws {
    let place = Place(lifetime: 3600)
    let credentials = place.renewing()
    _ = try await credentials.credentials()
    place.fail(true)
    place.pass(3300)
    for _ in 0..<5 { #expect(try await credentials.credentials().accessKey == "AK1") }
    #expect(place.asked == 2)
    place.pass(30)
    #expect(try await credentials.credentials().accessKey == "AK1")
    #expect(place.asked == 3)
    place.pass(270)
    await #expect(throws: CredentialsError.failed(place: "the place", reason: "no", cure: "Wait")) {
      try await credentials.credentials()
    }
    place.fail(false)
    #expect(try await credentials.credentials().accessKey == "AK5")
  }

  @Test func manyWhoWaitAskOnce() async throws {
    let place = Place(lifetime: 3600)
    let credentials = place.renewing()
    place.hold()
    let waiting = (0..<20).map { _ in Task { try await credentials.credentials().accessKey } }
    while place.asked == 0 { try await Task.sleep(for: .milliseconds(1)) }
    try await Task.sleep(for: .milliseconds(20))
    place.release()
    for task in waiting { #expect(try await task.value == "AK1") }
    #expect(place.asked == 1)
  }

  @Test func nobodyWaitsForARenewalWhileTheOldOnesAreGood() async throws {
    let place = Place(lifetime: 3600)
    let credentials = place.renewing()
    _ = try await credentials.credentials()
    place.pass(3400)
    place.hold()
    let first = Task { try await credentials.credentials().accessKey }
    while place.asked < 2 { try await Task.sleep(for: .milliseconds(1)) }
    #expect(try await credentials.credentials().accessKey == "AK1")
    place.release()
    #expect(try await first.value == "AK2")
    #expect(try await credentials.credentials().accessKey == "AK2")
  }

  @Test func oneWhoIsCancelledWaitsNoLongerAndTheOthersDo() async throws {
    let place = Place(lifetime: 3600)
    let credentials = place.renewing()
    place.hold()
    let patient = Task { try await credentials.credentials().accessKey }
    while place.asked == 0 { try await Task.sleep(for: .milliseconds(1)) }
    let cancelled = Task { try await credentials.credentials().accessKey }
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    place.release()
    #expect(try await patient.value == "AK1")
  }

  @Test func aQuestionThatEverybodyGaveUpIsNobodysAnswer() async throws {
    let place = Place(lifetime: 3600)
    let credentials = place.renewing()
    place.hold()
    let cancelled = Task { try await credentials.credentials().accessKey }
    while place.asked == 0 { try await Task.sleep(for: .milliseconds(1)) }
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    let next = Task { try await credentials.credentials().accessKey }
    while place.asked == 1 { try await Task.sleep(for: .milliseconds(1)) }
    place.release()
    #expect(try await next.value == "AK2")
  }

  @Test func whatTheServerRefusesIsRenewedAtOnce() async throws {
    let place = Place(lifetime: nil)
    let credentials = place.renewing()
    let old = try await credentials.credentials()
    #expect(try await credentials.renewed(insteadOf: old)?.accessKey == "AK2")
    // Another request that still had the old ones does not ask again.
    #expect(try await credentials.renewed(insteadOf: old)?.accessKey == "AK2")
    #expect(place.asked == 2)
    #expect(try await credentials.credentials().accessKey == "AK2")
  }

  @Test func whatDidNotChangeIsNoRenewal() async throws {
    let old = Credentials(accessKey: "A", secretKey: "B")
    let fixed = RenewingCredentials(
      EnvironmentCredentials(environment: ["AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B"]))
    #expect(try await fixed.credentials() == old)
    #expect(try await fixed.renewed(insteadOf: old) == nil)
    #expect(try await StaticCredentials(old).renewed(insteadOf: old) == nil)
  }

  @Test func profilesAreReadOnceAMinute() async throws {
    let (reads, turns) = (Counter(), Counter())
    var surroundings = CredentialsSurroundings.standIn()
    surroundings.read = { path in
      path.hasSuffix("config")
        ? nil : Array("[default]\naws_access_key_id=A\naws_secret_access_key=\(reads.next())\n".utf8)
    }
    let credentials = RenewingCredentials(
      ProfileCredentials(surroundings), clock: { Timestamp(seconds: noon.seconds + 20 * Int64(turns.value)) })
    for expected in ["1", "1", "1", "2", "2"] {
      #expect(try await credentials.credentials().secretKey == expected)
      _ = turns.next()
    }
  }

  @Test func thePlaceThatHadCredentialsIsAskedFirstLater() async throws {
    let service = StandInService { request in
      request.method == "PUT" || request.url.hasSuffix("/") ? .text("role") : keysAnswer()
    }
    let reads = Counter()
    var surroundings = CredentialsSurroundings.standIn([:], service)
    surroundings.read = { _ in
      _ = reads.next()
      return nil
    }
    let chain = CredentialsChain.standard(for: .amazon, region: "x", surroundings)
    _ = try await chain.find()
    let before = reads.value
    _ = try await chain.find()
    #expect(reads.value == before)
  }
}
