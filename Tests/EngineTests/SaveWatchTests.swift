import Glibc
import Platform
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Checkpoints
@testable import Engine

/// A checkpoint that changes while somebody waits: each wait moves the clock, and the `n`-th one does what the test says.
private struct Scene: Sendable {
  let scratch: Scratch
  let path: String
  let clock: Clock
  let waits = Waits()

  final class Clock: Sendable {
    private let time: Mutex<Timestamp>
    init(_ time: Timestamp) { self.time = Mutex(time) }
    var now: Timestamp { time.withLock { $0 } }
    func advance(_ seconds: Double) { time.withLock { $0.nanoseconds += Int64(seconds * 1e9) } }
  }

  final class Waits: Sendable {
    private let list = Mutex<[Double]>([])
    var all: [Double] { list.withLock { $0 } }
    func add(_ seconds: Double) -> Int {
      list.withLock {
        $0.append(seconds)
        return $0.count
      }
    }
  }

  init() throws {
    scratch = try Scratch()
    path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    clock = Clock(.now())
  }

  func look(
    patience: Double? = nil, at event: @escaping @Sendable (Int) throws -> Void = { _ in },
    writers: @escaping @Sendable (Inspection) -> [OpenWriter] = { _ in [] }
  ) async throws -> SaveWatch.Look {
    var surroundings = Surroundings.system
    surroundings.now = { [clock] in clock.now }
    surroundings.sleep = { [clock, waits] seconds in
      clock.advance(seconds)
      try event(waits.add(seconds))
    }
    return try await SaveWatch(
      surroundings, disk: BlockingPool(threads: 1), progress: Progress(), writers: writers
    ).look(path, patience: patience)
  }
}

@Suite("Waiting for a save") struct SaveWatchTests {
  @Test("an old checkpoint is looked at once, and nobody is asked for open files")
  func old() async throws {
    let scene = try Scene()
    scene.clock.advance(7200)
    let look = try await scene.look(
      patience: 100,
      writers: { _ in
        Issue.record("it was asked")
        return []
      })
    #expect(look.saving == nil && scene.waits.all.isEmpty)
  }

  @Test("a new checkpoint is looked at twice, a moment apart")
  func twice() async throws {
    let scene = try Scene()
    #expect(try await scene.look().saving == nil)
    #expect(scene.waits.all.count == 1 && scene.waits.all.allSatisfy { $0 < 1 })
    let changing = try await scene.look { _ in _ = truncate("\(scene.path)/optimizer.pt", 1000) }
    #expect(changing.saving != nil)
  }

  @Test(
    "it waits until the file that is written last is there and two looks are the same, less and less often")
  func waits() async throws {
    let scene = try Scene()
    let state = try scene.scratch.read("checkpoint-10/trainer_state.json")
    try scene.scratch.remove("checkpoint-10/trainer_state.json")
    let look = try await scene.look(patience: 1800) { wait in
      if wait == 12 { try scene.scratch.write("checkpoint-10/trainer_state.json", state) }
    }
    #expect(look.saving == nil && look.defects.isEmpty)
    let waits = scene.waits.all
    #expect(waits.first == 0.5 && waits.max() == 5 && waits.count == 13)
    #expect(zip(waits, waits.dropFirst()).allSatisfy { $0 <= $1 })
  }

  @Test("a process that writes is waited for although all files are whole")
  func writers() async throws {
    let scene = try Scene()
    let closes = Mutex(3)
    let look = try await scene.look(
      patience: 1800,
      writers: { inspection in
        let isOpen = closes.withLock { left in
          left -= 1
          return left >= 0
        }
        let file = inspection.tree.files.compactMap(\.file).first.map(FileIdentity.init)
        return isOpen ? file.map { [OpenWriter(file: $0, pid: 7, program: "python3")] } ?? [] : []
      })
    #expect(look.saving == nil && scene.waits.all.count == 3)
  }

  @Test("after the limit the last look counts")
  func limit() async throws {
    let scene = try Scene()
    try scene.scratch.remove("checkpoint-10/trainer_state.json")
    let look = try await scene.look(patience: 20)
    #expect(look.saving != nil)
    #expect(abs(scene.waits.all.reduce(0, +) - 20) < 0.1)
  }

  @Test("a torn checkpoint is given up when nothing has changed for ten minutes")
  func hopeless() async throws {
    let scene = try Scene()
    truncate("\(scene.path)/optimizer.pt", 1000)
    let look = try await scene.look(patience: 100_000)
    #expect(look.saving == nil && !look.defects.isEmpty)
    #expect((500...620).contains(scene.waits.all.reduce(0, +)))
  }

  @Test("a checkpoint that is rotated away in between has vanished")
  func rotated() async throws {
    let scene = try Scene()
    let error = await #expect(throws: EngineError.self) {
      try await scene.look { _ in try scene.scratch.remove("checkpoint-10") }
    }
    guard case .vanished? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test(
    "a push of a checkpoint that is being written is refused; where that is allowed it is marked, and the next one is complete"
  )
  func push() async throws {
    let (world, scene) = (try await World(), try Scene())
    // The world's clock is years behind, so the files' times say nothing; the order of a save does.
    let now = world.clock.now.seconds
    for entry in try Tree.scan(scene.path).files {
      let isNew = entry.path.name == "model.safetensors"
      var times = Array(repeating: timespec(tv_sec: Int(now) - (isNew ? 5 : 100), tv_nsec: 0), count: 2)
      utimensat(AT_FDCWD, "\(scene.path)/\(entry.path.name)", &times, 0)
    }
    let error = await #expect(throws: EngineError.self) { try await world.push(scene.path) }
    guard case .stillBeingWritten(_, [], .replacing)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(try await world.keys("packs/").isEmpty)
    let early = try await world.push(scene.path) { $0.allowsIncomplete = true }
    #expect(!early.snapshot.complete && early.warnings.contains { $0.contains("still being written") })
    world.clock.advance(7200)
    let late = try await world.push(scene.path)
    #expect(late.snapshot.complete && late.snapshot.id == early.snapshot.id && late.addedBytes == 0)
    #expect(try await world.repository().snapshots().snapshots.map(\.complete) == [true])
    let again = try await world.push(scene.path)
    #expect(again.wasPresent)
  }
}
