import Platform
import TestSupport
import Testing

@testable import ObjectStore

/// The stores that need nothing but this machine.
enum LocalStore: String, CaseIterable, Sendable {
  case memory, directory, flakyMemory

  /// A fresh, empty store.
  func make(_ place: Scratch) throws -> any ObjectStore {
    switch self {
    case .memory: return MemoryStore()
    case .directory: return try DirectoryStore(root: place.path + "/store", create: true)
    case .flakyMemory:
      // Every third call of each kind fails: in turn before the work and after it.
      let faulty = FaultyStore(MemoryStore()) { operation, _, call in
        let error = StoreError.transient(operation: operation.rawValue, detail: "planned", retryAfter: nil)
        return switch call % 6 {
        case 2: .before(error)
        case 5: .after(error)
        default: nil
        }
      }
      return RetryingStore(faulty, sleep: { _ in })
    }
  }
}

@Test(arguments: LocalStore.allCases, Rule.allCases)
func everyStoreHoldsTheContract(_ kind: LocalStore, _ rule: Rule) async throws {
  let place = try Scratch()
  let store = try kind.make(place)
  try await rule.check(store, base: "base", partSize: 10_000)
}
