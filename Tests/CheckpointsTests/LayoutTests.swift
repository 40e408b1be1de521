import FoundationEssentials
import Platform
import TestSupport
import Testing

@testable import Checkpoints

private func inspect(_ name: String) throws -> Inspection { try Inspection("\(fixtures)/\(name)") }

extension Inspection {
  /// The defects' kinds by their files.
  fileprivate var found: [String: Defect.Kind] {
    Dictionary(defects.map { ($0.file?.display ?? "", $0.kind) }, uniquingKeysWith: { first, _ in first })
  }
}

@Suite("Layouts") struct LayoutTests {
  @Test(
    "layout, step, epoch, processes and metrics are those that the real checkpoints have",
    arguments: Expected.names([
      "torch_file", "lightning", "accelerate", "orbax", "ms_swift", "hf_trainer", "hf_trainer+peft",
      "hf_model",
    ]))
  func facts(_ name: String) throws {
    let expected = try #require(Expected.all[name])
    let inspection = try inspect(name)
    let findings = inspection.findings
    #expect(inspection.defects == [])
    #expect(findings.layout == expected.layout)
    #expect(findings.step == expected.step)
    if let world = expected.worldSize { #expect(findings.parallelism.world == world) }
    if let epoch = expected.epoch { #expect(findings.metrics["epoch"] == epoch) }
    let own: Set<String> = ["max_steps", "best_global_step"]
    for (metric, value) in expected.metrics ?? [:] where !own.contains(metric) {
      #expect(findings.metrics[metric] == value, "\(metric)")
    }
    #expect(findings.parts[.weights] != nil)
  }

  @Test(
    "the parts that a torch file lacks are those that it was saved without",
    arguments: Expected.names(["torch_file"]))
  func parts(_ name: String) throws {
    let expected = try #require(Expected.all[name])
    let parts = try inspect(name).findings.parts
    let names: [(Findings.Part, String)] = [
      (.optimizer, "optimizer"), (.schedule, "scheduler"), (.random, "rng"), (.progress, "step"),
    ]
    #expect(names.filter { parts[$0.0] == nil }.map(\.1) == expected.missing)
  }

  @Test(
    "of a torn file the step is still told",
    arguments: Expected.names(["torch_file", "lightning"], complete: false))
  func torn(_ name: String) throws {
    let expected = try #require(Expected.all[name])
    let inspection = try inspect(name)
    #expect(inspection.layout == expected.layout && inspection.step == expected.step)
    #expect(!inspection.isComplete)
  }
}

@Suite("Torch files") struct TorchFileTests {
  @Test("settings are kept, secrets masked, and the best metric has its name")
  func settings() throws {
    let findings = try inspect("plain_torch/ckpt_step_000012.pt").findings
    #expect(findings.hyperparameters["ckpt_step_000012.pt"]?["config"]?["hidden"]?.integer == 32)
    #expect(
      findings.best == BestMetric(name: "val_loss", value: 0.25, step: nil, greaterIsBetter: false))
    let secret = JSONValue.object([
      "hub_token": .string("x"), "a": .array([.object(["api_key": .integer(5)])]),
    ])
    #expect(secret.masked["hub_token"]?.text == JSONValue.mask)
    #expect(secret.masked["a"]?.elements?.first?["api_key"]?.text == JSONValue.mask)
  }

  @Test("a module pickled whole is weights alone, with the tensors of its state dictionary")
  func module() throws {
    let findings = try inspect("plain_torch/whole_module.pt").findings
    #expect(Set(findings.parts.keys) == [.weights])
    let names = TorchFile.weights(
      try TorchObject(reading: open("\(fixtures)/plain_torch/whole_module.pt")).root)
    #expect(Set(names.map(\.name)) == ["0.weight", "0.bias", "2.weight", "2.bias"])
  }

  @Test("a file of the older form that is cut anywhere, or got zeros for its end, is found torn")
  func legacy() throws {
    let whole = try contents("\(fixtures)/plain_torch/ckpt_legacy.pt")
    let scratch = try Scratch()
    for length in stride(from: 15, to: whole.count, by: 97) + [whole.count - 1] {
      let path = try scratch.write("a.pt", whole[..<length])
      let inspection = try Inspection(path)
      guard case .pickle(let error)? = inspection.defects.first?.kind else {
        Issue.record("\(length): \(inspection.defects)")
        continue
      }
      #expect(error.isCut && inspection.defects.count == 1)
    }
    let zeros = whole.dropLast(8000) + [UInt8](repeating: 0, count: 8000)
    #expect(try !Inspection(scratch.write("a.pt", zeros)).isComplete)
    #expect(try Inspection(scratch.write("a.pt", whole)).isComplete)
  }

  @Test("the pickle is held to its sum, unless no sums are recorded; then it must still be readable")
  func sums() throws {
    var bytes = try contents("\(fixtures)/plain_torch/ckpt_step_000012.pt")
    let scratch = try Scratch()
    let place = try #require(bytes.firstRange(of: Array("best_val_loss".utf8)))
    bytes[place.lowerBound] = UInt8(ascii: "B")
    let flipped = try Inspection(scratch.write("a.pt", bytes))
    #expect(flipped.found.keys.sorted() == ["a.pt"])
    #expect(flipped.defects.first?.sentence.contains("CRC-32") == true)
    let unsummed = withoutSums(bytes)
    #expect(try Inspection(scratch.write("a.pt", unsummed)).isComplete)
    bytes[66] = 0xff
    guard case .pickle? = try Inspection(scratch.write("a.pt", withoutSums(bytes))).defects.first?.kind else {
      Issue.record("an opcode that there is none of was read")
      return
    }
  }

  @Test("an optimizer's own dictionary is no weights")
  func optimizer() throws {
    #expect(Set(try inspect("hf_full/checkpoint-10/optimizer.pt").findings.parts.keys) == [.optimizer])
  }

  @Test(
    "twenty thousand entries that all are one large dictionary cost no more than few",
    .timeLimit(.minutes(1)))
  func shared() throws {
    // d = {None: None, …}; {"0": d, "1": d, …}: every way through it is long.
    var pickle: [UInt8] = [0x80, 2, 0x7d, 0x71, 0, 0x28]
    for _ in 0..<20_000 { pickle += [0x4e, 0x4e] }
    pickle += [0x75, 0x30, 0x7d, 0x28]
    for number in 0..<20_000 {
      pickle += [0x8c, 6] + Array(String(number + 100_000).utf8) + [0x68, 0]
    }
    let root = try Pickle(pickle + [0x75, 0x2e]).root
    _ = root.json
    var walk = TorchWalk()
    walk.collect(root)
    #expect(walk.tensors.isEmpty)
    var budget = TorchWalk.maximumValues
    #expect(!TorchWalk.hasTensor(root, budget: &budget))
  }

  @Test("of several files the step is told only where they agree")
  func several() throws {
    let scratch = try Scratch()
    try scratch.copy("plain_torch/ckpt_step_000012.pt", as: "a/model.pt")
    try scratch.copy("plain_torch/ckpt_no_optimizer.pt", as: "a/other.pt")
    #expect(try Inspection(scratch.path + "/a").step == 12)
    try scratch.copy("plain_torch/lora_head_step_500.bin", as: "a/head.bin")
    #expect(try Inspection(scratch.path + "/a").step == nil)
  }
}

/// A zip whose directory has 0 for every sum.
private func withoutSums(_ bytes: [UInt8]) -> [UInt8] {
  var bytes = bytes
  for range in bytes.ranges(of: [0x50, 0x4b, 1, 2]) {
    for place in 16..<20 { bytes[range.lowerBound + place] = 0 }
  }
  return bytes
}

@Suite("Lightning") struct LightningTests {
  @Test("the metric that its callback watches, its version and its settings are told")
  func facts() throws {
    let findings = try inspect("lightning/checkpoints/epoch=2-step=12.ckpt").findings
    #expect(findings.versions["lightning"] == "2.6.6")
    #expect(findings.best?.name == "val_loss" && findings.best?.greaterIsBetter == false)
    #expect(findings.best?.step == 12 && findings.best?.value.isFinite == true)
    #expect(findings.hyperparameters["epoch=2-step=12.ckpt"]?["hidden"]?.integer == 16)
    #expect(findings.use == .resumeWithoutRandomState)
    #expect(try inspect("lightning/checkpoints").layout == "lightning")
  }
}

@Suite("Accelerate") struct AccelerateTests {
  private func changed(_ change: (Scratch) throws -> Void) throws -> Inspection {
    let scratch = try Scratch()
    let path = try scratch.copy("accelerate_state/checkpoints/checkpoint_0", as: "checkpoint-7")
    try change(scratch)
    return try Inspection(path)
  }

