import FoundationEssentials
import Platform
import TestSupport
import Testing

@testable import Checkpoints

private let families = ["dcp", "deepspeed", "deepspeed_run", "megatron_torch_dist", "megatron_legacy"]

@Suite("Checkpoints of many processes") struct RankLayoutTests {
  @Test(
    "layout, step, spread and missing files are those of the fixtures",
    arguments: Expected.all.filter {
      families.contains($0.value.layout) || $0.key.hasPrefix("hf_ds") || $0.key.hasPrefix("hf_fsdp")
    }.keys.sorted())
  func fixture(_ name: String) throws {
    let expected = try #require(Expected.all[name])
    let inspection = try Inspection("\(fixtures)/\(name)")
    let spread = inspection.findings.parallelism
    #expect(inspection.layout == expected.layout)
    #expect(inspection.step == expected.step)
    #expect(inspection.isComplete == expected.complete, "\(inspection.defects.map(\.sentence))")
    #expect(spread.world == expected.worldSize)
    if let stage = expected.zeroStage { #expect(spread.zeroStage == stage) }
    if let tensor = expected.tp { #expect(spread.tensor == tensor) }
    if let pipeline = expected.pp { #expect(spread.pipeline == pipeline) }
    if let data = expected.dp { #expect(spread.data == data) }
    if !name.hasPrefix("hf"), !expected.complete {
      let named = Set(inspection.defects.compactMap { $0.file?.display })
      #expect(named.isSuperset(of: expected.missing + expected.torn), "\(named)")
    }
    if let best = expected.metrics?["best_metric"] ?? nil {
      #expect(inspection.findings.metrics["best_metric"] == best)
    }
  }

  @Test("the parts of a distributed checkpoint are told by its names, and a step by its object")
  func dcp() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("dcp_fsdp2/step-3", as: "saved")
    let inspection = try Inspection(path)
    #expect(inspection.step == 3 && inspection.isComplete)
    #expect(Set(inspection.findings.parts.keys) == [.weights, .optimizer, .progress])
    let checkpoint = try DistributedCheckpoint(metadata: try contents(path + "/.metadata"))
    #expect(checkpoint.tensors.count + checkpoint.objects.count == 99)
    let first = try #require(checkpoint.tensors.first)
    #expect(
      first.name == "model.model.embed_tokens.weight" && first.dtype == "F32" && first.shape == [64, 16])
    #expect(
      first.chunks.map(\.offsets) == [[0, 0], [32, 0]] && first.chunks.map(\.sizes) == [[32, 16], [32, 16]])
    #expect(first.chunks[0].place.offset == 0 && first.chunks[0].place.length == 3625)
    let sizes = checkpoint.fileSizes.map { ($0.key.display, $0.value) }.sorted { $0.0 < $1.0 }
    #expect(sizes.map(\.1) == [142359, 195223])
  }

  @Test("a metadata file that is cut or changed anywhere gives an error or a checkpoint; the seed is printed")
  func hostile() throws {
    var random = Seeded()
    let whole = try contents("\(fixtures)/dcp_fsdp2/step-3/.metadata")
    for _ in 0..<60 {
      var bytes = whole
      if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 0...whole.count, using: &random)) }
      for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = try? DistributedCheckpoint(metadata: bytes)
    }
    #expect(throws: PickleError.self) { try DistributedCheckpoint(metadata: Array(whole.dropLast())) }
  }

  @Test("a data file that is missing, longer or all zeros is named; only the missing one may be elsewhere")
  func dataFiles() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("dcp_fsdp2/step-3", as: "step-3")
    let whole = try scratch.read("step-3/__1_0.distcp")
    try scratch.write("step-3/__1_0.distcp", whole + [0])
    #expect(
      try Inspection(path).defects.map(\.kind) == [.wrongSize(expected: whole.count, size: whole.count + 1)])
    try scratch.write("step-3/__1_0.distcp", [UInt8](repeating: 0, count: whole.count))
    #expect(try Inspection(path).defects.map(\.kind) == [.zeros(size: whole.count)])
    try scratch.remove("step-3/__1_0.distcp")
    let missing = try Inspection(path).defects
    #expect(missing.map(\.kind) == [.shardMissing(index: ".metadata")] && missing[0].isAbsence)
  }

  @Test("what a missing process should have written may lie on another machine")
  func absences() throws {
    for name in ["broken/ds_rank_missing/global_step4", "broken/megatron_tp_rank_missing/iter_0001000"] {
      let defects = try Inspection("\(fixtures)/\(name)").defects
      #expect(!defects.isEmpty && defects.allSatisfy(\.isAbsence), "\(name)")
    }
  }

  @Test("a marker that names what is not there is told")
  func markers() throws {
    let kinds = try Inspection("\(fixtures)/broken/ds_latest_dangling").defects.map(\.kind)
    #expect(kinds == [.danglingMarker(target: "global_step6")])
    let scratch = try Scratch()
    let run = try scratch.copy("megatron_torch_dist", as: "run")
    #expect(try Inspection(run).isComplete && Inspection(run).layout == "megatron_run")
    #expect(try Inspection(run).step == 1000)
    try scratch.write("run/latest_checkpointed_iteration.txt", "2000")
    #expect(try Inspection(run).defects.map(\.kind) == [.danglingMarker(target: "iter_0002000")])
  }

  @Test("a mixture's experts are counted by the model file, and a pipeline's layers by their like")
  func experts() throws {
    let scratch = try Scratch()
    // torch.save's older form: magic number, protocol, machine, {"num_experts": [2, 1], "mp_world_size": 1}, no storages.
    let model: [UInt8] =
      [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e]
      + [0x80, 2, 0x4d, 0xe9, 3, 0x2e] + [0x80, 2, 0x7d, 0x2e]
      + [0x80, 2, 0x7d, 0x28, 0x58, 11, 0, 0, 0] + Array("num_experts".utf8)
      + [0x5d, 0x28, 0x4b, 2, 0x4b, 1, 0x65, 0x58, 13, 0, 0, 0] + Array("mp_world_size".utf8)
      + [0x4b, 1, 0x75, 0x2e] + [0x80, 2, 0x5d, 0x2e]
    let names =
      ["mp_rank_00_model_states.pt"]
      + ["0_expert_0", "0_expert_1", "1_expert_0"].map { "layer_\($0)_mp_rank_00_model_states.pt" }
      + ["00-model_00", "00-model_01", "03-model_00", "03-model_01"].map { "layer_\($0)-model_states.pt" }
    for name in names { try scratch.write("global_step4/\(name)", model) }
    let path = scratch.path + "/global_step4"
    #expect(try Inspection(path).defects == [])
    for (name, count) in [
      ("layer_0_expert_1_mp_rank_00_model_states.pt", 3), ("layer_03-model_01-model_states.pt", 4),
    ] {
      try scratch.remove("global_step4/\(name)")
      let defects = try Inspection(path).defects
      #expect(defects.map(\.file?.display) == [name] && defects[0].kind == .rankFileMissing(count: count))
      #expect(defects[0].isAbsence)
      try scratch.write("global_step4/\(name)", model)
    }
  }

  @Test("an optimizer file that is much shorter than its like is told, although it is whole by itself")
  func short() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("ds_zero1_bf16/global_step4", as: "global_step4")
    try scratch.write(
      "global_step4/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt",
      try contents("\(fixtures)/ds_zero1_bf16/global_step4/mp_rank_00_model_states.pt"))
    let defects = try Inspection(path).defects
    #expect(defects.map(\.kind) == [.shortRankFile(size: 21913, usual: 48517)])
  }

  @Test("each part that FSDP wrote beside the Trainer's files must be whole")
  func trainerFSDP() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_fsdp2_parts/checkpoint-3", as: "checkpoint-3")
    try scratch.remove("checkpoint-3/optimizer_0/.metadata")
    let named = try Inspection(path).defects.compactMap(\.file?.display)
    #expect(named.contains("optimizer_0/.metadata"))
    try scratch.write("local/trainer_state.json", #"{"global_step": 3}"#)
    for rank in [0, 2] { try scratch.write("local/pytorch_model_fsdp_rank\(rank).bin", "x") }
    #expect(
      try Inspection(scratch.path + "/local").defects.contains {
        $0.file?.display == "pytorch_model_fsdp_rank1.bin" && $0.isAbsence
      })
  }

  @Test("DeepSpeed's universal form needs each parameter's weights")
  func universal() throws {
    let scratch = try Scratch()
    let model = try contents("\(fixtures)/ds_zero1_bf16/global_step4/mp_rank_00_model_states.pt")
    try scratch.write("global_step4_universal/mp_rank_00_model_states.pt", model)
    for parameter in ["a", "b"] {
      for state in ["fp32", "exp_avg", "exp_avg_sq"] {
        try scratch.write("global_step4_universal/zero/\(parameter)/\(state).pt", model)
      }
    }
    let path = scratch.path + "/global_step4_universal"
    #expect(try Inspection(path).isComplete && Inspection(path).layout == "deepspeed_universal")
    try scratch.remove("global_step4_universal/zero/b/fp32.pt")
    #expect(try Inspection(path).defects.map(\.file?.display) == ["zero/b/fp32.pt"])
  }
}
