import Glibc
import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Records") struct RecordTests {
  private func masked(_ text: String, _ name: String = "x.json") -> String {
    String(decoding: recordBytes(Array(text.utf8), name: name), as: UTF8.self)
  }

  @Test("a secret is replaced whatever it is, and nothing else of the text changes")
  func replaces() {
    #expect(
      masked(#"{ "a" : NaN, "hub_token": "hf_x\"y", "n": {"password": 12, "b": [ {"api_key": {"k": 1}} ]} }"#)
        == #"{ "a" : NaN, "hub_token": "***", "n": {"password": "***", "b": [ {"api_key": "***"} ]} }"#)
    #expect(masked(#"{"token":"a","token":"b"}"#) == #"{"token":"***","token":"***"}"#)
    #expect(masked(#"[{"\u0070assword":"x"}]"#) == #"[{"\u0070assword":"***"}]"#)
  }

  @Test("what holds no secret stays: nothing, switches, counts of tokens, vocabulary")
  func keeps() {
    for text in [
      #"{"password": null, "secret": "", "credentials": [], "passwd": {}, "use_secret": true}"#,
      #"{"max_new_tokens": 5, "eos_token": "</s>", "image_token": "<image>", "token": 7, "token_ids": [1]}"#,
      #"{"hub_token": null, "tokenizer": "x", "num_key_value_heads": 8}"#, " \n{\"a\": 1e5}\n",
    ] {
      #expect(masked(text) == text)
    }
  }

  @Test("each line of a log is masked by itself; lines that are no JSON are left out")
  func lines() {
    #expect(
      masked("{\"loss\": 1.50}\r\nno json\n{\"api_key\":\"k\"}\n{\"api_key\":\"cut", "logging.jsonl")
        == "{\"loss\": 1.50}\r\n{\"api_key\":\"***\"}\n")
    #expect(masked("{\"a\":1}\n{\"b\":2}", "x.jsonl") == "{\"a\":1}\n{\"b\":2}")
  }

  @Test(
    "secrets that a file gets after the inspection are masked too, and JSON that was torn since stays out")
  func race() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "run/checkpoint-10")
    try scratch.write("run/args.json", "{}")
    let files = ArchiveFacts(of: try Inspection(path)).files
    let arguments = try #require(files.first { $0.name == "args.json" })
    try scratch.write("run/args.json", #"{"hub_token":"x"}"#)
    #expect(String(decoding: try arguments.bytes(), as: UTF8.self) == #"{"hub_token":"***"}"#)
    try scratch.write("run/args.json", #"{"hub_token":"x"#)
    #expect(try arguments.bytes().isEmpty)
  }

  @Test("the record of a checkpoint holds its own files and its run's; the checkpoint's own come first")
  func files() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("peft_lora/checkpoint-3", as: "run/checkpoint-3")
    try scratch.write("run/checkpoint-3/args.json", #"{"from": "checkpoint", "swift_version": "4.6.0"}"#)
    for name in ["args.json", "all_results.json", "config.json", "other.json"] {
      try scratch.write("run/\(name)", #"{"from": "run"}"#)
    }
    try scratch.write("run/eval_results.json", "{torn")
    let facts = ArchiveFacts(of: try Inspection(path))
    #expect(
      facts.hyperparameters.keys.sorted() == ["adapter_config.json", "args.json", "training_args.bin"])
    #expect(facts.hyperparameters["args.json"]?["from"]?.text == "checkpoint")
    #expect(facts.results == ["all_results.json": .object(["from": .string("run")])])
    #expect(
      facts.files.map(\.name).filter { $0 != "README.md" } == [
        "adapter_config.json", "args.json", "trainer_state.json", "all_results.json",
      ])
    #expect(facts.versions["swift"] == "4.6.0" && facts.versions["peft"] == "0.21.2")
  }

  @Test(
    "beside a directory that is no step of a run, nothing belongs to it; a single file has no record files")
  func alone() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "somewhere/best")
    try scratch.write("somewhere/args.json", "{}")
    #expect(!ArchiveFacts(of: try Inspection(path)).files.contains { $0.name == "args.json" })
    let file = try Inspection(fixtures + "/plain_torch/ckpt_step_000012.pt")
    #expect(ArchiveFacts(of: file).files.isEmpty)
  }

  @Test("secrets in the trainer's state are masked in the log as well")
  func log() throws {
    let scratch = try Scratch()
    try scratch.write(
      "checkpoint-3/trainer_state.json",
      #"{"global_step": 3, "log_history": [{"step": 1, "loss": 2, "wandb_api_key": "k"}]}"#)
    let facts = ArchiveFacts(of: try Inspection(scratch.path + "/checkpoint-3"))
    #expect(facts.trainingLog.map { $0["wandb_api_key"]?.text } == [JSONValue.mask])
  }

  @Test("files that are links, or too long, or cannot be read, stay out of the record")
  func left() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    try scratch.write("secret.json", #"{"a": 1}"#)
    symlink("../secret.json", scratch.path + "/checkpoint-10/args.json")
    truncate(try scratch.write("checkpoint-10/all_results.json", "{}"), ArchiveFacts.maximumFile + 1)
    let names = ArchiveFacts(of: try Inspection(path)).files.map(\.name)
    #expect(!names.contains("args.json") && !names.contains("all_results.json"))
  }
}