  @Test("a step is only the user's: checkpoint_N counts saves, checkpoint-N is a name of somebody's own")
  func steps() throws {
    #expect(try changed { _ in }.step == 7)
    #expect(try inspect("accelerate_state/checkpoints/checkpoint_1").step == nil)
    #expect(try inspect("accelerate_state/checkpoints/checkpoint_1").findings.use == .resume)
  }

  @Test("numbered files must be there up to the highest, and the weights")
  func missing() throws {
    let rank = try changed {
      try $0.copy("hf_full/checkpoint-10/rng_state.pth", as: "checkpoint-7/random_states_2.pkl")
    }
    #expect(rank.found == ["random_states_1.pkl": .randomStateMissing(processes: 3)])
    #expect(rank.findings.parallelism.world == 3)
    let custom = try changed {
      try $0.copy(
        "accelerate_state/checkpoints/checkpoint_0/custom_checkpoint_0.pkl",
        as: "checkpoint-7/custom_checkpoint_2.pkl")
    }
    #expect(custom.found == ["custom_checkpoint_1.pkl": .gap])
    let weights = try changed { try $0.remove("checkpoint-7/model.safetensors") }
    #expect(weights.found == ["": .noWeights(adapter: false)])
  }

  @Test("the user's objects and random states are torch files, checked as such")
  func torn() throws {
    let torn = try changed {
      try $0.write(
        "checkpoint-7/custom_checkpoint_0.pkl",
        try $0.read("checkpoint-7/custom_checkpoint_0.pkl").dropLast(30))
    }
    #expect(torn.found.keys.sorted() == ["custom_checkpoint_0.pkl"])
  }
}

@Suite("Orbax") struct OrbaxTests {
  private func changed(_ name: String = "7", _ change: (Scratch) throws -> Void) throws -> Inspection {
    let scratch = try Scratch()
    let path = try scratch.copy("orbax/7", as: name)
    try change(scratch)
    return try Inspection(path)
  }

