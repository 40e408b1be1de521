import Platform
import Testing

@testable import ObjectStore

/// What credentials may do is found with one tiny object, and nothing is left that could be removed.
struct PermissionTests {
  private func check(_ server: EmulatedS3) async throws -> Permissions {
    let store = try server.store()
    let check = PermissionCheck(
      store, s3: store, key: "doctor/new/object", lasting: "doctor/undeletable", existing: "ckbackup.json",
      folders: [(name: "packs", key: "packs/x"), (name: "ledger", key: "ledger/x")])
    return try await check.run()
  }

  @Test func whoMayDoEverythingLeavesNothing() async throws {
    let server = try EmulatedS3()
    let found = try await check(server)
    #expect(
      [found.list, found.read, found.write, found.multipart, found.delete, found.listUploads].allSatisfy {
        $0 == .allowed
      })
    #expect(
      found.folders.map(\.write) == [.allowed, .allowed]
        && found.folders.map(\.delete) == [.allowed, .allowed])
    #expect(found.failure == nil && found.leftBehind.isEmpty)
    #expect(server.keys.isEmpty && server.openUploads == 0)
  }

  @Test func whoMayNotDeleteLeavesOneTinyObjectOfAFixedName() async throws {
    let server = try EmulatedS3(.deniesDelete)
    for _ in 0..<2 {
      let found = try await check(server)
      #expect(found.write == .allowed && found.read == .allowed && found.multipart == .allowed)
      #expect(found.delete == .refused && found.folders.map(\.delete) == [.refused, .refused])
      #expect(found.leftBehind == ["doctor/undeletable"])
    }
    #expect(server.keys == ["some/prefix/doctor/undeletable"])
    #expect(server.written.count == 4, "an object, and the same in parts, each time")
  }

  @Test func whoMayNotWriteStoresNothing() async throws {
    let server = try EmulatedS3(.deniesWrite)
    let found = try await check(server)
    #expect(found.write == .refused && found.list == .allowed && found.delete == .allowed)
    #expect(found.folders.map(\.write) == [.refused, .refused])
    #expect(server.written.isEmpty)
  }

  @Test func aPolicyThatForgetsTheDoctorIsToldFromOneThatForbidsPushes() async throws {
    let server = try EmulatedS3(.deniesDoctor)
    let found = try await check(server)
    #expect(found.write == .refused && found.folders.map(\.write) == [.allowed, .allowed])
    #expect(server.written.isEmpty)
  }

  @Test func aServerThatTakesWrongDigestsIsNotFilledWithThem() async throws {
    let server = try EmulatedS3(.takesAnyMD5)
    let found = try await check(server)
    #expect(found.write == .allowed && found.folders.map(\.write) == [.unknown, .unknown])
    #expect(server.keys.isEmpty)
  }
}

/// The first signed request tells why a server cannot be worked with.
struct ContactTests {
  private let right = StaticCredentials(S3Server.credentials)

  @Test func aGoodServerTellsItsTime() async throws {
    let server = try EmulatedS3()
    let contact = try await S3Contact.make(try server.settings(), right)
    #expect(contact.error == nil && contact.region == "us-east-1")
    // Whoever runs beside this test may keep it waiting between the answer and the look at the clock.
    #expect(abs(try #require(contact.clockAhead)) < 300)
  }

  @Test func theRightRegionIsTold() async throws {
    let server = try EmulatedS3(.wantsAnotherRegion)
    let contact = try await S3Contact.make(try server.settings(), right)
    #expect(contact.error == nil && contact.region == "eu-lost")
  }

  @Test func aMissingBucketAWrongSecretAndAForeignServerAreTold() async throws {
    let server = try EmulatedS3()
    let settings = try server.settings(bucket: "other")
    #expect(try await S3Contact.make(settings, right).error == .noBucket(name: "other"))
    let wrong = StaticCredentials(Credentials(accessKey: "AKTEST", secretKey: "wrong"))
    guard
      case .credentials(code: "SignatureDoesNotMatch", _) = try await S3Contact.make(
        try server.settings(), wrong
      ).error
    else { return #expect(Bool(false), "a wrong secret was not told") }
    let web = try S3Server(always: .answer(200, Array("<!DOCTYPE html><html>hi</html>".utf8)))
    var page = try S3Settings(endpoint: "http://\(web.authority)", bucket: "bucket")
    page.addressing = .path
    guard case .notS3(_, let detail) = try await S3Contact.make(page, right).error else {
      return #expect(Bool(false), "a web server was not told")
    }
    #expect(detail.contains("HTML"))
  }
}
