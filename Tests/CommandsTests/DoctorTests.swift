import ObjectStore
import Testing

@testable import Commands

/// What doctor makes of what it found.
struct DoctorTests {
  @Test(
    arguments: [
      (["https_proxy": "http://user:secret@proxy:3128"], "proxy:3128"),
      (["HTTPS_PROXY": "proxy:1"], "proxy:1"),
      (["all_proxy": "proxy:1"], "proxy:1"), (["http_proxy": "proxy:1"], nil), (["https_proxy": ""], nil),
      (["https_proxy": "proxy:1", "no_proxy": "store.example"], nil),
      (["https_proxy": "proxy:1", "no_proxy": ".store.example, x"], nil),
      (["https_proxy": "proxy:1", "no_proxy": "*"], nil),
      (["https_proxy": "proxy:1", "no_proxy": "tore.example"], "proxy:1"),
    ] as [([String: String], String?)])
  func theProxyIsTheOneThatRequestsTake(_ variables: [String: String], _ expected: String?) throws {
    let settings = try S3Settings(endpoint: "https://a.store.example", bucket: "bucket")
    #expect(Proxy.of(settings, variables) == expected)
  }

  @Test func theVerdictFollowsTheWorstStepAndTheCodeTheFirstThatFailed() {
    var report = DoctorReport(Console(isJSON: true, isQuiet: true))
    report.add("a", .ok, "fine")
    report.add("b", .info, "known")
    #expect(report.verdict == "works" && report.failure == nil && report.cause == nil)
    report.add("c", .warning, "look", change: "x = 1")
    report.add("c", .warning, "look", change: "x = 1")
    #expect(report.verdict == "works_with_warnings" && report.configuration == ["x = 1"])
    report.add("d", .failed, "no", code: .refused)
    report.add("e", .failed, "no")
    #expect(report.verdict == "does_not_work" && report.failure == .refused && report.cause?.name == "d")
  }

  @Test func errorsOfAStoreKeepTheirExitCode() {
    var report = DoctorReport(Console(isJSON: true, isQuiet: true))
    report.add("a", StoreError.denied(operation: "put", key: "k", message: "no"))
    #expect(report.failure == .refused)
    var other = DoctorReport(Console(isJSON: true, isQuiet: true))
    other.add("a", StoreError.full(detail: "disk"))
    #expect(other.failure == .failed)
  }

  @Test func theScreenNamesEachVerbOnceWithItsFolders() {
    let acts = [
      CommandNeeds.Act(verb: "list"), .init(verb: "write", folder: "packs/"),
      .init(verb: "write", folder: "records/"),
      .init(verb: "delete"),
    ]
    #expect(CommandNeeds.words(acts) == "list, write packs/ records/, delete")
  }
}
