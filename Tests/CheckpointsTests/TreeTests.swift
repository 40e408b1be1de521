import Glibc
import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Tree") struct TreeTests {
  @Test("files, links, directories and their attributes are listed in the order of bytes")
  func lists() throws {
    let scratch = try Scratch()
    try scratch.write("b/model.safetensors", "12345")
    try scratch.write("b.txt", "1")
    try scratch.write("a", "")
    mkdir(scratch.path + "/empty", 0o750)
    chmod(scratch.path + "/empty", 0o750)
    chmod(scratch.path + "/a", 0o640)
    symlink("../somewhere/else", scratch.path + "/last")
    var times = [timespec(tv_sec: 1, tv_nsec: 2), timespec(tv_sec: 1_700_000_000, tv_nsec: 123_456_789)]
    utimensat(AT_FDCWD, scratch.path + "/a", &times, 0)

    let tree = try Tree.scan(scratch.path)
    #expect(tree.entries.map(\.path.display) == ["a", "b", "b.txt", "b/model.safetensors", "empty", "last"])
    #expect(!tree.isSingleFile)
    #expect(tree.rootAttributes?.permissions == 0o700)
    #expect(tree.totalBytes == 6)
    #expect(tree.skipped.isEmpty)
    let file = try #require(tree.entry(RelativePath("a")))
    #expect(file.attributes.permissions == 0o640)
    #expect(file.attributes.modified == Timestamp(nanoseconds: 1_700_000_000_123_456_789))
    #expect(file.file?.size == 0)
    #expect(tree.entry(try RelativePath("empty"))?.kind == .directory(isEmpty: true))
    #expect(tree.entry(try RelativePath("empty"))?.attributes.permissions == 0o750)
    #expect(tree.entry(try RelativePath("b"))?.kind == .directory(isEmpty: false))
    #expect(tree.entry(try RelativePath("last"))?.kind == .link(target: Array("../somewhere/else".utf8)))
    #expect(tree.entry(try RelativePath("zz")) == nil)
  }

  @Test("a single file has its own name, whatever it begins with, in a directory of any bytes")
  func singleName() throws {
    let scratch = try Scratch()
    let name = "\u{301}model.pt"
    // Foundation cuts such a path at the wrong place.
    let written = system("mkdir \(scratch.path)/run && printf 12345 >\(scratch.path)/run/\(name)")
    try #require(written == 0)
    #expect(try Tree.scan("\(scratch.path)/run/\(name)").entries.map(\.path) == [RelativePath(name)])
    let moved = system(
      "cd \(scratch.path); d=$(printf 'd\\377'); mkdir $d; mv run/* $d/model.pt; ln -s $d/model.pt link")
    try #require(moved == 0)
    let tree = try Tree.scan("\(scratch.path)/link")
    #expect(try tree.entries.map(\.path) == [RelativePath("model.pt")])
    #expect(try tree.root.open(RelativePath("model.pt")).size == 5)
  }

  @Test("a single file is a tree of one entry, also through a link")
  func single() throws {
    let scratch = try Scratch()
    let file = try scratch.write("ckpt.pt", "123")
    symlink("ckpt.pt", scratch.path + "/latest")
    for path in [file, scratch.path + "/latest"] {
      let tree = try Tree.scan(path)
      #expect(tree.isSingleFile)
      #expect(tree.entries.map(\.path.display) == ["ckpt.pt"])
      #expect(try tree.root.open(tree.entries[0].path).bytes(at: 0, count: 99) == Array("123".utf8))
    }
  }

  @Test("pipes, sockets and names that are not UTF-8 are told, and never block")
  func special() throws {
    let scratch = try Scratch()
    mkfifo(scratch.path + "/pipe", 0o600)
    let raw: [CChar] = Array("\(scratch.path)/".utf8CString.dropLast()) + [CChar(bitPattern: 0xff), 0]
    close(creat(raw, 0o600))
    let tree = try Tree.scan(scratch.path)
    #expect(tree.skipped == [SkippedEntry(path: Array("pipe".utf8), reason: .fifo)])
    #expect(tree.entries.map(\.path.bytes) == [[0xff]])
    #expect(throws: SystemError.self) { try tree.root.open(RelativePath("pipe")) }
  }

  @Test("a path that is not there, or is no file, is an error")
  func missing() throws {
    let scratch = try Scratch()
    #expect(throws: SystemError(operation: "open", path: scratch.path + "/x", code: ENOENT)) {
      try Tree.scan(scratch.path + "/x")
    }
    #expect(throws: SystemError(operation: "open", path: "/dev/null", code: EINVAL)) {
      try Tree.scan("/dev/null")
    }
  }

  @Test("no link is followed on the way to a file")
  func links() throws {
    let scratch = try Scratch()
    try scratch.write("real/file", "secret")
    symlink("real", scratch.path + "/fake")
    symlink("real/file", scratch.path + "/link")
    let root = try OpenDirectory(scratch.path)
    #expect(try root.open(RelativePath("real/file")).size == 6)
    #expect(throws: SystemError.self) { try root.open(RelativePath("fake/file")) }
    #expect(throws: SystemError.self) { try root.open(RelativePath("link")) }
  }

  @Test("a file with holes is known as sparse")
  func sparse() throws {
    let scratch = try Scratch()
    let path = try scratch.write("holes", "")
    truncate(path, 1 << 20)
    #expect(try Tree.scan(path).entries[0].file?.isSparse == true)
    #expect(
      try Tree.scan(scratch.write("full", [UInt8](repeating: 1, count: 8192))).entries[0].file?.isSparse
        == false)
  }

  @Test("a very deep tree is listed as far as paths may be long, and what lies deeper is told")
  func deep() throws {
    let scratch = try Scratch()
    var directory = Glibc.open(scratch.path, O_RDONLY | O_DIRECTORY)
    let name = String(repeating: "d", count: 24)
    for _ in 0..<170 {
      mkdirat(directory, name, 0o700)
      let next = openat(directory, name, O_RDONLY | O_DIRECTORY)
      close(directory)
      directory = next
    }
    close(directory)
    let tree = try Tree.scan(scratch.path)
    #expect(tree.entries.count == 163)
    #expect(tree.skipped.map(\.reason) == [.pathTooLong])
  }
}
