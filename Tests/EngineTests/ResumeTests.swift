import Glibc
import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Engine

/// What resumes told.
private final class Ear: Sendable {
  private let notices = Mutex<[Resume.Notice]>([])
  func hear(_ notice: Resume.Notice) { notices.withLock { $0.append(notice) } }

  /// The paths of local checkpoints that were not used.
  var ignored: [String] {
    notices.withLock { $0.compactMap { if case .ignored(let path, _) = $0 { path } else { nil } } }
  }
  /// What was renamed.
  var moves: [(from: String, to: String)] {
    notices.withLock {
      $0.compactMap { if case .movedAside(let from, let to) = $0 { (from, to) } else { nil } }
    }
  }
  /// The steps of snapshots that could not be restored.
  var lost: [Int] {
    notices.withLock { $0.compactMap { if case .lost(let snapshot, _) = $0 { snapshot.step } else { nil } } }
  }
  /// Whether a repository could not be used.
  var wasOffline: Bool {
    notices.withLock { $0.contains { if case .offline = $0 { true } else { false } } }
  }
}

@Suite("Resume") struct ResumeTests {
  private let world: World
  private let scratch: Scratch
  private let ear = Ear()

  init() async throws { (world, scratch) = (try await World(), try Scratch()) }

  /// Pushes a checkpoint of the directory `out` under the name and step that it has.
  @discardableResult
  private func push(_ name: String, step: Int? = nil) async throws -> Snapshot {
    try await world.push("\(scratch.path)/\(name)") { $0.step = step }.snapshot
  }

  /// Copies a Trainer's checkpoint into the directory `out`.
  private func save(_ step: Int) throws {
    _ = try scratch.copy("hf_full/checkpoint-\(step)", as: "out/checkpoint-\(step)")
  }

  private func tear(_ step: Int) throws {
    let file = try OpenFile("\(scratch.path)/out/checkpoint-\(step)/model.safetensors")
    truncate(file.path, file.size / 2)
  }

  private func resume(in store: (any ObjectStore)? = nil) async throws -> Resume.Report {
    try await Resume("demo", in: "\(scratch.path)/out", progress: Progress(), notify: ear.hear).run {
      (try await world.repository(in: store), world.resources)
    }
  }

  private var out: String { "\(scratch.path)/out" }

  @Test("the newest snapshot comes back where the directory is gone, and is found there afterwards")
  func gone() async throws {
    for step in [10, 20] { try save(step) }
    for step in [20, 10] { try await push("out/checkpoint-\(step)") }
    let before = try Picture("\(out)/checkpoint-20")
    try scratch.remove("out")
    let report = try await resume()
    #expect(report.path == "\(out)/checkpoint-20" && report.step == 20 && report.snapshot != nil)
    #expect(try Picture(report.path) == before)
    let again = try await resume()
    #expect(again.path == report.path && again.snapshot == nil)
    #expect(try Picture(scratch.path).entries.filter { $0.path.components.count == 2 }.count == 1)
  }

  @Test("a local checkpoint that is newest is used as it is, also of the step that the repository has")
  func local() async throws {
    for step in [10, 20] { try save(step) }
    try await push("out/checkpoint-10")
    let report = try await resume()
    #expect(report.path == "\(out)/checkpoint-20" && report.snapshot == nil && ear.ignored.isEmpty)
    try scratch.remove("out/checkpoint-20")
    #expect(try await resume().snapshot == nil)
  }

  @Test("a torn checkpoint in the way of its snapshot is moved aside, whole as it was, and not again")
  func torn() async throws {
    for step in [10, 20] { try save(step) }
    try await push("out/checkpoint-20")
    let before = try Picture("\(out)/checkpoint-20")
    try tear(20)
    let torn = try Picture("\(out)/checkpoint-20")
    let report = try await resume()
    #expect(report.path == "\(out)/checkpoint-20" && report.snapshot != nil)
    #expect(try Picture(report.path) == before)
    let move = try #require(ear.moves.first)
    #expect(move.from == report.path && move.to.hasPrefix("\(out)/.checkpoint-20.aside-"))
    #expect(try Picture(move.to) == torn)
    #expect(try await resume().snapshot == nil)
    #expect(ear.moves.count == 1)
  }

  @Test("a restored copy of a layout that nobody knows is found again where times or modes were not kept")
  func coarseTimes() async throws {
    try scratch.write("out/checkpoint-7/data.raw", [1, 2, 3])
    try await push("out/checkpoint-7")
    try scratch.remove("out")
    #expect(try await resume().snapshot != nil)
    let root = try OpenDirectory("\(out)/checkpoint-7")
    try root.setModified(try RelativePath("data.raw"), Timestamp(seconds: 1_700_000_000))
    chmod("\(out)/checkpoint-7/data.raw", 0o777)
    #expect(try await resume().snapshot == nil)
    #expect(ear.moves.isEmpty)
    try scratch.write("out/checkpoint-7/data.raw", [1, 2, 4])
    #expect(try await resume().snapshot != nil)
    #expect(ear.moves.count == 1)
  }

  @Test("damage that leaves size and time as they were does not pass for the snapshot")
  func damagedInPlace() async throws {
    try save(20)
    try await push("out/checkpoint-20")
    let before = try Picture("\(out)/checkpoint-20")
    // As power losses leave it: the size is there, the bytes were never written, and the time is the save's.
    let root = try OpenDirectory("\(out)/checkpoint-20")
    let path = try RelativePath("optimizer.pt")
    let whole = try root.status(of: path)
    try root.openForWriting(path).write([UInt8](repeating: 0, count: whole.size), at: 0)
    try root.setModified(path, whole.modified)
    let report = try await resume()
    #expect(report.snapshot != nil && ear.moves.count == 1)
    #expect(try Picture(report.path) == before)
  }

