import FoundationEssentials
import HTTP
import ObjectStore
import Testing

/// A real server to hold to the contract: `CKBACKUP_TEST_S3=endpoint,bucket,key,secret`.
private let server: [String]? = ProcessInfo.processInfo.environment["CKBACKUP_TEST_S3"].map {
  $0.split(separator: ",").map(String.init)
}

@Test(.enabled(if: server?.count == 4), arguments: Probe.all, [false, true])
func aRealServerHoldsTheContract(_ probe: Probe, signingPayloads: Bool) async throws {
  let server = try #require(server)
  let base = "conformance-\(signingPayloads)-\(UInt32.random(in: .min ... .max))"
  var settings = try S3Settings(endpoint: server[0], bucket: server[1], prefix: base)
  settings.signPayload = signingPayloads
  let credentials = StaticCredentials(Credentials(accessKey: server[2], secretKey: server[3]))
  let s3 = S3Store(settings, credentials: credentials)
  let store = RetryingStore(s3)
  let suite = ProbeSuite(store, s3: s3, base: "test", rounds: 20)
  guard suite.probes.contains(where: { $0.name == probe.name }) else { return }
  let result = try await suite.run(probe)
  // How a bucket is set up is not told by every server.
  let isFine = result.outcome == .holds || result.outcome == .unknown && !probe.writes
  #expect(probe.need != .needed || isFine, "\(result.detail)")
  try await store.delete(try await store.list("").objects.map(\.key))
}
