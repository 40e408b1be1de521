import Glibc
import Platform
import TestSupport
import Testing

@testable import Engine

@Suite("Comparing a local copy") struct LocalComparisonTests {
  private func differences(
    _ change: (Scratch, String) throws -> Void
  ) async throws -> [String: LocalComparison.Difference.Kind] {
    let scratch = try Scratch()
    let world = try await World()
    try makeCheckpoint(scratch)
    let snapshot = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    try await world.restore(snapshot, to: "\(scratch.path)/copy")
    try change(scratch, "copy")
    let comparison = LocalComparison(
      try await world.repository(), resources: world.resources, progress: Progress())
    let found = try await comparison.run(snapshot, at: "\(scratch.path)/copy")
    return Dictionary(uniqueKeysWithValues: found.map { ($0.path.display, $0.kind) })
  }

  @Test("a copy that is the same is the same")
  func same() async throws {
    #expect(try await differences { _, _ in } == [:])
  }

  @Test("each difference is named with its kind")
  func different() async throws {
    let found = try await differences { scratch, copy in
      try scratch.remove("\(copy)/more.raw")
      try scratch.write("\(copy)/stranger", "x")
      try scratch.write("\(copy)/small/a", [2])
      try scratch.write("\(copy)/small/b", [1, 1])
      chmod("\(scratch.path)/\(copy)/weights.raw", 0o666)
      unlink("\(scratch.path)/\(copy)/link")
      symlink("elsewhere", "\(scratch.path)/\(copy)/link")
      try scratch.remove("\(copy)/empty")
      mkdir("\(scratch.path)/\(copy)/empty", 0o700)
      rmdir("\(scratch.path)/\(copy)/nothing in here")
    }
    #expect(
      found == [
        "more.raw": .missing, "stranger": .extra, "small/a": .content,
        "small/b": .size(expected: 1, found: 2),
        "weights.raw": .permissions(expected: 0o644, found: 0o666), "link": .content, "empty": .otherKind,
        "nothing in here": .missing,
      ])
  }

  @Test("a single file is compared under whatever name it has")
  func single() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let file = try scratch.write("model.raw", noise(100_000, seed: 3))
    let snapshot = try await world.push(file).snapshot
    let other = try scratch.write("renamed.raw", noise(100_000, seed: 3))
    let comparison = LocalComparison(
      try await world.repository(), resources: world.resources, progress: Progress())
    #expect(try await comparison.run(snapshot, at: other).isEmpty)
    try scratch.write("renamed.raw", noise(100_000, seed: 4))
    #expect(try await comparison.run(snapshot, at: other).map(\.kind) == [.content])
  }
}
