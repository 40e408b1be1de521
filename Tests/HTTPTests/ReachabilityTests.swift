import HTTP
import Platform
import TestSupport
import Testing

/// The steps of a connection fail each with its own reason.
struct ReachabilityTests {
  @Test func addressesStandForThemselvesAndNamesForTheirs() throws {
    #expect(try Reachability.addresses(of: "127.0.0.1", port: 80).map(\.text) == ["127.0.0.1"])
    let local = try Reachability.addresses(of: "bucket.localhost", port: 80).map(\.text)
    #expect(local.contains("127.0.0.1") || local.contains("::1"))
    #expect(throws: HTTPError.self) { try Reachability.addresses(of: "no-such-host.invalid", port: 80) }
  }

  @Test func aConnectionIsMadeToTheFirstAddressThatAnswers() throws {
    let server = try TestServer { _ in .silence }
    let port = try #require(Int(server.url.split(separator: ":").last ?? ""))
    let open = try Reachability.addresses(of: "127.0.0.1", port: port)
    // Nothing listens at the first port.
    let closed = try Reachability.addresses(of: "127.0.0.1", port: 1)
    #expect(try Reachability.connect(closed + open, seconds: 5).address.text == "127.0.0.1")
    let error = #expect(throws: HTTPError.self) { try Reachability.connect(closed, seconds: 5) }
    guard case .connect(let reason) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(reason.contains("refused"))
  }

  @Test func aServerWithoutTLSShowsNoCertificate() throws {
    let server = try TestServer { _ in .answer(200) }
    let url = "https" + server.url.dropFirst("http".count) + "/"
    var options = HTTPOptions()
    options.connectSeconds = 2
    #expect(throws: HTTPError.self) { try Certificate.chain(of: url, options) }
  }
}
