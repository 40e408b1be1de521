import Glibc
import Platform
import TestSupport
import Testing

@Suite("Open directories") struct DirectoryTests {
  /// A directory with a file, and links to it, out of it, and in place of a directory.
  private func linked() throws -> (inside: Scratch, outside: Scratch) {
    let (inside, outside) = (try Scratch(), try Scratch())
    try inside.write("real/file", [1])
    try outside.write("secret", [42])
    symlink("\(outside.path)/secret", "\(inside.path)/file-link")
    symlink(outside.path, "\(inside.path)/directory-link")
    symlink("real", "\(inside.path)/harmless")
    return (inside, outside)
  }

  @Test("no call below an open directory follows a link, in the middle or at the end of a path")
  func links() throws {
    let (inside, outside) = try linked()
    let root = try inside.root
    for path in ["file-link", "directory-link/secret", "harmless/file"] {
      let path = try RelativePath(path)
      #expect([ELOOP, ENOTDIR].contains(errorCode { () throws(SystemError) in _ = try root.open(path) }))
      for flags in [0, O_CREAT, O_CREAT | O_TRUNC] {
        let code = errorCode { () throws(SystemError) in _ = try root.openForWriting(path, flags: flags) }
        #expect([ELOOP, ENOTDIR].contains(code), "\(path.display) \(flags)")
      }
    }
    for path in ["directory-link", "harmless", "directory-link/new"] {
      let path = try RelativePath(path)
      let opened = errorCode { () throws(SystemError) in _ = try root.directory(path) }
      let made = errorCode { () throws(SystemError) in try root.makeDirectory(path) }
      #expect([ELOOP, ENOTDIR].contains(opened) && [ELOOP, ENOTDIR].contains(made), "\(path.display)")
    }
    let (new, secret) = (try RelativePath("directory-link/new"), try RelativePath("directory-link/secret"))
    #expect(throws: SystemError.self) { try root.makeLink(new, target: [1]) }
    #expect(throws: SystemError.self) { try root.remove(secret) }
    #expect(throws: SystemError.self) { try root.status(of: secret) }
    #expect(throws: SystemError.self) { try root.setModified(secret, Timestamp(seconds: 0)) }
    #expect(throws: SystemError.self) { try root.setPermissions(secret, 0o777) }
    #expect(throws: SystemError.self) { try root.rename(RelativePath("real/file"), to: new) }
    #expect(try outside.root.names() == [Array("secret".utf8)])
    #expect(try outside.read("secret") == [42])
  }

  @Test("a link's own time is set, and a link is removed, not what it points to")
  func linksThemselves() throws {
    let (inside, outside) = try linked()
    let link = try RelativePath("file-link")
    let before = try outside.root.status(of: RelativePath("secret"))
    let time = Timestamp(nanoseconds: 1_500_000_000_000_000_001)
    try inside.root.setModified(link, time)
    #expect(try inside.root.status(of: link).modified == time)
    for name in ["file-link", "directory-link"] { try inside.root.removeTree(RelativePath(name)) }
    #expect(try outside.root.status(of: RelativePath("secret")) == before)
  }

  @Test("only regular files are opened, and a pipe nobody reads never blocks")
  func kinds() throws {
    let scratch = try Scratch()
    try scratch.write("directory/file", [1])
    mkfifo("\(scratch.path)/pipe", 0o600)
    for name in ["directory", "pipe"] {
      let path = try RelativePath(name)
      #expect(errorCode { () throws(SystemError) in _ = try scratch.root.open(path) } == EINVAL)
    }
    #expect(throws: SystemError.self) { try scratch.root.openForWriting(RelativePath("pipe")) }
    let missing = try RelativePath("directory/none/file")
    #expect(errorCode { () throws(SystemError) in _ = try scratch.root.open(missing) } == ENOENT)
  }

