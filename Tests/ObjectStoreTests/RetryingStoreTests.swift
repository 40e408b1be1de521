import Digests
import FoundationEssentials
import ObjectStore
import Platform
import Synchronization
import Testing

/// Keeps what it is given.
final class Recorder<Value: Sendable>: Sendable {
  private let kept = Mutex<[Value]>([])
  var values: [Value] { kept.withLock { $0 } }
  func add(_ value: Value) { kept.withLock { $0.append(value) } }
}

struct RetryingStoreTests {
  private static let busy = StoreError.transient(operation: "get", detail: "busy", retryAfter: nil)
  private let pauses = Recorder<Double>()

  /// A store that holds `key`, fails by a plan, and is tried again without any real pause; its clock goes on by the pauses alone.
  private func store(
    _ policy: RetryPolicy = RetryPolicy(), plan: @escaping FaultyStore<MemoryStore>.Plan
  ) async throws -> (RetryingStore<FaultyStore<MemoryStore>>, FaultyStore<MemoryStore>) {
    let memory = MemoryStore()
    try await memory.put("key", Payload([1, 2, 3]))
    let faulty = FaultyStore(memory, plan: plan)
    let store = RetryingStore(
      faulty, policy: policy, sleep: { [pauses] in pauses.add($0) }, random: { 0.999 },
      clock: { [pauses] in pauses.values.reduce(0, +) })
    return (store, faulty)
  }

  private func always(_ error: StoreError) -> FaultyStore<MemoryStore>.Plan { { _, _, _ in .before(error) } }

  @Test func whatPassesIsTriedAgainUntilItSucceeds() async throws {
    for error in [
      Self.busy, .corruptedInTransit(key: "key"), .short(key: "key", expected: 1, received: 0),
      .unreachable(endpoint: "e", reason: "r"),
    ] {
      let (store, faulty) = try await store { _, _, call in call < 3 ? .before(error) : nil }
      #expect(try await store.get("key", limit: 3) == [1, 2, 3])
      #expect(faulty.calls(.get) == 3, "\(error)")
    }
  }

  @Test func pausesDoubleUpToTheirBoundAndEndWithTheLastTry() async throws {
    var policy = RetryPolicy()
    policy.cap = 1
    policy.attempts = 6
    let (store, faulty) = try await self.store(policy, plan: always(Self.busy))
    let error = await #expect(throws: StoreError.self) { try await store.get("key", limit: 3) }
    #expect(faulty.calls(.get) == policy.attempts)
    #expect(pauses.values.map { ($0 / 0.999 * 10).rounded() / 10 } == [0.2, 0.4, 0.8, 1, 1])
    #expect(error == .gaveUp(Self.busy, tries: 6, seconds: pauses.values.reduce(0, +)))
  }

  @Test func anOutageOfAMinuteIsSurvivedEvenWherePausesAreShort() async throws {
    let memory = MemoryStore()
    try await memory.put("key", Payload([1]))
    // As full jitter gives them on average.
    let now = Recorder<Double>()
    let clock: @Sendable () -> Double = { now.values.reduce(0, +) }
    let faulty = FaultyStore(memory) { _, _, _ in clock() < 45 ? .before(Self.busy) : nil }
    let store = RetryingStore(faulty, sleep: { now.add($0) }, random: { 0.5 }, clock: clock)
    #expect(try await store.get("key", limit: 1) == [1])
  }

