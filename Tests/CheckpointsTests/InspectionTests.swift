import FoundationEssentials
import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Inspections") struct InspectionTests {
  @Test(
    "checkpoints of Hugging Face Trainer and PEFT are known with their step and metrics",
    arguments: [
      "hf_full/checkpoint-10", "hf_full/checkpoint-15", "hf_full/checkpoint-20", "hf_full/final",
      "hf_sharded/checkpoint-4", "peft_lora/checkpoint-3", "peft_lora/checkpoint-6",
      "hf_ds_zero2/checkpoint-4",
    ])
  func known(_ name: String) throws {
    let expected = try #require(Expected.all[name])
    let inspection = try Inspection("\(fixtures)/\(name)")
    #expect(inspection.defects == [])
    #expect(inspection.layout == expected.layout)
    #expect(inspection.step == expected.step)
    for metric in ["loss", "eval_loss", "best_metric", "epoch"] {
      #expect(inspection.findings.metrics[metric] == expected.metrics?[metric] ?? nil, "\(metric)")
    }
    #expect(inspection.findings.use.isResumable == (name != "hf_full/final"))
  }

  @Test(
    "every fixture that is whole is taken, known or not",
    arguments: Expected.all.filter { $0.value.complete }.keys.sorted())
  func whole(_ name: String) throws {
    #expect(try Inspection("\(fixtures)/\(name)").isComplete)
  }

  @Test(
    "torn and missing files are named",
    arguments: Expected.all.filter { name, facts in
      // Flipped tensor bytes show in no header.
      name.hasPrefix("broken/") && !facts.complete && !name.contains("flip_data")
    }.keys.sorted())
  func broken(_ name: String) throws {
    let expected = try #require(Expected.all[name])
    let inspection = try Inspection("\(fixtures)/\(name)")
    #expect(!inspection.isComplete)
    let named = inspection.defects.compactMap { $0.file?.display }
    let listed = expected.layout.hasPrefix("hf") ? [] : expected.missing
    for file in expected.torn + listed {
      #expect(named.contains(file), "\(file) of \(inspection.defects.map(\.sentence))")
    }
    for defect in inspection.defects {
      #expect(defect.sentence.hasSuffix(".") && !defect.sentence.contains("\n"))
    }
  }

  @Test("a shard that the index names must be there, with the tensors that it should hold")
  func shards() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_sharded/checkpoint-4", as: "checkpoint-4")
    try scratch.remove("checkpoint-4/model-00002-of-00003.safetensors")
    let missing = try Inspection(path).defects
    #expect(missing.map(\.file?.display) == ["model-00002-of-00003.safetensors"])
    #expect(missing.first?.kind == .shardMissing(index: "model.safetensors.index.json"))

    try scratch.write(
      "checkpoint-4/model-00002-of-00003.safetensors",
      try contents("\(fixtures)/hf_sharded/checkpoint-4/model-00001-of-00003.safetensors"))
    guard case .tensorsMissing? = try Inspection(path).defects.first?.kind else {
      Issue.record("\(try Inspection(path).defects)")
      return
    }
  }

  @Test("a save that has not finished is seen by its names and by what comes last")
  func unfinished() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    try scratch.remove("checkpoint-10/trainer_state.json")
    #expect(try Inspection(path).defects.map(\.file?.display) == ["trainer_state.json"])
    let staging = try scratch.copy("hf_full/checkpoint-10", as: "tmp-checkpoint-10")
    #expect(try Inspection(staging).defects.map(\.kind) == [.staging])
  }

  @Test(
    "the parts of a model that FSDP wrote, without the Trainer's own files, are a save that has not finished")
  func unfinishedFSDP() throws {
    let inspection = try Inspection("\(fixtures)/hf_fsdp2_parts/checkpoint-3")
    #expect(inspection.defects.map(\.kind) == [.unfinished])
  }

  @Test("the step that the state records must be that of the name")
  func mismatch() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-11")
    #expect(try Inspection(path).defects.map(\.kind) == [.stepMismatch(named: 11, recorded: 10)])
  }

  @Test(
    "the layout and the number of processes are told by the files",
    arguments: [
      ("plain_torch/ckpt_legacy.pt", "torch_file", 12), ("plain_torch/views.pt", "torch_file", nil),
      ("plain_torch", "torch_file", nil), ("orbax/7", "orbax", 7), ("hf_full", "plain", nil),
      ("plain_torch/lora_head_step_500.bin", "torch_file", 500),
      ("hf_fsdp2_parts/checkpoint-3", "hf_trainer+fsdp", 3),
    ] as [(String, String, Int?)])
  func layouts(_ name: String, _ layout: String, _ step: Int?) throws {
    let inspection = try Inspection("\(fixtures)/\(name)")
    #expect(inspection.layout == layout)
    #expect(inspection.step == step)
  }

  @Test(
    "a step that no training reaches is none, and the name decides",
    arguments: ["-5", "1000000000000", "9223372036854775807", "99999999999999999999", "1e30", "\"7\""])
  func impossibleStep(_ text: String) throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    let state = String(decoding: try contents("\(path)/trainer_state.json"), as: UTF8.self)
    let edited = state.replacing(#/"global_step": 10\b/#, with: "\"global_step\": \(text)")
    try #require(edited != state)
    try scratch.write("checkpoint-10/trainer_state.json", edited)
    let inspection = try Inspection(path)
    #expect(inspection.step == 10 && inspection.isComplete)
  }

  @Test("the number of processes is that of the random states")
  func worldSize() throws {
    #expect(try Inspection(fixtures + "/hf_ds_zero2/checkpoint-4").findings.parallelism.world == 2)
    #expect(try Inspection(fixtures + "/hf_full/checkpoint-10").findings.parallelism.world == 1)
    #expect(try Inspection(fixtures + "/hf_full/final").findings.parallelism.world == nil)
  }

  @Test("the best metric has the name, the step and the direction that the log tells")
  func best() throws {
    let real = try #require(try Inspection(fixtures + "/hf_full/checkpoint-20").findings.best)
    #expect(real.name == "eval_loss" && real.step == 10 && real.greaterIsBetter == false)
    #expect(try Inspection(fixtures + "/hf_sharded/checkpoint-4").findings.best == nil)
    func best(_ state: String, _ arguments: String = "{}") throws -> BestMetric? {
      let scratch = try Scratch()
      try scratch.write("checkpoint-1/trainer_state.json", state)
      try scratch.write("checkpoint-1/args.json", arguments)
      return try Inspection(scratch.path + "/checkpoint-1").findings.best
    }
    let log = #"[{"step": 1, "eval_acc": 0.5}, {"step": 2, "eval_acc": 0.75}, {"step": 3, "eval_acc": NaN}]"#
    let state = #"{"best_metric": 0.75, "log_history": \#(log)}"#
    #expect(
      try best(state) == BestMetric(name: "eval_acc", value: 0.75, step: 2, greaterIsBetter: true))
    #expect(
      try best(state, #"{"metric_for_best_model": "acc", "greater_is_better": false}"#)
        == BestMetric(name: "eval_acc", value: 0.75, step: 2, greaterIsBetter: false))
    #expect(
      try best(#"{"best_metric": 3, "log_history": []}"#)
        == BestMetric(name: nil, value: 3, step: nil, greaterIsBetter: nil))
    #expect(try best(#"{"best_metric": NaN}"#) == nil)
  }

  @Test("metrics are the last values, without speeds; one that became NaN is left out")
  func metrics() throws {
    let scratch = try Scratch()
    try scratch.write(
      "checkpoint-2/trainer_state.json",
      #"""
      {"epoch": 0.5, "log_history": [{"loss": 2, "learning_rate": 0.1, "grad_norm": 1, "eval_runtime": 9},
        {"loss": 1, "grad_norm": NaN, "eval_acc": 0.5, "eval_samples_per_second": 3, "note": "x"}]}
      """#)
    #expect(
      try Inspection(scratch.path + "/checkpoint-2").findings.metrics == [
        "loss": 1, "learning_rate": 0.1, "eval_acc": 0.5, "epoch": 0.5,
      ])
  }

  @Test("training state and what inference needs are told apart")
  func classes() throws {
    let inspection = try Inspection("\(fixtures)/hf_full/checkpoint-10")
    let training = try inspection.tree.files.map(\.path.name).filter {
      inspection.classifier.fileClass(of: try RelativePath($0)) == .training
    }
    #expect(
      training == [
        "optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json", "training_args.bin",
      ])
  }

  @Test(
    "step and run are read from the path",
    arguments: [
      ("/out/llama/checkpoint-12", 12, "llama"), ("/out/llama/checkpoints/global_step4", 4, "llama"),
      ("/runs/a/v0-20261124-002320/checkpoint-8", 8, "a-v0-20261124-002320"), ("/x/iter_0001000", 1000, "x"),
      ("/x/7", 7, "x"), ("/x/model", nil, "model"), ("/x/llama-7", nil, "llama-7"),
      ("/checkpoint-1", 1, "checkpoint-1"),
    ] as [(String, Int?, String)])
  func places(_ path: String, _ step: Int?, _ run: String) {
    let place = Place(path, isFile: false)
    #expect(place.step == step)
    #expect(place.run == run)
  }

  @Test(
    "files' extensions do not count for the step",
    arguments: [("/x/ckpt_step_000012.pt", 12), ("/x/epoch=1-step=8.ckpt", 8)])
  func files(_ path: String, _ step: Int) { #expect(Place(path, isFile: true).step == step) }

  @Test("a directory of checkpoints is told from a checkpoint")
  func inner() throws {
    #expect(
      try Inspection("\(fixtures)/hf_full").innerCheckpoints == [
        "checkpoint-10", "checkpoint-15", "checkpoint-20",
      ])
    #expect(try Inspection("\(fixtures)/hf_full/checkpoint-10").innerCheckpoints.isEmpty)
  }
}

@Suite("Hostile files") struct HostileFileTests {
  /// Looks at a file cut to so many bytes or changed; it must end, whatever it finds.
  private func look(_ bytes: [UInt8], _ name: String) throws {
    let scratch = try Scratch()
    let path = try scratch.write(name, bytes)
    _ = try Inspection(path).defects.map(\.sentence)
    let lengths = try CutPlan.chunks(of: try open(path), chunkSize: 512)
    #expect(lengths.reduce(0, +) == bytes.count && lengths.allSatisfy { (1...512).contains($0) })
  }

  @Test(
    "files that are cut anywhere or have bytes changed are looked at without harm; the seed is printed",
    arguments: [
      "peft_lora/checkpoint-3/adapter_model.safetensors", "plain_torch/state_dict_only.pt",
      "plain_torch/ckpt_legacy.pt",
      "lightning/checkpoints/last.ckpt",
    ])
  func changed(_ name: String) throws {
    var random = Seeded()
    let whole = try contents("\(fixtures)/\(name)")
    let file = name.split(separator: "/").last.map(String.init) ?? name
    for _ in 0..<60 {
      var bytes = whole
      if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 0...whole.count, using: &random)) }
      for _ in 0..<Int.random(in: 0...4, using: &random) where !bytes.isEmpty {
        let edge = Bool.random(using: &random) ? min(bytes.count, 200) : bytes.count
        bytes[Int.random(in: 0..<edge, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if !bytes.isEmpty { try look(bytes, file) }
    }
  }

  @Test("a small header that is cut at any byte, or followed by any cut of its data, is found torn")
  func everyByte() throws {
    let header = #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#
    let whole = [UInt8(header.utf8.count), 0, 0, 0, 0, 0, 0, 0] + Array(header.utf8) + [1, 2, 3, 4]
    let scratch = try Scratch()
    let path = scratch.path + "/x.safetensors"
    for length in whole.indices {
      try scratch.write("x.safetensors", whole[..<length])
      #expect(try !Inspection(path).isComplete, "\(length) bytes")
    }
    try scratch.write("x.safetensors", whole)
    #expect(try Inspection(path).isComplete)
  }
}

@Suite("Record facts") struct FactsTests {
  @Test("parameters, log, results and versions are found, and secrets are masked")
  func facts() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "run/checkpoint-10")
    try scratch.write(
      "run/args.json",
      #"{"lr": 0.1, "hub_token": "hf_secret", "nested": {"password": "pw"}, "max_new_tokens": 5}"#)
    try scratch.write("run/logging.jsonl", "{\"loss\": 1, \"api_key\": \"sk-1\"}\nno json\n{\"loss\": 2}\n")
    let facts = ArchiveFacts(of: try Inspection(path))
    #expect(facts.hyperparameters["config.json"] != nil)
    #expect(facts.hyperparameters["args.json"]?["lr"]?.number == 0.1)
    #expect(facts.hyperparameters["args.json"]?["hub_token"]?.text == JSONValue.mask)
    #expect(facts.hyperparameters["args.json"]?["nested"]?["password"]?.text == JSONValue.mask)
    #expect(facts.hyperparameters["args.json"]?["max_new_tokens"]?.integer == 5)
    #expect(facts.trainingLog.count > 5 && !facts.evaluations.isEmpty)
    #expect(facts.versions["transformers"]?.isEmpty == false && facts.versions["safetensors.format"] == "pt")
    let files = Dictionary(
      uniqueKeysWithValues: try facts.files.map { ($0.name, String(decoding: try $0.bytes(), as: UTF8.self)) }
    )
    #expect(files.keys.contains("trainer_state.json") && files.keys.contains("logging.jsonl"))
    for (name, text) in files {
      #expect(!text.contains("hf_secret") && !text.contains("sk-1") && !text.contains("\"pw\""), "\(name)")
    }
    #expect(files["logging.jsonl"]?.contains("\"loss\": 2") == true)
  }

  @Test("files without secrets stay as they are, byte for byte")
  func untouched() {
    let text = Array("{ \"a\" :  1}\n".utf8)
    #expect(recordBytes(text, name: "x.json") == text)
    // What is no JSON cannot be searched for secrets.
    #expect(recordBytes(Array("{\"token\": \"x\"".utf8), name: "X.JSON") == [])
    #expect(recordBytes([0xff, 0], name: "x.log") == [0xff, 0])
  }

  @Test(
    "names tell what is a secret",
    arguments: [
      ("hub_token", true), ("wandbApiKey", true), ("AWS_SECRET_ACCESS_KEY", true), ("password", true),
      ("auth", false),
      ("eos_token", false), ("pad_token", false), ("max_new_tokens", false), ("num_key_value_heads", false),
      ("tokenizer", false), ("token", true),
    ])
  func secrets(_ name: String, _ isSecret: Bool) {
    let text = "{\"\(name)\":\"value\"}"
    #expect((recordBytes(Array(text.utf8), name: "x.json") != Array(text.utf8)) == isSecret)
  }
}