  @Test("names of any bytes are listed, opened and removed")
  func names() throws {
    let scratch = try Scratch()
    let names: [[UInt8]] = [[0xff, 0xfe], [0x0a], Array("größe".utf8), Array(" ".utf8), Array("...".utf8)]
    for name in names {
      try scratch.root.openForWriting(RelativePath(name), flags: O_CREAT).write(name, at: 0)
    }
    #expect(try Set(scratch.root.names()) == Set(names))
    for name in names {
      #expect(try scratch.root.open(RelativePath(name)).bytes(at: 0, count: 100) == name)
      try scratch.root.remove(RelativePath(name))
    }
    #expect(try scratch.root.names().isEmpty)
  }

  @Test("a tree is removed whatever its modes are, and links in it are not followed")
  func removal() throws {
    let (inside, outside) = try linked()
    try inside.write("tree/a/b/c", [1])
    symlink(outside.path, "\(inside.path)/tree/a/out")
    chmod("\(inside.path)/tree/a/b", 0)
    chmod("\(inside.path)/tree/a", 0)
    try inside.root.removeTree(RelativePath("tree"))
    #expect(access("\(inside.path)/tree", F_OK) != 0)
    #expect(try outside.read("secret") == [42])
  }
}

@Suite("Writing") struct WritingTests {
  @Test("bytes land at their offsets, what is between is a hole, and attributes are set to the nanosecond")
  func files() throws {
    let scratch = try Scratch()
    let path = try RelativePath("deep/er/file")
    let file = try scratch.root.openForWriting(path, flags: O_CREAT)
    #expect(try scratch.root.status(of: path).permissions == 0o600)
    #expect(try scratch.root.status(of: path.parent ?? path).permissions == 0o700)
    try file.write([7, 8], at: 3 << 20)
    var payload = Payload([1, 2])
    payload.append(Buffer(copying: [3, 4, 5]).slice(1..<3))
    try file.write(payload, at: 1)
    try file.resize(4 << 20)
    try file.sync()
    #expect(try file.size() == 4 << 20)
    let read = try scratch.root.open(path)
    #expect(try read.bytes(at: 0, count: 6) == [0, 1, 2, 4, 5, 0])
    #expect(try read.bytes(at: 3 << 20, count: 3) == [7, 8, 0])
    #expect(try read.bytes(at: (4 << 20) - 1, count: 9) == [0], "no more than there is")
    #expect(try read.bytes(at: 5 << 20, count: 9).isEmpty)
    let holes = read.holes()
    #expect(holes.allSatisfy { $0.lowerBound >= 5 && !$0.contains(3 << 20) && $0.upperBound <= 4 << 20 })

    try file.setPermissions(0o4751)
    for time in [Timestamp(nanoseconds: 1_234_567_890_123_456_789), Timestamp(nanoseconds: -1)] {
      try scratch.root.setModified(path, time)
      let status = try scratch.root.status(of: path)
      #expect(status.modified == time && status.permissions == 0o4751)
    }
  }

  @Test("a file that is written to after it was opened shows it")
  func change() throws {
    let scratch = try Scratch()
    try scratch.write("file", [1, 2, 3])
    let open = try scratch.root.open(RelativePath("file"))
    #expect(try open.currentStatus() == open.status)
    try scratch.root.openForWriting(RelativePath("file")).write([4, 5, 6, 7], at: 0)
    let now = try open.currentStatus()
    #expect(now != open.status && now.size == 4 && now.inode == open.status.inode)
  }

  @Test("a name is given in place of another, and a directory that is not empty stays")
  func renaming() throws {
    let scratch = try Scratch()
    try scratch.write("a/old", [1])
    try scratch.write("b/new", [2])
    let (old, new) = (try RelativePath("a/old"), try RelativePath("b/new"))
    try scratch.root.rename(old, to: new)
    #expect(try scratch.read("b/new") == [1])
    let (full, empty) = (try RelativePath("b"), try RelativePath("a"))
    #expect(errorCode { () throws(SystemError) in try scratch.root.removeDirectory(full) } == ENOTEMPTY)
    try scratch.root.removeDirectory(empty)
    let nowhere = try RelativePath("a/new")
    #expect(errorCode { () throws(SystemError) in try scratch.root.rename(new, to: nowhere) } == ENOENT)
  }
}
