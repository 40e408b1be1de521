import Synchronization
import Testing

@testable import ObjectStore

/// Counts what runs at once.
private final class Running: Sendable {
  private let state = Mutex((running: 0, most: 0))
  var running: Int { state.withLock { $0.running } }
  var most: Int { state.withLock { $0.most } }
  func add(_ change: Int) {
    state.withLock { state in
      state.running += change
      state.most = max(state.most, state.running)
    }
  }
}

struct RequestLimitTests {
  @Test func aRefusalHalvesTheWindowAndEachRoundOfSuccessAddsOne() {
    var window = RequestWindow(most: 8)
    #expect(window.limit == 8)
    window.cut(seen: window.cuts)
    #expect(window.limit == 4)
    var limits: [Int] = []
    for _ in 0..<40 {
      window.grow()
      limits.append(window.limit)
    }
    #expect(limits == limits.sorted() && limits.last == 8)
    // About 4 + 5 + 6 + 7 successes.
    #expect(limits.firstIndex(of: 5) == 4 && limits.firstIndex(of: 8).map { (20...26).contains($0) } == true)
  }

  @Test func requestsOfOneRoundCutTheWindowOnce() {
    var window = RequestWindow(most: 8)
    let seen = window.cuts
    for _ in 0..<8 { window.cut(seen: seen) }
    #expect(window.limit == 4)
  }

  @Test func theWindowNeverClosesAndNeverGrowsBeyondItsMost() {
    var window = RequestWindow(most: 3)
    for _ in 0..<100 { window.cut(seen: window.cuts) }
    #expect(window.limit == 1)
    for _ in 0..<100 { window.grow() }
    #expect(window.limit == 3)
    #expect(RequestWindow(most: 0).limit == 1)
  }

  @Test func noMoreRequestsRunThanTheWindowAllowsAndAllRunInTheEnd() async throws {
    let limit = RequestLimit(most: 4)
    let count = Running()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<200 {
        group.addTask {
          let leave = try await limit.take()
          count.add(1)
          await Task.yield()
          count.add(-1)
          limit.giveBack(leave, number % 50 == 0 ? .tooMuch : number % 7 == 0 ? .unknown : .accepted)
        }
      }
      try await group.waitForAll()
    }
    #expect((1...4).contains(count.most) && count.running == 0)
  }

  @Test func whoeverWaitsIsServedInOrderAndAfterACutOnlyWhenEnoughHaveEnded() async throws {
    let limit = RequestLimit(most: 2)
    let (first, second) = (try await limit.take(), try await limit.take())
    let order = Recorder<Int>()
    let waiting = (0..<2).map { number in
      Task {
        let leave = try await limit.take()
        order.add(number)
        return leave
      }
    }
    limit.giveBack(first, .tooMuch)
    try await Task.sleep(for: .milliseconds(20))
    #expect(order.values.isEmpty && limit.limit == 1)
    limit.giveBack(second, .tooMuch)
    limit.giveBack(try await waiting[0].value, .unknown)
    limit.giveBack(try await waiting[1].value, .unknown)
    #expect(Set(order.values) == [0, 1] && limit.limit == 1)
  }

  @Test func cancellingEndsTheWaitAndLosesNoPlace() async throws {
    let limit = RequestLimit(most: 1)
    let leave = try await limit.take()
    let waiting = Task { limit.giveBack(try await limit.take(), .accepted) }
    try await Task.sleep(for: .milliseconds(10))
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
    limit.giveBack(leave, .accepted)
    limit.giveBack(try await limit.take(), .accepted)
  }
}