  @Test(
    "what a save writes must be there",
    arguments: [
      ("commit_success.txt", "commit_success.txt", .unfinished),
      ("state/_METADATA", "state/_METADATA", .unfinished),
      ("state/manifest.ocdbt", "state/manifest.ocdbt", .unfinished),
      ("state/ocdbt.process_0/manifest.ocdbt", "state/ocdbt.process_0/manifest.ocdbt", .unfinished),
      ("meta", "meta", .shardMissing(index: "_CHECKPOINT_METADATA")),
    ] as [(String, String, Defect.Kind)])
  func missing(_ removed: String, _ file: String, _ kind: Defect.Kind) throws {
    #expect(try changed { try $0.remove("7/\(removed)") }.found == [file: kind])
  }

  @Test("a save under way is known by its name, and keeps its step")
  func staging() throws {
    let inspection = try changed("7.orbax-checkpoint-tmp") { _ in }
    #expect(inspection.layout == "orbax" && inspection.step == 7)
    #expect(inspection.found == ["": .staging])
  }

  @Test("metadata without the time of the commit, and a manifest that is cut, are told")
  func torn() throws {
    let open = try changed {
      try $0.write("7/_CHECKPOINT_METADATA", #"{"item_handlers": {}, "commit_timestamp_nsecs": null}"#)
    }
    #expect(open.found == ["_CHECKPOINT_METADATA": .notCommitted])
    let cut = try changed {
      try $0.write("7/state/manifest.ocdbt", try $0.read("7/state/manifest.ocdbt").dropLast(1))
    }
    #expect(cut.found == ["state/manifest.ocdbt": .torn(reason: "it should have 113 bytes and has 112")])
  }
}

@Suite("Trainer and what builds on it") struct TrainerVariantTests {
  @Test("each process that trained must have its random state, as many as the arguments tell")
  func processes() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_ds_zero2/checkpoint-4", as: "checkpoint-4")
    try scratch.remove("checkpoint-4/rng_state_1.pth")
    let inspection = try Inspection(path)
    #expect(inspection.found["rng_state_1.pth"] == .randomStateMissing(processes: 2))
    #expect(inspection.findings.parallelism.world == 2)
    #expect(inspection.findings.hyperparameters["training_args.bin"]?["learning_rate"]?.number != nil)
  }

