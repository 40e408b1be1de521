import Digests
import Glibc
import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport
import Testing
@testable import Engine

extension RankTests {
  @Test("the record has the log and the files of whoever sees them, and the labels of all")
  func record() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    try scratch.write("empty/shard.raw", [1, 2, 3])
    _ = try await push(world, "\(scratch.path)/empty", 0, of: 2, step: 10, change: { $0.tags = ["a"] })
    let report = try await push(
      world, path, 1, of: 2, step: 10,
      change: {
        $0.tags = ["b"]; $0.isMilestone = true
      })
    let snapshot = try #require(committed(report))
    #expect(snapshot.tags == ["a", "b"] && snapshot.milestone)
    let document = try #require(
      try await ArchiveRecord.read(of: snapshot, from: try await world.repository()))
    #expect(!document.trainingLog.isEmpty && document.worldSize == 2 && document.id == snapshot.id)
    #expect(document.files.contains { $0.name == "trainer_state.json" })
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("metrics and notes of all processes are in the record; the marker tells as much as it can hold")
  func crowded() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    let mine = String(repeating: "mine", count: 50)
    let row = (0..<9000).map { #""eval_of_a_long_name_\#($0)": 0.5"# }.joined(separator: ",")
    let state = #"{"global_step": 10, "log_history": [{"step": 10, "loss": 1.5, \#(row)}]}"#
    try scratch.write("checkpoint-10/trainer_state.json", state)
    var last: RankPush.Report?
    for rank in 0..<4 {
      last = try await push(
        world, path, rank, of: 4, step: 10,
        change: {
          $0.note = String(repeating: "\(rank)", count: 300_000)
          if rank == 2 { $0.metrics[mine] = 1 }
        })
    }
    let snapshot = try #require(last.flatMap(committed))
    let repository = try await world.repository()
    #expect(try await repository.snapshots().snapshots == [snapshot])
    #expect(snapshot.metrics[mine] == 1 && snapshot.metrics["loss"] != nil && snapshot.metrics.count < 9000)
    #expect(snapshot.note.map { (60_000..<70_000).contains($0.utf8.count) } == true)
    let document = try #require(try await ArchiveRecord.read(of: snapshot, from: repository))
    #expect(document.metrics[mine] == 1 && document.metrics["eval_of_a_long_name_8999"] == 0.5)
    #expect(document.note?.utf8.count == 1_200_006)
  }

  @Test("files for the record and notes reach it from whichever process they were given to")
  func givenFiles() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    for rank in 0..<3 { try scratch.write("logs/\(rank)/train.log", "rank \(rank)") }
    try scratch.write("logs/eval.json", #"{"score": 7}"#)
    try scratch.write("logs/0/args.json", #"{"lr": 1}"#)
    try scratch.write("logs/1/args.json", #"{"lr": 2}"#)
    let root = "\(scratch.path)/logs"
    // All see the same files, so that the first alone tells of the checkpoint; the first two give the same log.
    try scratch.write("logs/1/train.log", "rank 0")
    let given: [[(String, ArchiveRecord.Attachment.Role)]] = [
      [("\(root)/0/train.log", .log), ("\(root)/0/args.json", .hyperparameters)],
      [
        ("\(root)/1/train.log", .log), ("\(root)/1/args.json", .hyperparameters),
        ("\(root)/eval.json", .evaluation),
      ],
      [("\(root)/2/train.log", .log)],
    ]
    var last: RankPush.Report?
    for rank in 0..<3 {
      last = try await push(
        world, path, rank, of: 3, step: 10,
        change: {
          $0.attachments = given[rank]
          $0.note = rank == 2 ? "the second run" : "a run"
          $0.metrics["m\(rank)"] = 1
        })
    }
    let snapshot = try #require(last.flatMap(committed))
    #expect(snapshot.note == "a run; the second run")
    #expect((0..<3).allSatisfy { snapshot.metrics["m\($0)"] == 1 })
    let repository = try await world.repository()
    let document = try #require(try await ArchiveRecord.read(of: snapshot, from: repository))
    #expect(document.note == snapshot.note && !document.trainingLog.isEmpty)
    let logs = document.files.filter { $0.name.hasSuffix("train.log") }
    #expect(logs.map(\.name) == ["train.log", "rank-2-train.log"])
    for (file, text) in zip(logs, ["rank 0", "rank 2"]) {
      #expect(try await world.memory.get(snapshot.record + file.object, limit: 100) == Array(text.utf8))
    }
    #expect(document.results["eval.json"] != nil)
    #expect(document.hyperparameters["args.json"] != document.hyperparameters["rank-1-args.json"])
    #expect(document.hyperparameters["rank-1-args.json"] != nil)
    #expect(document.files.count { $0.name == "trainer_state.json" } == 1)
    #expect(try await world.verify(.deep).damages.isEmpty)

    // A snapshot that is there keeps its record, and that is said.
    let late = try await push(
      world, path, 1, of: 3, step: 10, change: { $0.attachments = [("\(root)/eval.json", .evaluation)] })
    #expect(late.warnings.contains { $0.contains("eval.json was not added") })
  }

  @Test("a file for the record that is lost is asked of its process again")
  func lostAttachment() async throws {
    let scratch = try Scratch()
    let world = try await World()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    mkdir("\(scratch.path)/empty", 0o755)
    _ = try await push(world, path, 0, of: 2, step: 10)
    let key = try #require(try await world.keys("parts/").first { $0.contains("/file-") })
    try await world.memory.put(key, Payload([1]))
    #expect(awaited(try await push(world, "\(scratch.path)/empty", 1, of: 2, step: 10)) == [0])
    try await world.memory.delete([key])
    #expect(awaited(try await push(world, "\(scratch.path)/empty", 1, of: 2, step: 10)) == [0])
    #expect(committed(try await push(world, path, 0, of: 2, step: 10)) != nil)
  }
}
