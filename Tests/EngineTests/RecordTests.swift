import Checkpoints
import FoundationEssentials
import Glibc
import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Archive records") struct RecordTests {
  @Test("the record of a real checkpoint holds what was found in it")
  func found() async throws {
    let world = try await World()
    let pushed = try await world.push(fixtures + "/hf_full/checkpoint-20") {
      $0.run = nil
      $0.step = nil
      $0.metrics = ["accuracy": 0.75]
      $0.host = "node-1"
      $0.commandLine = ["ckbackup", "push"]
      $0.program = "ckbackup 1"
    }
    #expect(pushed.snapshot.step == 20 && pushed.snapshot.run == "hf_full")
    #expect(pushed.snapshot.metrics["eval_loss"] == 4.14682674407959)
    let repository = try await world.repository()
    let record = try #require(try await ArchiveRecord.read(of: pushed.snapshot, from: repository))
    #expect(record.id == pushed.snapshot.id && record.run == "hf_full" && record.step == 20)
    #expect(record.layout.hasPrefix("hf_trainer") && record.complete && record.resumable)
    #expect(record.metrics["accuracy"] == 0.75 && record.metrics == pushed.snapshot.metrics)
    #expect(record.best?.value == 4.142242431640625 && record.best?.step == 10)
    #expect(record.hyperparameters["config.json"]?["model_type"]?.text == "llama")
    #expect(record.trainingLog.first?["loss"]?.number == 4.169795513153076)
    #expect(record.trainingLog.contains { $0["eval_loss"] != nil })
    #expect(record.versions["transformers"] == "5.23.0")
    #expect(record.provenance.host == "node-1" && record.provenance.path.hasSuffix("/hf_full/checkpoint-20"))
    #expect(record.files.map(\.name).contains("trainer_state.json"))
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test(
    "of very many metrics the marker tells those that were asked for and those with the shortest names, and the record all"
  )
  func manyMetrics() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    let checkpoint = "\(scratch.path)/checkpoint-20"
    try #require(system("cp -r \(fixtures)/hf_full/checkpoint-20 \(checkpoint)") == 0)
    let results = (0..<20_000).map { #""eval_results_of_the_task_number_\#($0)": 0.5"# }
    let row = #"{"step": 20, "loss": 0.25, \#(results.joined(separator: ", "))}"#
    let state = """
      {"global_step": 20, "epoch": 2.0, "best_metric": 4.0, "best_global_step": 10, "log_history": [\(row)]}
      """
    try scratch.write("checkpoint-20/trainer_state.json", Array(state.utf8))
    let (mine, compared) = (String(repeating: "mine", count: 50), "eval_results_of_the_task_number_19999")
    let pushed = try await world.push(checkpoint) {
      $0.metrics = [mine: 1]
      $0.comparedMetrics = [compared, "eval_none"]
    }
    #expect(pushed.warnings.contains { $0.contains("20004 metrics") })

    let repository = try await world.repository()
    let listing = try await repository.snapshots()
    let listed = try #require(listing.snapshots.first)
    #expect(listing.unreadable.isEmpty && listed == pushed.snapshot)
    #expect(listed.metrics["loss"] == 0.25 && listed.metrics["epoch"] == 2 && listed.metrics[mine] == 1)
    #expect(listed.metrics[compared] == 0.5 && listed.metrics["eval_results_of_the_task_number_19998"] == nil)
    #expect((5000..<10_000).contains(listed.metrics.count))
    let record = try #require(try await ArchiveRecord.read(of: listed, from: repository))
    #expect(record.metrics.count == 20_004)
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("a note that no marker can hold is refused before anything is sent")
  func longNote() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let before = try await world.keys("")
    let error = await #expect(throws: FormatError.self) {
      try await world.push("\(scratch.path)/checkpoint-1") {
        $0.note = String(repeating: "n", count: 1 << 20)
      }
    }
    guard case .tooLarge? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(try await world.keys("") == before)
  }

  @Test("a marker or record that is too large to be read is replaced by the next push")
  func tooLargeMarker() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let first = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    try await world.memory.put(first.key, Payload([UInt8](repeating: 0x20, count: 2 << 20)))
    #expect(try await world.repository().snapshots().unreadable.count == 1)
    let second = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    #expect(second.key == first.key)
    #expect(try await world.repository().snapshots().unreadable.isEmpty)
    let blank = [UInt8](repeating: 0x20, count: ArchiveRecord.largestRecord + 1)
    try await world.memory.put(second.record + "record.json", Payload(blank))
    #expect(try await world.verify(.deep).damages.count == 1)
    try await world.push("\(scratch.path)/checkpoint-1")
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("the digest lists of a restored record hold for the restored files, by coreutils")
  func coreutils() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    try scratch.write("checkpoint-1/odd\n\\name\r", [7])
    let snapshot = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    try await world.restore(snapshot, to: "\(scratch.path)/out")
    try await world.restore(
      snapshot, to: "\(scratch.path)/record", options: .init(selection: Selection(part: .record)))
    for tool in ["sha256sum", "md5sum"] {
      let list = "\(scratch.path)/record/\(tool == "md5sum" ? "MD5SUMS" : "SHA256SUMS")"
      #expect(system("cd \(scratch.path)/out && \(tool) --check --strict --quiet \(list)") == 0)
    }
    let named = "sha256sum \(scratch.path)/record/SHA256SUMS | grep -q ^\(snapshot.id)"
    #expect(system(named) == 0, "the list names the snapshot")
  }

  @Test("no secret in JSON or JSON lines reaches the store's plain objects, whether found or attached")
  func secrets() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let json = #"{"hub": [{"hub_token": "SECRET"}], "wandbApiKey": "SECRET", "eos_token": "</s>", "lr": 1}"#
    try scratch.write("checkpoint-1/args.json", Array(json.utf8))
    try scratch.write("attached.json", Array(json.utf8))
    try scratch.write("log.jsonl", Array((json + "\n{\"step\": 1}\n" + json).utf8))
    let pushed = try await world.push("\(scratch.path)/checkpoint-1") {
      $0.attachments = [
        ("\(scratch.path)/attached.json", .evaluation), ("\(scratch.path)/log.jsonl", .log),
      ]
    }
    var plain = ""
    for key in try await world.keys("") where !key.hasPrefix("packs/") {
      plain += String(decoding: try await world.memory.get(key, limit: 1 << 24), as: UTF8.self)
    }
    #expect(!plain.contains("SECRET") && plain.contains("</s>") && plain.contains(JSONValue.mask))
    let repository = try await world.repository()
    let record = try #require(try await ArchiveRecord.read(of: pushed.snapshot, from: repository))
    #expect(record.hyperparameters["args.json"]?["wandbApiKey"]?.text == JSONValue.mask)
    #expect(record.results["attached.json"]?["lr"]?.number == 1)
    // The checkpoint itself is kept as it is.
    try await world.restore(pushed.snapshot, to: "\(scratch.path)/out")
    #expect(try Picture("\(scratch.path)/out") == Picture("\(scratch.path)/checkpoint-1"))
  }

  @Test("attachments of one name, of long names and of any bytes are all kept")
  func names() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let long = String(repeating: "日", count: 80)
    for name in ["a/log.txt", "b/log.txt", "a/\(long)", "b/\(long)", "a/..x", "c/100% sure?.log"] {
      try scratch.write(name, Array(name.utf8))
    }
    let names = ["a/log.txt", "b/log.txt", "a/\(long)", "b/\(long)", "a/..x", "c/100% sure?.log"]
    let pushed = try await world.push("\(scratch.path)/checkpoint-1") {
      $0.attachments = names.map { ("\(scratch.path)/\($0)", .log) }
    }
    let repository = try await world.repository()
    let record = try #require(try await ArchiveRecord.read(of: pushed.snapshot, from: repository))
    #expect(Set(record.files.map(\.object)).count == names.count)
    for (file, name) in zip(record.files, names) {
      #expect(
        try await world.memory.get(pushed.snapshot.record + file.object, limit: 1000) == Array(name.utf8))
    }
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("a record that is lost or damaged is found, and the next push of the checkpoint writes it anew")
  func healed() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let snapshot = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    try await world.damage(snapshot.record + "SHA256SUMS", at: 3)
    #expect(try await world.verify(.deep).damages.map(\.object) == [snapshot.record + "SHA256SUMS"])
    try await world.memory.delete([snapshot.record + "record.json"])
    #expect(try await world.verify(.quick).damages.map(\.object) == [snapshot.record + "record.json"])
    try await world.push("\(scratch.path)/checkpoint-1")
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test(
    "each object of a record that is damaged is written anew by the next push, which sends nothing else",
    arguments: ["record.json", "SHA256SUMS", "MD5SUMS", "files/trainer_state.json"], [false, true])
  func eachHealed(_ name: String, isLost: Bool) async throws {
    let world = try await World()
    let path = fixtures + "/hf_full/checkpoint-20"
    let snapshot = try await world.push(path).snapshot
    let key = snapshot.record + name
    if isLost { try await world.memory.delete([key]) } else { try await world.damage(key, at: 3) }
    #expect(try await world.verify(.deep).damages.map(\.object) == [key])
    let again = try await world.push(path)
    #expect(again.addedBytes == 0 && !again.wasPresent)
    #expect(try await world.verify(.deep).damages.isEmpty)
    #expect(try await world.push(path).wasPresent)
  }

  @Test("metrics that are given for a snapshot that is there are not dropped without a word")
  func lateMetrics() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let path = "\(scratch.path)/checkpoint-1"
    try await world.push(path) { $0.metrics = ["score": 1] }
    let same = try await world.push(path) { $0.metrics = ["score": 1] }
    #expect(same.wasPresent && !same.warnings.contains { $0.contains("metric") })
    let late = try await world.push(path) { $0.metrics = ["score": 2, "wer": 0.5] }
    #expect(late.warnings.contains { $0.contains("the metric score, the metric wer were not added") })
  }

  @Test("a marker of a newer format is not replaced by an older one")
  func newerMarker() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let snapshot = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    let newer = Array(#"{"format": 2}"#.utf8)
    try await world.memory.put(snapshot.key, Payload(newer))
    await #expect(throws: FormatError.newerFormat(object: snapshot.key, format: 2)) {
      try await world.push("\(scratch.path)/checkpoint-1")
    }
    #expect(try await world.memory.get(snapshot.key, limit: 1000) == newer)
  }

  @Test("the record tells the parts, the use, the modules and the settings that stand in pickles")
  func contents() async throws {
    let world = try await World()
    func record(_ path: String) async throws -> RecordDocument {
      let snapshot = try await world.push("\(fixtures)/\(path)").snapshot
      return try #require(try await ArchiveRecord.read(of: snapshot, from: try await world.repository()))
    }
    let full = try await record("hf_full/checkpoint-20")
    #expect(full.use == "resume" && full.parts?["weights"]?.files == ["model.safetensors"])
    #expect(full.parts?.keys.sorted() == Findings.Part.allCases.map(\.rawValue).sorted())
    #expect(full.hyperparameters["training_args.bin"]?["learning_rate"]?.number != nil)
    #expect(full.best?.greaterIsBetter == false && full.dtypes == ["F32"])
    #expect(full.parameters == full.modules?.reduce(0) { $0 + $1.parameters } && full.parameters ?? 0 > 0)
    #expect(full.curves?["loss"]?.count == 20 && full.environment == nil)
    let adapter = try await record("peft_lora/checkpoint-3")
    #expect(adapter.base?.kind == "LORA" && adapter.modules?.first?.name == "lora")
    #expect(adapter.notices != nil)
  }

  @Test("a record without the members that came later, and one with a role that comes later, can be read")
  func older() async throws {
    let world = try await World()
    let snapshot = try await world.push(fixtures + "/hf_full/checkpoint-20").snapshot
    let bytes = try await world.memory.get(snapshot.record + "record.json", limit: 1 << 24)
    var members = try #require(try JSONValue(parsing: bytes).members)
    let later = [
      "parts", "use", "parallelism", "base", "modules", "parameters", "dtypes", "notices", "curves",
      "environment",
    ]
    for name in later { members[name] = nil }
    func read(_ members: [String: JSONValue]) throws -> RecordDocument {
      try RecordDocument.decode(Array(try JSONEncoder().encode(JSONValue.object(members))))
    }
    #expect(try read(members).use == nil && read(members).step == snapshot.step)
    var file = try #require(members["files"]?.elements?.first?.members)
    file["role"] = .string("of later days")
    members["files"] = .array([.object(file)])
    #expect(try read(members).files.first?.role == .checkpoint)
  }

  @Test("installed packages become a file of the record, unless somebody gave one of that name")
  func requirements() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try makeCheckpoint(scratch)
    let given = try scratch.write("requirements.txt", "mine\n")
    for attachments in [[], [(given, ArchiveRecord.Attachment.Role.hyperparameters)]] {
      let snapshot = try await world.push("\(scratch.path)/checkpoint-1", step: attachments.count) {
        $0.environment = TrainingEnvironment(system: "Linux", requirements: ["a==1", "b==2"])
        $0.attachments = attachments
      }.snapshot
      let record = try #require(
        try await ArchiveRecord.read(of: snapshot, from: try await world.repository()))
      #expect(record.environment?.system == "Linux")
      let file = try #require(record.files.first { $0.name == "requirements.txt" })
      let text = try await world.memory.get(snapshot.record + file.object, limit: 100)
      #expect(String(decoding: text, as: UTF8.self) == (attachments.isEmpty ? "a==1\nb==2\n" : "mine\n"))
    }
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test("where the training names no best checkpoint, the least validation loss up to here is the best")
  func best() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    let path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    try scratch.write(
      "checkpoint-10/trainer_state.json",
      #"{"global_step": 10, "log_history": [{"step": 5, "eval_loss": 1}, {"step": 10, "eval_loss": 2}]}"#)
    let snapshot = try await world.push(path).snapshot
    let record = try #require(try await ArchiveRecord.read(of: snapshot, from: try await world.repository()))
    #expect(record.best == .init(metric: "eval_loss", value: 1, step: 5, greaterIsBetter: false))
  }
}