  @Test("ms-swift tells the number of processes, whose random states must be there")
  func swift() throws {
    let scratch = try Scratch()
    let path = try scratch.copy(
      "swift_lora/v0-20261124-002320/checkpoint-8", as: "v0-20261124-002320/checkpoint-8")
    let name = "v0-20261124-002320/checkpoint-8"
    #expect(try Inspection(path).findings.versions["swift"] == "4.6.0")
    let arguments = String(decoding: try scratch.read(name + "/args.json"), as: UTF8.self)
    try scratch.write(
      name + "/args.json", arguments.replacing(#""global_world_size": 1"#, with: #""global_world_size": 2"#))
    try scratch.copy("hf_full/checkpoint-10/rng_state.pth", as: name + "/rng_state_0.pth")
    let inspection = try Inspection(path)
    #expect(inspection.findings.parallelism.world == 2)
    #expect(inspection.found == ["rng_state_1.pth": .randomStateMissing(processes: 2)])
  }

  @Test(
    "what builds on the Trainer is known by the class of its arguments",
    arguments: [
      ("trl.trainer.sft_configurat", "hf_trainer+trl"),
      ("llamafactory.hparams.train", "hf_trainer+llamafactory"),
      ("truly.other.training_argus", "hf_trainer"),
    ])
  func variants(_ module: String, _ layout: String) throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    var bytes = try scratch.read("checkpoint-10/training_args.bin")
    let old = Array("ctransformers.training_args\n".utf8)
    try #require(old.count == module.utf8.count + 2)
    let place = try #require(bytes.firstRange(of: old))
    bytes.replaceSubrange(place, with: Array("c\(module)\n".utf8))
    try scratch.write("checkpoint-10/training_args.bin", withoutSums(bytes))
    let inspection = try Inspection(path)
    #expect(inspection.defects == [] && inspection.layout == layout)
  }

  @Test("an adapter's base model is told, and noticed where it is a path or has no name")
  func base() throws {
    let base = try #require(try inspect("peft_lora/checkpoint-3").findings.base)
    #expect(base.name == "tiny/local-llama" && base.kind == "LORA" && base.rank == 4 && base.revision == nil)
    func adapter(_ configuration: String) throws -> Findings {
      let scratch = try Scratch()
      let path = try scratch.copy("peft_lora/checkpoint-3", as: "checkpoint-3")
      try scratch.write("checkpoint-3/adapter_config.json", configuration)
      return try Inspection(path).findings
    }
    let dora = try adapter(
      #"{"peft_type": "LORA", "use_dora": true, "r": 8, "revision": "abc", "modules_to_save": ["score"], "base_model_name_or_path": "/m/x"}"#
    )
    #expect(dora.base?.words == "/m/x at abc, DORA of rank 8, with score")
    #expect(dora.notices.map(\.kind) == [.localBaseModel("/m/x")])
    #expect(try adapter(#"{"peft_type": "LORA"}"#).notices.map(\.kind) == [.noBaseModel])
    #expect(try adapter(#"{"base_model_name_or_path": "meta/llama"}"#).notices == [])
  }
}

@Suite("TensorFlow and Keras") struct TensorFlowTests {
  private static let index =
    [UInt8](repeating: 1, count: 40) + [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb]

  /// A SavedModel with variables in two files.
  private func model(_ scratch: Scratch) throws -> String {
    try scratch.write("m/saved_model.pb", [8, 1])
    try scratch.write("m/variables/variables.index", Self.index)
    for number in 0..<2 { try scratch.write("m/variables/variables.data-0000\(number)-of-00002", [1, 2, 3]) }
    return scratch.path + "/m"
  }