  @Test(arguments: [
    StoreError.missing(key: "key"), .tooLarge(key: "key", limit: 1), .credentials(code: "c", message: "m"),
    .denied(operation: "get", key: "key", message: "m"), .noBucket(name: "b"), .clockSkew(seconds: 9),
    .wrongRegion(expected: "r"), .notS3(endpoint: "e", detail: "d"), .noUpload(key: "key"),
    .untrusted(endpoint: "e", reason: "r"),
    .full(detail: "d"),
    .refused(operation: "get", key: "key", status: 400, code: "c", message: "m"),
    .partial(failures: ["a": "b"]),
    .system(SystemError(operation: "read", path: "p", code: 5)), .unsupported(operation: "get"),
  ])
  func whatIsFinalIsTriedOnce(_ error: StoreError) async throws {
    let (store, faulty) = try await store(plan: always(error))
    await #expect(throws: error) { try await store.get("key", limit: 3) }
    await #expect(throws: error) { try await store.put("key", Payload([1])) }
    await #expect(throws: error) { try await store.list("") }
    #expect(faulty.calls(.get) == 1 && faulty.calls(.put) == 1 && faulty.calls(.list) == 1)
    #expect(pauses.values.isEmpty)
  }

  @Test func theServersOwnPauseIsKeptUpToABound() async throws {
    let (store, _) = try await store { _, _, call in
      switch call {
      case 1: .before(.transient(operation: "get", detail: "d", retryAfter: 7))
      case 2: .before(.transient(operation: "get", detail: "d", retryAfter: 1e300))
      default: nil
      }
    }
    #expect(try await store.get("key", limit: 3) == [1, 2, 3])
    #expect(pauses.values == [7, 60])
  }