  @Test("a torn checkpoint that the repository does not have is ignored, and left alone")
  func ignored() async throws {
    for step in [10, 20] { try save(step) }
    try await push("out/checkpoint-10")
    try tear(20)
    let torn = try Picture("\(out)/checkpoint-20")
    mkdir("\(out)/checkpoint-30", 0o755)
    let report = try await resume()
    #expect(report.path == "\(out)/checkpoint-10" && report.snapshot == nil)
    #expect(ear.ignored == ["\(out)/checkpoint-30", "\(out)/checkpoint-20"])
    #expect(try Picture("\(out)/checkpoint-20") == torn && ear.moves.isEmpty)
  }

  @Test("where there is no checkpoint anywhere that is an error, and nothing is made")
  func nothing() async throws {
    do {
      _ = try await resume()
      Issue.record("something was found")
    } catch EngineError.nothingToResume(_, let run, _) { #expect(run == "demo") }
    #expect(access(out, F_OK) != 0)
    try save(10)
    try tear(10)
    _ = try await world.push("\(out)/checkpoint-10") { $0.allowsIncomplete = true }
    await #expect(throws: EngineError.self) { _ = try await resume() }
    #expect(ear.ignored == ["\(out)/checkpoint-10"])
  }

  @Test("without the repository a local checkpoint does, and without one its error is given")
  func offline() async throws {
    let dead = FaultyStore(world.memory) { _, _, _ in .before(.unreachable(endpoint: "test", reason: "gone"))
    }
    await #expect(throws: StoreError.self) { _ = try await resume(in: dead) }
    try save(10)
    #expect(try await resume(in: dead).path == "\(out)/checkpoint-10")
    #expect(ear.wasOffline)
  }

  @Test("a store that goes away in the middle leaves the older local checkpoint, and the rest comes later")
  func breaking() async throws {
    for step in [10, 20] { try save(step) }
    try await push("out/checkpoint-20")
    try scratch.remove("out/checkpoint-20")
    let failing = FaultyStore(world.memory) { operation, _, _ in
      operation == .read ? .before(.unreachable(endpoint: "test", reason: "gone")) : nil
    }
    #expect(try await resume(in: failing).step == 10)
    #expect(ear.lost == [20])
    #expect(try await resume().step == 20)
  }

  @Test("of callers at once one restores, the others wait, and all get the same path")
  func together() async throws {
    try save(20)
    try await push("out/checkpoint-20")
    try scratch.remove("out")
    let reports = try await concurrently([0, 1, 2, 3], limit: 4) { _ in try await resume() }
    #expect(Set(reports.map(\.path)) == ["\(out)/checkpoint-20"])
    #expect(reports.filter { $0.snapshot != nil }.count == 1)
  }

  @Test("a copy that a dead process had not given its name yet is taken up")
  func betweenRenames() async throws {
    try save(20)
    let snapshot = try await push("out/checkpoint-20")
    let before = try Picture("\(out)/checkpoint-20")
    rename("\(out)/checkpoint-20", "\(out)/.checkpoint-20.ckbackup-\(snapshot.id).whole")
    let report = try await resume()
    #expect(report.path == "\(out)/checkpoint-20")
    #expect(try Picture(report.path) == before)
    #expect(try Picture(out).entries.filter { $0.path.parent == nil }.count == 1)
  }

  @Test("what no layout knows is used where it is what the repository has, and else restored beside")
  func plain() async throws {
    try makeCheckpoint(scratch, "out/step-5")
    try await push("out/step-5")
    #expect(try await resume().snapshot == nil)
    try scratch.write("out/step-5/small/a", [2])
    let report = try await resume()
    #expect(report.path == "\(out)/step-5" && report.snapshot != nil)
    #expect(try OpenFile("\(out)/step-5/small/a").bytes(at: 0, count: 2) == [1])
    #expect(ear.moves.count == 1)
    let again = try await resume()
    #expect(again.path == report.path && again.snapshot == nil && ear.ignored.isEmpty)
  }

  @Test("a checkpoint whose name had no step gets one, and is found again")
  func named() async throws {
    try makeCheckpoint(scratch, "somewhere/state")
    try await push("somewhere/state", step: 7)
    let report = try await resume()
    #expect(report.path == "\(out)/checkpoint-7")
    #expect(try await resume().snapshot == nil)
  }

  @Test("a single file comes back as one")
  func file() async throws {
    _ = try scratch.copy("plain_torch/ckpt_step_000012.pt", as: "out/ckpt_step_000012.pt")
    try await push("out/ckpt_step_000012.pt")
    try scratch.remove("out")
    let report = try await resume()
    #expect(report.path == "\(out)/ckpt_step_000012.pt" && report.step == 12)
    #expect(try OpenFile(report.path).size > 0)
    #expect(try await resume().snapshot == nil)
  }

  @Test("where the newest snapshot is damaged the one before it comes back")
  func damaged() async throws {
    for step in [10, 20] { try save(step) }
    let (older, newer) = (try await push("out/checkpoint-10"), try await push("out/checkpoint-20"))
    let repository = try await world.repository()
    let kept = Set(try await repository.manifest(of: older).packs.map(\.key))
    let packs = try await repository.manifest(of: newer).packs.map(\.key).filter { !kept.contains($0) }
    try await world.memory.delete(packs)
    try scratch.remove("out")
    let report = try await resume()
    #expect(report.path == "\(out)/checkpoint-10" && ear.lost == [20])
  }
}