  @Test("a SavedModel needs the index and every data file of its variables")
  func savedModel() throws {
    let scratch = try Scratch()
    let path = try model(scratch)
    #expect(try Inspection(path).layout == "tf_savedmodel" && Inspection(path).isComplete)
    try scratch.remove("m/variables/variables.data-00001-of-00002")
    #expect(
      try Inspection(path).found == ["variables/variables.data-00001-of-00002": .shardMissing(index: nil)])
    try scratch.write("m/variables/variables.data-00001-of-00002", [1])
    try scratch.write("m/variables/variables.index", Self.index.dropLast(1))
    #expect(try Inspection(path).found == ["variables/variables.index": .torn(reason: "its end is missing")])
    try scratch.remove("m/variables/variables.index")
    #expect(try Inspection(path).found == ["variables/variables.index": .indexMissing(shards: 2)])
  }

  @Test("a checkpoint of tf.train is the one that its text names, with that step")
  func checkpoint() throws {
    let scratch = try Scratch()
    for step in [100, 200] {
      try scratch.write("run/model.ckpt-\(step).index", Self.index)
      try scratch.write("run/model.ckpt-\(step).data-00000-of-00001", [1])
    }
    try scratch.write("run/checkpoint", "model_checkpoint_path: \"model.ckpt-200\"\n")
    let path = scratch.path + "/run"
    #expect(try Inspection(path).layout == "tf_checkpoint" && Inspection(path).isComplete)
    #expect(try Inspection(path).step == 200)
    try scratch.write("run/checkpoint", "model_checkpoint_path: \"/old/place/model.ckpt-300\"\n")
    #expect(try Inspection(path).found == ["model.ckpt-300.index": .shardMissing(index: "checkpoint")])
  }

  @Test("a Keras archive needs its weights and its facts, HDF5 its whole length")
  func keras() throws {
    let scratch = try Scratch()
    let parts = [
      "metadata.json": #"{"keras_version": "3.9.0"}"#, "config.json": "{}", "model.weights.h5": "x",
    ]
    let path = try scratch.write("a.keras", zip(parts))
    let whole = try Inspection(path)
    #expect(whole.layout == "keras" && whole.isComplete && whole.findings.versions["keras"] == "3.9.0")
    for (name, words) in [
      ("config.json", "it lacks config.json"), ("model.weights.h5", "it lacks the weights"),
    ] {
      try scratch.write("a.keras", zip(parts.filter { $0.key != name }))
      #expect(try Inspection(path).found == ["a.keras": .torn(reason: words)])
    }
    try scratch.write("a.keras", zip(parts).dropLast(5))
    #expect(try !Inspection(path).isComplete)

    var hdf5 = [UInt8](repeating: 0, count: 96)
    hdf5.replaceSubrange(0..<8, with: [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a])
    hdf5[13] = 8
    hdf5[14] = 8
    hdf5[40] = 96
    let weights = try scratch.write("a.weights.h5", hdf5)
    #expect(try Inspection(weights).layout == "keras" && Inspection(weights).isComplete)
    try scratch.write("a.weights.h5", hdf5.dropLast(1))
    #expect(try Inspection(weights).found.keys.sorted() == ["a.weights.h5"])
  }

