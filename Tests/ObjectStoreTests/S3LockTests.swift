import ObjectStore
import Platform
import Testing

@Suite("Locks of S3") struct S3LockTests {
  private static let later = Timestamp(seconds: Timestamp.now().seconds + 90 * 86_400)
  private static let latest = Timestamp(seconds: later.seconds + 86_400)

  @Test("a lock is set, told again, and keeps its object from deletion")
  func locks() async throws {
    let server = try EmulatedS3(.hasLocks)
    let store = RetryingStore(try server.store())
    #expect(try await store.offersLocks())
    try await store.put("packs/a", Payload([1]))
    try await store.put("packs/b", Payload([2]))
    #expect(try await store.retention(of: "packs/a") == nil)
    let retention = ObjectRetention(mode: .governance, until: Self.later)
    #expect(try await store.lock("packs/a", retention))
    #expect(try await store.retention(of: "packs/a") == retention)
    await #expect(throws: StoreError.partial(failures: ["packs/a": "access denied"])) {
      try await store.delete(["packs/a", "packs/b"])
    }
    #expect(server.keys == ["some/prefix/packs/a"])
  }

  @Test("a lock is never shortened nor weakened, whatever is asked for")
  func keepsTheLonger() async throws {
    let server = try EmulatedS3(.hasLocks)
    let store = try server.store()
    try await store.put("a", Payload([1]))
    #expect(try await store.lock("a", .init(mode: .compliance, until: Self.later)))
    #expect(try await !store.lock("a", .init(mode: .governance, until: Self.later)))
    #expect(try await store.lock("a", .init(mode: .governance, until: Self.latest)))
    #expect(try await store.retention(of: "a") == .init(mode: .compliance, until: Self.latest))
    #expect(try await !store.lock("a", .init(mode: .compliance, until: Self.later)))
    #expect(try await store.retention(of: "a") == .init(mode: .compliance, until: Self.latest))
    #expect(server.keys.count == 1)
  }

  @Test("a bucket without object lock has none, and what is not there is not locked")
  func withoutLocks() async throws {
    let (server, locking) = (try EmulatedS3(), try EmulatedS3(.hasLocks))
    let store = try server.store()
    #expect(try await !store.offersLocks())
    try await store.put("a", Payload([1]))
    #expect(try await store.retention(of: "a") == nil)
    await #expect(throws: StoreError.self) {
      try await store.lock("a", .init(mode: .governance, until: Self.later))
    }
    #expect(try await locking.store().retention(of: "missing") == nil)
    #expect(server.keys.count == 1 && locking.keys.isEmpty)
  }

  @Test("a server that does not know the question has no locks", arguments: [405, 501])
  func unknownQuestion(_ status: Int) async throws {
    let server = try S3Server(always: .error(status, status == 501 ? "NotImplemented" : "MethodNotAllowed"))
    #expect(try await !server.store().offersLocks())
    // One that takes it for a listing has none either.
    let other = try S3Server(always: .xml("<ListBucketResult></ListBucketResult>"))
    #expect(try await !other.store().offersLocks())
  }

  @Test("old versions stay where the bucket keeps versions and no rule ends those of the repository")
  func oldVersions() async throws {
    let servers = [
      try EmulatedS3(), try EmulatedS3(.keepsVersions), try EmulatedS3(.keepsVersions, .expiresLogs),
      try EmulatedS3(.keepsVersions, .endsOldVersions),
    ]
    for (server, keeps) in zip(servers, [false, true, true, false]) {
      #expect(try await RetryingStore(server.store()).keepsOldVersions() == keeps)
    }
  }

  @Test("a refused question about locks is an error, and not taken for a bucket without them")
  func refused() async throws {
    let server = try S3Server(always: .error(403, "AccessDenied"))
    await #expect(throws: StoreError.self) { try await server.store().offersLocks() }
  }
}
