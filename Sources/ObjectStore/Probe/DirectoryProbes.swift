import Glibc
import Platform

/// What a directory's file system must offer.
let directoryProbes: [Probe] = [
  Probe("fsync", .needed, .directory) { it in
    try await onFiles(it) { root in
      let file = try root.openForWriting(try RelativePath(it.key("file")), flags: O_CREAT)
      try file.write(probeBytes(4096, seed: 30), at: 0)
      let start = monotonicSeconds()
      try file.sync()
      let seconds = monotonicSeconds() - start
      try root.directory(try RelativePath(it.base)).sync()
      return .holds("files reach the disk on demand (fsync took \(Int((seconds * 1000).rounded())) ms)")
    }
  },
  Probe("rename", .needed, .directory) { it in
    try await onFiles(it) { root in
      let (old, new) = (try RelativePath(it.key("old")), try RelativePath(it.key("new")))
      try root.openForWriting(old, flags: O_CREAT).write([1], at: 0)
      try root.openForWriting(new, flags: O_CREAT).write([2, 2], at: 0)
      try root.rename(new, to: old)
      let file = try root.open(old)
      try ensure(try file.bytes(at: 0, count: 10) == [2, 2], "a rename over a file leaves the old one")
      try ensure((try? root.open(new)) == nil, "a rename leaves the old name")
      return .holds("a rename replaces a file in one step")
    }
  },
  Probe("private", .useful, .directory, writes: false) { it in
    try await onFiles(it) { root in
      let status = try root.status()
      let mode = String(status.permissions, radix: 8)
      return status.permissions & 0o077 == 0
        ? .holds("the directory is its owner's alone (mode 0\(mode))")
        : .doesNotHold("others may enter the directory (mode 0\(mode)): chmod 0700 \(root.path)")
    }
  },
  Probe("free-space", .useful, .directory, writes: false) { it in
    try await onFiles(it) { root in
      var facts = statvfs()
      guard fstatvfs(root.descriptor, &facts) == 0 else { throw SystemError.last("statvfs", root.path) }
      let free = Double(facts.f_bavail) * Double(facts.f_frsize)
      let all = max(1, Double(facts.f_blocks) * Double(facts.f_frsize))
      let gib = (free / Double(1 << 30) * 10).rounded() / 10
      let words = "\(gib) GiB are free (\(Int(100 * free / all)) %)"
      return free >= Double(2 << 30) ? .holds(words) : .doesNotHold("only \(words): a pack takes 1 GiB")
    }
  },
]

/// Runs work on the files of a directory store, on a thread that may block.
private func onFiles(
  _ it: ProbeSubject, _ work: @escaping @Sendable (OpenDirectory) throws -> ProbeFinding
) async throws -> ProbeFinding {
  guard let directory = it.directory else { return .unknown("not tried") }
  do {
    return try await directory.onRoot(work)
  } catch let error as SystemError {
    return .doesNotHold("\(error.operation) failed: \(error.reason)")
  }
}
