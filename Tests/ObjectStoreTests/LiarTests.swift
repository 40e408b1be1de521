import Platform
import Testing

@testable import ObjectStore

/// Stores that break the contract without saying so are found out, each by the rule that it breaks.
struct LiarTests {
  @Test(
    arguments: [
      (.ignoresRanges, "range"), (.losesAKeyOfEachPage, "list-paging"), (.losesAKeyOfEachPage, "list"),
      (.keepsTheFirstObject, "overwrite"), (.keepsTheFirstObject, "read-after-write"),
      (.takesAnyMD5, "content-md5"), (.takesAnyMD5, "content-md5-part"),
      (.takesAnySecret, "signature-checked"), (.foldsCase, "keys-similar"),
      (.keepsTheFirstPart, "part-replaced"), (.forgetsDeletions, "delete"),
      (.showsOldObjects, "read-after-write"), (.joinsAbortedUploads, "abort"),
      (.expiresEverything, "lifecycle-expiration"),
    ] as [(EmulatedS3.Lie, String)])
  func aServerThatLiesIsFoundOut(_ lie: EmulatedS3.Lie, _ rule: String) async throws {
    let server = try EmulatedS3(lie)
    let result = try await run(rule, on: try server.store())
    #expect(result.outcome == .doesNotHold, "\(result.detail)")
  }

  @Test func rulesOfTheBucketForOtherKeysAreNoDanger() async throws {
    let server = try EmulatedS3(.expiresLogs)
    #expect(try await run("lifecycle-expiration", on: try server.store()).outcome == .holds)
    #expect(try await run("lifecycle-abort", on: try server.store()).outcome == .doesNotHold)
    let everything = try EmulatedS3(.expiresEverything)
    #expect(try await run("lifecycle-abort", on: try everything.store()).detail.contains("3 days"))
    #expect(everything.keys.isEmpty)
  }

  @Test(
    arguments: [
      ("list", .list, .omit { $0.hasSuffix("b/10") }), ("read", .get, .flip(at: 99_999)),
      ("range", .read, .flip(at: 0)), ("whole-objects", .get, .truncate(to: 1000)),
      ("empty-object", .list, .omit { _ in true }), ("multipart", .read, .flip(at: 0)),
      ("keys-percent", .list, .omit { $0.hasSuffix("%41") }),
    ] as [(String, StoreOperation, Fault)])
  func aStoreThatLosesOrChangesBytesIsFoundOut(
    _ rule: String, _ operation: StoreOperation, _ fault: Fault
  ) async throws {
    let liar = FaultyStore(MemoryStore()) { asked, _, _ in asked == operation ? fault : nil }
    let result = try await run(rule, on: liar)
    #expect(result.outcome == .doesNotHold, "\(result.detail)")
  }

  @Test func aServerThatGoesAwayEndsTheSuite() async throws {
    let gone = FaultyStore(MemoryStore()) { _, _, _ in .before(.unreachable(endpoint: "e", reason: "r")) }
    await #expect(throws: StoreError.unreachable(endpoint: "e", reason: "r")) {
      try await run("create", on: gone)
    }
  }

  private func run(_ rule: String, on store: any ObjectStore) async throws -> ProbeResult {
    let suite = ProbeSuite(store, base: "base", partSize: 10_000, rounds: 20)
    return try await suite.run(try #require(suite.probes.first { $0.name == rule }))
  }
}
