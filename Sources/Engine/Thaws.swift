import ObjectStore
import Platform
import Repository
import Synchronization

/// What to do about packs that are in an archive class.
public struct ThawWish: Sendable {
  /// How they are asked for.
  public var request: ThawRequest
  /// Whether the command waits until they can be read.
  public var waits: Bool
  /// Hears of each wait when it begins.
  public var willWait: @Sendable (ThawReport) -> Void

  /// By default packs are asked for at the standard speed, and not waited for.
  public init(
    request: ThawRequest = ThawRequest(), waits: Bool = false,
    willWait: @escaping @Sendable (ThawReport) -> Void = { _ in }
  ) {
    self.request = request
    self.waits = waits
    self.willWait = willWait
  }

  /// Seconds between two looks at packs that are waited for.
  public static let interval = 300.0
}

/// Packs that cannot be read before a store has brought them back from an archive.
public struct ThawReport: Equatable, Sendable {
  /// How many there are; all of them were asked for.
  public let packs: Int
  /// Their storage classes, as far as the store tells.
  public let classes: [String]
  /// Minutes from the request on until the last can be read, as the service states them; nil where it does not.
  public let minutes: ClosedRange<Int>?
  /// How they were asked for.
  public let request: ThawRequest

  init(_ states: [ArchiveState], _ request: ThawRequest) {
    packs = states.count
    classes = Set(states.compactMap(\.storageClass)).sorted()
    let times = states.map { $0.storageClass.flatMap { ArchiveClass($0) }?.minutes(request.tier) }
    let known = times.compactMap { $0 }
    minutes =
      known.count == times.count
      ? known.max { ($0.upperBound, $0.lowerBound) < ($1.upperBound, $1.lowerBound) } : nil
    self.request = request
  }
}

/// Asks a store for packs that are in an archive class, each once, and waits for them.
final class Thaws: Sendable {
  private let store: any ObjectStore
  private let wish: ThawWish
  private let sleep: @Sendable (Double) async throws -> Void
  private let asked = Mutex<[String: ArchiveState]>([:])

  init(_ repository: Repository, _ wish: ThawWish) {
    store = repository.store
    sleep = repository.surroundings.sleep
    self.wish = wish
  }

  /// Whether a pack is known not to be readable now.
  func isAsked(_ pack: String) -> Bool { asked.withLock { $0[pack] != nil } }

  /// What was asked for and has not come; nil where there is nothing of that kind.
  var report: ThawReport? {
    let states = asked.withLock { Array($0.values) }
    return states.isEmpty ? nil : ThawReport(states, wish.request)
  }

  /// Asks for a pack that a read found to be in an archive, unless that was done.
  ///
  /// - Throws: `StoreError` where the store does not take the request.
  func ask(_ pack: String) async throws {
    let isFirst = asked.withLock { asked in
      guard asked[pack] == nil else { return false }
      asked[pack] = ArchiveState(.frozen)
      return true
    }
    guard isFirst else { return }
    let state = try await store.thaw(pack, wish.request)
    asked.withLock { $0[pack] = state }
  }

  /// False where every pack could be read. Else waits until all that were asked for can be, and gives true: what is missing can be
  /// fetched now.
  ///
  /// - Throws: `EngineError.frozen` where nobody wants to wait; `StoreError`, `CancellationError`.
  func settle() async throws -> Bool {
    guard let report else { return false }
    guard wish.waits else { throw EngineError.frozen(report) }
    wish.willWait(report)
    var waiting = asked.withLock { $0.keys.sorted() }
    while !waiting.isEmpty {
      try await sleep(ThawWish.interval)
      // The first that is not there tells enough. One that is frozen anew is asked for by the next read.
      while let pack = waiting.last, try await store.archiveState(of: pack).stage != .thawing {
        waiting.removeLast()
      }
    }
    asked.withLock { $0.removeAll() }
    return true
  }
}
