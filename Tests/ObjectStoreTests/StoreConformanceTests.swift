import Platform
import TestSupport
import Testing

@testable import ObjectStore

/// The stores that need nothing but this machine.
enum LocalStore: String, CaseIterable, Sendable {
  case memory, directory, flakyMemory, s3

  /// A fresh, empty store, and whatever must live as long as it.
  func make(_ place: Scratch) throws -> (store: any ObjectStore, server: EmulatedS3?) {
    switch self {
    case .memory: return (MemoryStore(), nil)
    case .directory: return (try DirectoryStore(root: place.path + "/store", create: true), nil)
    case .s3:
      let server = try EmulatedS3()
      return (try server.store(), server)
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
      return (RetryingStore(faulty, sleep: { _ in }), nil)
    }
  }

  /// What a store does not offer, and does not need to.
  func lacks(_ probe: Probe) -> Bool {
    switch self {
    case .memory, .flakyMemory: false
    // A directory has no ETags; how full the disk is, is none of the test's business.
    case .directory: ["etag", "etag-multipart", "free-space"].contains(probe.name)
    case .s3:
      ["checksum-crc32", "checksum-crc64nvme", "versioning", "object-lock", "lifecycle-abort"].contains(
        probe.name)
    }
  }
}

@Test(arguments: LocalStore.allCases, Probe.all)
func everyStoreHoldsTheContract(_ kind: LocalStore, _ probe: Probe) async throws {
  let place = try Scratch()
  let (store, server) = try kind.make(place)
  let suite = ProbeSuite(store, base: "base", partSize: 10_000, rounds: 20)
  guard suite.probes.contains(where: { $0.name == probe.name }) else { return }
  let result = try await suite.run(probe)
  if kind.lacks(probe) {
    #expect(probe.need != .needed && !result.detail.isEmpty)
  } else {
    #expect(result.outcome == .holds, "\(result.detail)")
  }
  #expect(server.map { $0.openUploads == 0 } ?? true, "an upload was left open")
}

@Test func theNamesOfProbesAreDistinctAndFitAKey() {
  let names = Probe.all.map(\.name)
  #expect(Set(names).count == names.count)
  #expect(
    names.allSatisfy { $0.utf8.allSatisfy { $0 == 45 || (48...57).contains($0) || (97...122).contains($0) } })
}
