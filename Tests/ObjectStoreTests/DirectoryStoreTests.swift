import Digests
import FoundationEssentials
import Glibc
import ObjectStore
import Platform
import TestSupport
import Testing

/// What a directory store promises beyond the contract of all stores.
struct DirectoryStoreTests {
  private let place: Scratch
  private let root: String
  private let store: DirectoryStore

  init() throws {
    place = try Scratch()
    root = place.path + "/store"
    store = try DirectoryStore(root: root, create: true)
  }

  private func names(_ path: String) throws -> [String] {
    try OpenDirectory(path).names().map { String(decoding: $0, as: UTF8.self) }.sorted()
  }

  private func link(_ name: String, to target: String) throws {
    try #require(symlink(target, "\(root)/\(name)") == 0)
  }

  @Test func linksBelowTheRootAreNotFollowed() async throws {
    let outside = place.path + "/outside"
    let other = try DirectoryStore(root: outside, create: true)
    try await other.put("secret", Payload([1]))
    try link("file", to: outside + "/secret")
    try link("directory", to: outside)
    for key in ["file", "directory/secret"] {
      await #expect(throws: StoreError.missing(key: key)) { try await store.get(key, limit: 10) }
      #expect(try await store.head(key) == nil)
    }
    #expect(try await store.list("").objects.isEmpty)
    await #expect(throws: StoreError.self) { try await store.put("directory/secret", Payload([2])) }
    try await store.delete(["directory/secret"])
    #expect(try await other.get("secret", limit: 10) == [1])
    try await store.put("file", Payload([3]))
    #expect(try await store.get("file", limit: 10) == [3], "the link itself is replaced")
    #expect(try await other.get("secret", limit: 10) == [1])
  }

  @Test func whereTheRootIsALinkItIsFollowed() async throws {
    try await store.put("key", Payload([1]))
    try #require(symlink(root, place.path + "/alias") == 0)
    #expect(try await DirectoryStore(root: place.path + "/alias/").get("key", limit: 1) == [1])
  }

  @Test func aRootThatIsNotThereIsSaidToBe() async throws {
    let path = place.path + "/none"
    #expect(throws: StoreError.noBucket(name: path)) { try DirectoryStore(root: path) }
    try await store.put("key", Payload([1]))
    try FileManager.default.removeItem(atPath: root)
    await #expect(throws: StoreError.noBucket(name: root)) { try await store.get("key", limit: 1) }
    await #expect(throws: StoreError.noBucket(name: root)) { try await store.head("key") }
    await #expect(throws: StoreError.noBucket(name: root)) { try await store.list("") }
    await #expect(throws: StoreError.noBucket(name: root)) { try await store.delete(["key"]) }
    await #expect(throws: StoreError.noBucket(name: root)) { try await store.put("key", Payload([1])) }
  }

  @Test func finishedWorkLeavesNothingBehind() async throws {
    try await store.put("a/b/c", Payload([1]))
    let upload = try await store.beginMultipart("a/d")
    let part = try await store.uploadPart(
      upload, number: 1, offset: 0, Payload([1, 2]), md5: MD5.hash([1, 2]))
    try await store.complete(upload, [part])
    try await store.abort(try await store.beginMultipart("a/e"))
    #expect(try await store.list("").objects.map(\.key) == ["a/b/c", "a/d"])
    #expect(try names(root + "/.ckbackup-tmp").isEmpty)
    try await store.delete(["a/b/c", "a/d"])
    #expect(try names(root) == [".ckbackup-tmp"], "directories that are empty go")
  }

  @Test func aPutThatFailsLeavesNothingBehind() async throws {
    try await store.put("file", Payload([1]))
    await #expect(throws: StoreError.self) { try await store.put("file/below", Payload([2])) }
    await #expect(throws: StoreError.self) {
      try await store.put("a/b", Payload([3]))
      try await store.put("a", Payload([4]))
    }
    #expect(try names(root + "/.ckbackup-tmp").isEmpty)
    #expect(try await store.list("").objects.map(\.key) == ["a/b", "file"])
  }

  @Test func filesAreTheirOwnersAlone() async throws {
    try await store.put("a/b", Payload([1]))
    let opened = try OpenDirectory(root)
    #expect(try opened.status(of: RelativePath("a/b")).permissions == 0o600)
    #expect(try opened.status(of: RelativePath("a")).permissions == 0o700)
  }

  @Test func whatACrashLeftBehindIsListedAndCanBeRemoved() async throws {
    let upload = try await store.beginMultipart("pack/1")
    let again = try DirectoryStore(root: root)
    #expect(try await again.listUploads("pack/").map(\.upload) == [upload])
    #expect(try await again.listUploads("other").isEmpty)
    try await again.abort(upload)
    #expect(try await again.listUploads("").isEmpty)
  }

  @Test func uploadIdsThatAreNoneTouchNothing() async throws {
    try await store.put("victim", Payload([1]))
    for id in ["", "../victim", "x", "../../outside", String(repeating: "g", count: 32)] {
      let upload = MultipartUpload(key: "key", id: id)
      await #expect(throws: StoreError.noUpload(key: "key")) {
        try await store.uploadPart(upload, number: 1, offset: 0, Payload([9]), md5: MD5.hash([9]))
      }
      try await store.abort(upload)
    }
    #expect(try await store.get("victim", limit: 1) == [1])
  }

  @Test func temporaryFilesAreNoObjects() async throws {
    for key in [".ckbackup-tmp", ".ckbackup-tmp/x"] {
      await #expect(throws: StoreError.self) { try await store.put(key, Payload([1])) }
      await #expect(throws: StoreError.self) { try await store.delete([key]) }
    }
    try await store.put(".ckbackup-tmpx", Payload([1]))
    #expect(try await store.list("").objects.map(\.key) == [".ckbackup-tmpx"])
  }

  @Test func otherKindsOfFilesAreNoObjectsAndNeverBlock() async throws {
    try #require(mkfifo(root + "/pipe", 0o600) == 0)
    try await store.put("directory/x", Payload([1]))
    for key in ["pipe", "directory"] {
      await #expect(throws: StoreError.missing(key: key)) { try await store.get(key, limit: 1) }
      #expect(try await store.head(key) == nil)
    }
    try await store.delete(["directory"])
    #expect(try await store.list("").objects.map(\.key) == ["directory/x"])
  }

  @Test func deletionsBesideWritesLoseNothing() async throws {
    try await withThrowingTaskGroup(of: Void.self) { [store] group in
      for worker in 0..<4 {
        group.addTask {
          for turn in 0..<25 {
            let key = "shared/\(turn % 3)/\(worker)"
            try await store.put(key, Payload([UInt8(worker)]))
            #expect(try await store.get(key, limit: 1) == [UInt8(worker)])
            try await store.delete([key])
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try await store.list("").objects.isEmpty)
  }
}