@Suite("Long logs") struct LongLogTests {
  /// A state whose log has so many rows, every hundredth an evaluation, and a summary at the end.
  private func state(rows: Int) -> [UInt8] {
    var text = #"{"global_step": \#(rows), "best_metric": 0.5, "log_history": ["#
    for step in 1...rows {
      text +=
        step % 100 == 0
        ? #"{"step": \#(step), "eval_loss": \#(step == rows / 2 ? 0.5 : 1)},"#
        : #"{"step": \#(step), "loss": \#(step)},"#
    }
    return Array((text + #"{"step": \#(rows), "train_runtime": 9}]}"#).utf8)
  }

  private func log(_ rows: Int) throws -> (Inspection, [JSONValue]) {
    let scratch = try Scratch()
    try scratch.write("checkpoint-\(rows)/trainer_state.json", state(rows: rows))
    let inspection = try Inspection("\(scratch.path)/checkpoint-\(rows)")
    return (inspection, ArchiveFacts(of: inspection).trainingLog)
  }

  @Test("a log of ordinary length is kept whole and in order")
  func short() throws {
    let (_, rows) = try log(5000)
    #expect(rows.count == 5001)
    #expect(rows.dropLast().compactMap { $0["step"]?.integer } == Array(1...5000))
  }

  @Test("of a long log an even choice is kept: all its evaluations, its last loss and its end")
  func long() throws {
    let (inspection, rows) = try log(24_000)
    let steps = rows.compactMap { $0["step"]?.integer }
    #expect(steps == steps.sorted())
    #expect(rows.filter(ThinnedLog.isEvaluation).count == 240)
    let losses = rows.filter { $0["loss"] != nil }.compactMap { $0["step"]?.integer }
    #expect((5000...10_001).contains(losses.count))
    #expect(zip(losses, losses.dropFirst()).allSatisfy { $1 - $0 <= 10 })
    #expect(losses.first == 1 && losses.last == 23_999)
    #expect(rows.last?["train_runtime"]?.number == 9)
    #expect(inspection.findings.metrics["loss"] == 23_999)
    #expect(
      inspection.findings.best
        == BestMetric(name: "eval_loss", value: 0.5, step: 12_000, greaterIsBetter: false))
  }

  @Test("rows with very many values are thinned further, and one that is a file by itself is refused")
  func wide() throws {
    var log = ThinnedLog()
    for step in 0..<40 {
      log.add(.object(["loss": .integer(1), "step": .integer(Int64(step))]), values: 20_000)
    }
    #expect((2...16).contains(log.rows.count))
    #expect(log.rows.last?["step"]?.integer == 39)
    let row = #"{"log_history": [["# + String(repeating: "0,", count: 100_000) + "0]]}"
    #expect(throws: JSONError.self) { try JSONValue(parsingTrainerState: Array(row.utf8)) }
  }

  @Test("a state of another shape is read like any JSON, and what is torn is refused")
  func shapes() throws {
    #expect(try JSONValue(parsingTrainerState: Array("[1]".utf8)) == .array([.integer(1)]))
    let strange = #"{"log_history": 5, "global_step": "x"}"#
    #expect(try JSONValue(parsingTrainerState: Array(strange.utf8))["log_history"]?.integer == 5)
    let whole = Array(#"{"log_history": [{"a": 1}, 2], "b": 3}"#.utf8)
    #expect(try JSONValue(parsingTrainerState: whole) == JSONValue(parsing: whole))
    for length in whole.indices {
      #expect(throws: JSONError.self) { try JSONValue(parsingTrainerState: Array(whole[..<length])) }
    }
  }

  @Test("a log with as many metrics as rows costs time in proportion")
  func manyMetrics() throws {
    /// Seconds of this thread's processor: what else the machine does is not counted.
    func seconds(_ count: Int) throws -> Double {
      let rows = (0..<count).map { "{\"eval_\($0)\":\($0),\"step\":\($0)}" }.joined(separator: ",")
      let state = try JSONValue(
        parsingTrainerState: Array("{\"best_metric\":-1,\"log_history\":[\(rows)]}".utf8))
      let log = TrainerLog(state: state, arguments: nil)
      let start = clock(CLOCK_THREAD_CPUTIME_ID)
      #expect(log.best?.name == nil)
      return clock(CLOCK_THREAD_CPUTIME_ID) - start
    }
    func clock(_ id: clockid_t) -> Double {
      var time = timespec()
      clock_gettime(id, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
    let (few, many) = (try seconds(1000), try seconds(16_000))
    #expect(many < 80 * few, "16 times the rows; each name looked up in each row would take 256 times")
  }
}
