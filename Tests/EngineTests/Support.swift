import Glibc
import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport

@testable import Checkpoints
@testable import Engine

/// A clock that tests turn.
final class TestClock: Sendable {
  private let time = Mutex(Timestamp(seconds: 1_700_000_000))
  var now: Timestamp { time.withLock { $0 } }
  func advance(_ seconds: Int64) { time.withLock { $0 = Timestamp(seconds: $0.seconds + seconds) } }
}

/// A repository in memory with small chunks and packs, and a clock.
struct World: Sendable {
  let clock = TestClock()
  let memory: MemoryStore
  /// Buffers and threads of one command: those that run beside each other must not wait for each other's.
  var resources: Resources { Resources(memory: 0, bufferSize: 1 << 17, threads: 2, connections: 4) }
  static let sizes = PackWriter.Sizes(pack: 160_000, part: 60_000)
  static let grace = 86_400.0

  init(locks: Bool = false) async throws {
    memory = MemoryStore(locks: locks, now: { [clock] in clock.now })
    _ = try await Repository.create(in: memory, chunkSize: 1 << 16, surroundings: surroundings)
  }

  var surroundings: Surroundings {
    var system = Surroundings.system
    system.now = { [clock] in clock.now }
    return system
  }

  func repository(in store: (any ObjectStore)? = nil) async throws -> Repository {
    try await Repository.open(in: store ?? memory, cacheRoot: nil, surroundings: surroundings)
  }

  @discardableResult
  func push(
    _ path: String, step: Int = 1, in store: (any ObjectStore)? = nil,
    change: (inout Push.Request) -> Void = { _ in }
  ) async throws -> Push.Report {
    var request = Push.Request(path: path)
    request.run = "demo"
    request.step = step
    request.sizes = Self.sizes
    change(&request)
    let push = Push(
      try await repository(in: store), resources: resources, progress: Progress(), grace: Self.grace)
    return try await push.run(request)
  }

  @discardableResult
  func restore(_ snapshot: Snapshot, to path: String, options: Restore.Options = .init()) async throws
    -> Restore.Report
  {
    try await Restore(try await repository(), resources: resources, progress: Progress())
      .run(snapshot, to: path, options: options)
  }

  func verify(_ depth: Verify.Depth) async throws -> Verify.Report {
    try await Verify(try await repository(), resources: resources, progress: Progress()).run(depth)
  }

  @discardableResult
  func prune(_ policy: RetentionPolicy, in store: (any ObjectStore)? = nil) async throws -> Prune.Report {
    try await Prune(try await repository(in: store), policy: policy, run: nil, grace: Self.grace).run()
  }

  func keys(_ prefix: String) async throws -> [String] { try await memory.list(prefix).objects.map(\.key) }

  /// Changes one byte of an object.
  func damage(_ key: String, at index: Int) async throws {
    var bytes = try await memory.get(key, limit: 1 << 30)
    bytes[index] ^= 1
    try await memory.put(key, Payload(bytes))
  }
}

/// What a restore must bring back: each entry with its kind, attributes and content.
struct Picture: Equatable {
  struct Entry: Equatable {
    let path: RelativePath
    let content: [UInt8]
    let attributes: Tree.Attributes
    let kind: String
  }
  let root: Tree.Attributes?
  let entries: [Entry]

  init(_ path: String) throws {
    let tree = try Tree.scan(path)
    root = tree.rootAttributes
    entries = try tree.entries.map { entry in
      switch entry.kind {
      case .file(let status):
        Entry(
          path: entry.path, content: try tree.root.open(entry.path).bytes(at: 0, count: status.size),
          attributes: entry.attributes, kind: "file")
      case .link(let target):
        Entry(
          path: entry.path, content: target,
          attributes: .init(permissions: 0, modified: entry.attributes.modified), kind: "link")
      case .directory: Entry(path: entry.path, content: [], attributes: entry.attributes, kind: "directory")
      }
    }
  }
}

/// A checkpoint of two classes with all kinds of entries; `change` decides the end of its weights.
func makeCheckpoint(_ scratch: Scratch, _ name: String = "checkpoint-1", change: UInt64 = 0) throws {
  let weights = noise(120_000, seed: 1) + noise(40_000, seed: 100 + change)
  try scratch.write("\(name)/weights.raw", weights)
  try scratch.write("\(name)/copy/of/weights.raw", weights)
  try scratch.write("\(name)/more.raw", noise(200_000, seed: 2))
  try scratch.write("\(name)/events.out.tfevents.1", noise(80_000, seed: 3))
  try scratch.write("\(name)/small/a", [1])
  try scratch.write("\(name)/small/b", [1])
  try scratch.write("\(name)/empty", [])
  let root = "\(scratch.path)/\(name)"
  mkdir("\(root)/nothing in here", 0o750)
  symlink("../outside\n", "\(root)/link")
  chmod("\(root)/small/a", 0o600)
  chmod("\(root)/empty", 0o711)
  for (index, entry) in try Tree.scan(root).entries.reversed().enumerated() {
    let time = timespec(tv_sec: 1_600_000_000 + index, tv_nsec: 123_456_789)
    let path = "\(root)/" + String(decoding: entry.path.bytes, as: UTF8.self)
    utimensat(AT_FDCWD, path, [time, time], AT_SYMLINK_NOFOLLOW)
  }
}

/// Lets so many calls pass and fails all after them, as a process that dies does: in turn before and after the work of the first.
func dying(_ base: MemoryStore, after calls: Int) -> FaultyStore<MemoryStore> {
  let count = Mutex(0)
  return FaultyStore(base) { operation, _, _ in
    let number = count.withLock { count in
      count += 1
      return count
    }
    let error = StoreError.unreachable(endpoint: "test", reason: "it died at \(operation.rawValue)")
    if number <= calls { return nil }
    return number == calls + 1 && calls % 2 == 0 ? .after(error) : .before(error)
  }
}