  @Test func noTryBeginsAfterTheTimeIsUp() async throws {
    var policy = RetryPolicy()
    policy.total = 15
    let error = StoreError.transient(operation: "get", detail: "d", retryAfter: 7)
    let (store, faulty) = try await store(policy, plan: always(error))
    await #expect(throws: StoreError.gaveUp(error, tries: 3, seconds: 14)) {
      try await store.get("key", limit: 3)
    }
    #expect(pauses.values == [7, 7] && faulty.calls(.get) == 3)
  }

  @Test func anAddressThatNeverAnsweredIsGivenUpSooner() async throws {
    let error = StoreError.unreachable(endpoint: "e", reason: "r")
    var policy = RetryPolicy()
    policy.total = 1000
    let (store, faulty) = try await store(policy) { operation, _, _ in
      operation == .get ? .before(error) : nil
    }
    let (few, many) = (RetryPolicy().unreachableAttempts, RetryPolicy().attempts)
    await #expect(throws: StoreError.self) { try await store.get("key", limit: 3) }
    #expect(faulty.calls(.get) == few)
    _ = try await store.head("key")
    await #expect(throws: StoreError.self) { try await store.get("key", limit: 3) }
    #expect(faulty.calls(.get) == few + many)
    // What is cleaned up afterwards does not wait for the dead as long once more.
    await #expect(throws: StoreError.self) { try await store.get("key", limit: 3) }
    #expect(faulty.calls(.get) == few + many + few)
  }

  @Test func aCompletionWhoseAnswerAndFirstLookWereLostIsSettledAllTheSame() async throws {
    let (store, faulty) = try await store { operation, _, call in
      switch (operation, call) {
      case (.complete, 1): .after(Self.busy)
      case (.head, 1), (.head, 2): .before(Self.busy)
      default: nil
      }
    }
    let upload = try await store.beginMultipart("big")
    let part = try await store.uploadPart(
      upload, number: 1, offset: 0, Payload([7, 8]), md5: MD5.hash([7, 8]))
    #expect(try await store.complete(upload, [part]) == multipartETag(partMD5s: [MD5.hash([7, 8])]))
    #expect(faulty.calls(.complete) == 2 && faulty.calls(.head) == 3)
  }

  /// The pause would be days long: that the test ends shows that it was ended.
  @Test(.timeLimit(.minutes(5))) func cancellingEndsThePause() async throws {
    let memory = FaultyStore(MemoryStore()) { _, _, _ in
      .before(.transient(operation: "get", detail: "d", retryAfter: 1e6))
    }
    let isPausing = Recorder<Double>()
    var policy = RetryPolicy()
    (policy.retryAfterCap, policy.total) = (1e6, 1e7)
    let store = RetryingStore(memory, policy: policy, onRetry: { _, _, pause in isPausing.add(pause) })
    let task = Task { try await store.get("key", limit: 3) }
    while isPausing.values.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(isPausing.values == [1e6] && memory.calls(.get) == 1)
  }

  @Test func anObjectThatIsTooShortIsNotReadAgain() async throws {
    let (store, faulty) = try await store { _, _, _ in nil }
    await #expect(throws: StoreError.short(key: "key", expected: 4, received: 3)) {
      try await store.read("key", at: 0, into: WritableSlice(Buffer(copying: [0, 0, 0, 0]), 0..<4))
    }
    #expect(faulty.calls(.read) == 1)
  }

  @Test func aReadThatCameShortInPassingIsReadAgain() async throws {
    let (store, faulty) = try await store { operation, _, call in
      operation == .read && call == 1 ? .truncate(to: 1) : nil
    }
    let buffer = Buffer(copying: [0, 0, 0])
    try await store.read("key", at: 0, into: WritableSlice(buffer, 0..<3))
    #expect(Array(buffer.readable) == [1, 2, 3] && faulty.calls(.read) == 2)
  }

  @Test func onlyAnswersThatEndEarlyAgainAndAgainAreDamageOfAnObjectThatIsLongEnough() async throws {
    for attempts in [1, 2, 3] {
      var policy = RetryPolicy()
      policy.attempts = attempts
      let (store, faulty) = try await store(policy) { operation, _, _ in
        operation == .read ? .truncate(to: 1) : nil
      }
      let error = await #expect(throws: StoreError.self) {
        try await store.read("key", at: 0, into: WritableSlice(Buffer(copying: [0, 0, 0]), 0..<3))
      }
      if attempts == 3 {
        #expect(error == .short(key: "key", expected: 3, received: 1))
      } else if case .gaveUp(.transient, attempts, _) = error {
      } else {
        Issue.record("\(String(describing: error)) after \(attempts)")
      }
      #expect(faulty.calls(.read) == attempts)
    }
  }

  @Test(arguments: [true, false])
  func aCompletionWhoseAnswerWasLostIsSettledByTheObject(_ isLost: Bool) async throws {
    let (store, faulty) = try await store { operation, _, call in
      operation == .complete && call == 1 ? (isLost ? .after(Self.busy) : .before(Self.busy)) : nil
    }
    let upload = try await store.beginMultipart("big")
    let part = try await store.uploadPart(
      upload, number: 1, offset: 0, Payload([7, 8]), md5: MD5.hash([7, 8]))
    #expect(try await store.complete(upload, [part]) == multipartETag(partMD5s: [MD5.hash([7, 8])]))
    #expect(faulty.calls(.complete) == (isLost ? 1 : 2))
    #expect(try await store.get("big", limit: 2) == [7, 8])
  }

  @Test func aPartOfAnotherStoreIsCopiedByTheStoresBehind() async throws {
    let (store, faulty) = try await store { operation, _, call in
      operation == .copyPart && call == 1 ? .before(Self.busy) : nil
    }
    let (other, _) = try await self.store { _, _, _ in nil }
    let upload = try await store.beginMultipart("copy")
    let part = try await store.copyPart(upload, number: 1, of: "key", in: other, range: 0..<3)
    try await store.complete(upload, [try #require(part)])
    #expect(faulty.calls(.copyPart) == 2)
    #expect(try await store.get("copy", limit: 3) == [1, 2, 3])
  }

  @Test func anotherObjectDoesNotPassForTheOneThatWasToBeCompleted() async throws {
    let (store, _) = try await store { _, _, _ in nil }
    let upload = try await store.beginMultipart("big")
    let part = try await store.uploadPart(
      upload, number: 1, offset: 0, Payload([7, 8]), md5: MD5.hash([7, 8]))
    try await store.abort(upload)
    let other = try await store.beginMultipart("big")
    let otherPart = try await store.uploadPart(
      other, number: 1, offset: 0, Payload([9, 9]), md5: MD5.hash([9, 9]))
    try await store.complete(other, [otherPart])
    await #expect(throws: StoreError.noUpload(key: "big")) { try await store.complete(upload, [part]) }
  }
}