  /// A zip of stored entries, as Python's zipfile writes it.
  private func zip(_ parts: [String: String]) -> [UInt8] {
    func number(_ value: Int, _ width: Int) -> [UInt8] { (0..<width).map { UInt8(value >> (8 * $0) & 0xff) } }
    var body: [UInt8] = []
    var directory: [UInt8] = []
    for (name, text) in parts.sorted(by: { $0.key < $1.key }) {
      let sizes =
        number(0, 4) + number(text.utf8.count, 4) + number(text.utf8.count, 4) + number(name.utf8.count, 2)
      directory += [0x50, 0x4b, 1, 2] + number(20, 2) + number(20, 2) + number(0, 8) + sizes
      directory += number(0, 12) + number(body.count, 4) + Array(name.utf8)
      body += [0x50, 0x4b, 3, 4] + number(20, 2) + number(0, 8) + sizes + number(0, 2) + Array(name.utf8)
      body += Array(text.utf8)
    }
    let end = number(0, 4) + number(parts.count, 2) + number(parts.count, 2) + number(directory.count, 4)
    return body + directory + [0x50, 0x4b, 5, 6] + end + number(body.count, 4) + number(0, 2)
  }
}

@Suite("Modules") struct ModuleTests {
  @Test(
    "tensors belong to the module that their names tell",
    arguments: [
      ("model.layers.0.mlp.up_proj.weight", "language_model"), ("lm_head.weight", "lm_head"),
      ("model.vision_tower.encoder.x", "vision_tower"),
      ("multi_modal_projector.linear_1.weight", "multi_modal_projector"),
      ("language_model.model.layers.0.x", "language_model"), ("language_model.lm_head.weight", "lm_head"),
      ("base_model.model.model.layers.0.q_proj.lora_A.weight", "lora"),
      ("base_model.model.score.weight", "score"),
      ("module._orig_mod.audio_tower.conv.weight", "audio_tower"),
      ("visual.merger.mlp.0.weight", "visual.merger"),
      ("model.visual.blocks.0.x", "visual"), ("0.weight", "model"), ("head.bias", "head"),
      ("lora_weights.blocks.0.attn.q.lora_A", "lora"), ("", "model"), ("....", "model"),
    ])
  func names(_ tensor: String, _ module: String) { #expect(ModuleCensus.module(of: tensor) == module) }

  @Test("an adapter with a head in a torch file is told as such")
  func loraHead() throws {
    let modules = try inspect("plain_torch/lora_head_step_500.bin").findings.modules
    #expect(Set(modules.map(\.name)) == ["lora", "head"])
    #expect(modules.first { $0.name == "head" }?.parameters == 136)
    #expect(modules.allSatisfy { $0.dtypes == ["F32"] && $0.bytes == 4 * $0.parameters })
  }

  @Test("the optimizer's tensors do not count, and whole models count all of their own")
  func counts() throws {
    let expected = 32 * 16 + 32 + 8 * 32 + 8
    for name in [
      "ckpt_step_000012.pt", "ckpt_legacy.pt", "state_dict_only.pt", "state_dict_bf16.pth", "whole_module.pt",
    ] {
      let modules = try inspect("plain_torch/\(name)").findings.modules
      #expect(modules.map(\.parameters) == [expected], "\(name)")
    }
    let whole = try inspect("hf_full/checkpoint-10").findings.modules
    #expect(whole.reduce(0) { $0 + $1.bytes } == 28992)
    #expect(try inspect("hf_sharded/checkpoint-4").findings.modules == whole)
    #expect(Set(whole.map(\.name)) == ["language_model", "lm_head"])
    #expect(try inspect("peft_lora/checkpoint-3").findings.modules.map(\.name) == ["lora"])
  }

  @Test("numbers of any size are told shortly")
  func words() {
    func words(_ parameters: Int) -> String {
      ModelModule(name: "a", parameters: parameters, bytes: 0, dtypes: ["BF16"]).words
    }
    #expect(words(6_738_415_616) == "a 6.7 B bf16" && words(304_000_000) == "a 304 M bf16")
    #expect(words(20) == "a 20 bf16" && words(1_500) == "a 1.5 K bf16")
  }

  @Test("more modules than a line holds are told as others")
  func many() throws {
    let scratch = try Scratch()
    let members = (0..<40).map {
      #""tower\#($0 + 100)x.w":{"dtype":"U8","shape":[1],"data_offsets":[\#($0),\#($0 + 1)]}"#
    }
    let header = "{" + members.joined(separator: ",") + "}"
    let size = (0..<8).map { UInt8(header.utf8.count >> (8 * $0) & 0xff) }
    let path = try scratch.write(
      "m.safetensors", size + Array(header.utf8) + [UInt8](repeating: 7, count: 40))
    let modules = try Inspection(path).findings.modules
    #expect(modules.count == 16 && modules.last?.name == "other" && modules.last?.parameters == 25)
  }
}
