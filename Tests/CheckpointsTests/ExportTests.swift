import FoundationEssentials
import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Exports") struct ExportTests {
  /// Exports a fixture and gives the tensors that were written, by name.
  private func export(
    _ path: String, options: ModelExport.Options = .init()
  ) throws -> (report: ModelExport.Report, tensors: [String: (Safetensors.Tensor, [UInt8])], scratch: Scratch)
  {
    let scratch = try Scratch()
    let folder = scratch.path + "/out"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let report = try ModelExport(path, options: options).write(to: OpenDirectory(folder)) { _ in }
    var tensors: [String: (Safetensors.Tensor, [UInt8])] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: folder)
    where name.hasSuffix(".safetensors") {
      let file = try OpenFile("\(folder)/\(name)")
      let header = try Safetensors(reading: file)
      #expect(header.defect == nil)
      for tensor in header.tensors {
        tensors[tensor.name] = (
          tensor, try file.bytes(at: tensor.range.lowerBound, count: tensor.range.count)
        )
      }
    }
    #expect(report.tensors == tensors.count)
    return (report, tensors, scratch)
  }

  @Test("tensors of a zip and of the older form are the same, byte for byte")
  func torchForms() throws {
    let zip = try export(fixtures + "/plain_torch/ckpt_step_000012.pt").tensors
    let legacy = try export(fixtures + "/plain_torch/ckpt_legacy.pt").tensors
    let module = try export(fixtures + "/plain_torch/whole_module.pt").tensors
    #expect(!zip.isEmpty && zip.mapValues(\.1) == legacy.mapValues(\.1))
    #expect(Set(module.keys) == Set(zip.keys))
  }

  @Test("views are written in the order of their own dimensions")
  func views() throws {
    let tensors = try export(fixtures + "/plain_torch/views.pt").tensors
    let whole = try #require(tensors["shared_a"]).1
    let turned = try #require(tensors["transposed"])
    #expect(turned.0.shape == [16, 64])
    var expected: [UInt8] = []
    for column in 0..<16 {
      for row in 0..<64 { expected += whole[(row * 16 + column) * 4..<(row * 16 + column) * 4 + 4] }
    }
    #expect(turned.1 == expected)
    let view = try #require(tensors["view"])
    let rows = [50, 66].flatMap { whole[$0 * 4..<($0 + 7) * 4] }
    #expect(view.0.shape == [2, 7] && view.1 == rows)
  }

  @Test("modules that were saved one by one keep their own names")
  func modules() throws {
    let names = try export(fixtures + "/plain_torch/lora_head_step_500.bin").tensors.keys
    #expect(names.contains("head.weight") && names.contains("lora_weights.blocks.0.attn.q.lora_A"))
  }

  @Test("prefixes are taken off, and names that meet are refused")
  func prefixes() throws {
    let plain = try export(fixtures + "/hf_full/checkpoint-10").tensors
    let stripped = try export(
      fixtures + "/hf_full/checkpoint-10", options: .init(stripPrefixes: ["model."])
    ).tensors
    #expect(plain["model.norm.weight"]?.1 == stripped["norm.weight"]?.1 && stripped["lm_head.weight"] != nil)
    #expect(throws: ExportError.twice(name: "weight")) {
      try export(
        fixtures + "/hf_full/checkpoint-10", options: .init(stripPrefixes: ["model.norm.", "lm_head."]))
    }
  }

  @Test("shards hold at most what was asked, and the index names each tensor's")
  func shards() throws {
    let (report, tensors, scratch) = try export(
      fixtures + "/hf_full/checkpoint-10", options: .init(maximumShard: 10 << 10))
    let folder = scratch.path + "/out"
    #expect(report.weightFiles > 2 && report.bytes == 28992)
    let index = try JSONValue(parsing: contents(folder + "/model.safetensors.index.json"))
    #expect(index["metadata"]?["total_size"]?.integer == 28992)
    for name in tensors.keys {
      let shard = try #require(index["weight_map"]?[name]?.text)
      let header = try Safetensors(reading: OpenFile("\(folder)/\(shard)"))
      #expect(
        header.tensors.contains { $0.name == name } && header.expectedSize - header.dataStart <= 10 << 10)
    }
    // What was exported is whole by our own checks.
    #expect(try Inspection(folder).defects == [])
  }

  @Test("no file of the training is taken, and the configuration is")
  func otherFiles() throws {
    let report = try export(fixtures + "/hf_full/checkpoint-10").report
    #expect(report.copied == ["config.json", "generation_config.json"])
  }

  @Test("ZeRO's partitions, rounded, are the weights that the training used", arguments: [2, 4])
  func zero(_ step: Int) throws {
    let folder = "\(fixtures)/ds_zero1_bf16/global_step\(step)"
    let rounded = try export(folder, options: .init(elementType: .bf16))
    #expect(rounded.report.isLossy)
    let file = try OpenFile(folder + "/mp_rank_00_model_states.pt")
    let object = try TorchObject(reading: file)
    let module = try #require(object.root["module"]?.entries)
    #expect(module.count == rounded.tensors.count)
    for (key, value) in module {
      let tensor = try #require(TorchTensor(value))
      let found = try object.range(of: tensor.storage, in: file)
      let range = try #require(found)
      let bytes = try file.bytes(
        at: range.lowerBound + tensor.offset * 2, count: tensor.count * 2)
      #expect(rounded.tensors[try #require(key.text)]?.1 == bytes)
    }
  }

  @Test("ZeRO-3 gives every parameter in its shape, and no partition may be missing")
  func zero3() throws {
    let tensors = try export(fixtures + "/ds_zero3_bf16/global_step4").tensors
    #expect(tensors.count == 21 && tensors["model.embed_tokens.weight"]?.0.shape == [64, 16])
    // The first half of a parameter is process 0's, the second process 1's: norms that training hardly moved show both.
    let norm = try #require(tensors["model.norm.weight"]).1
    let values = stride(from: 0, to: 64, by: 4).map { place in
      Float(bitPattern: UInt32(littleEndian(norm[place..<place + 4])))
    }
    #expect(values.count == 16 && values.allSatisfy { abs($0 - 1) < 0.1 })
    let scratch = try Scratch()
    let path = try scratch.copy("ds_zero3_bf16/global_step4", as: "global_step4")
    try scratch.remove("global_step4/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt")
    #expect(throws: ExportError.self) { try export(path) }
  }

  @Test(
    "distributed checkpoints give the model's tensors alone, under its own names",
    arguments: [
      ("dcp_fsdp2/step-3", 21), ("hf_fsdp2_parts/checkpoint-3", 21), ("megatron_torch_dist/iter_0001000", 17),
    ])
  func distributed(_ name: String, _ count: Int) throws {
    let tensors = try export("\(fixtures)/\(name)").tensors
    #expect(tensors.count == count)
    if count == 21 {
      #expect(tensors["model.embed_tokens.weight"]?.0.shape == [64, 16] && tensors["lm_head.weight"] != nil)
    }
    #expect(tensors.values.allSatisfy { $0.1.contains { $0 != 0 } || $0.0.name.hasSuffix("bias") })
  }

  @Test(
    "Megatron's older form gives what its distributed form of the same model has, tensor by tensor",
    arguments: ["swiglu_tp2_pp2", "gelu_tp2"])
  func megatron(_ name: String) throws {
    let path = "\(fixtures)/megatron_legacy/\(name)"
    let expected = try export(path + ".safetensors").tensors
    for path in [path, path + "/iter_0000010"] {
      let tensors = try export(path).tensors
      #expect(tensors.mapValues(\.1) == expected.mapValues(\.1))
      #expect(tensors.mapValues(\.0.shape) == expected.mapValues(\.0.shape))
    }
  }

  @Test(
    "Megatron's older form is refused where a place is missing, or where nothing tells how a tensor was cut")
  func megatronRefused() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("megatron_legacy/swiglu_tp2_pp2/iter_0000010", as: "iter_0000010")
    let place = "iter_0000010/mp_rank_01_001/model_optim_rng.pt"
    let whole = try scratch.read(place)
    try scratch.remove(place)
    #expect(
      throws: ExportError.broken(file: "mp_rank_01_001/model_optim_rng.pt", reason: "it is missing")
    ) { try export(path) }
    // Another stage's tensors in its place.
    try scratch.write(place, try scratch.read("iter_0000010/mp_rank_01_000/model_optim_rng.pt"))
    #expect(
      throws: ExportError.broken(
        file: "mp_rank_01_001/model_optim_rng.pt", reason: "it does not hold the tensors that its like hold")
    ) { try export(path) }
    try scratch.write(place, whole)
    _ = try export(path)
    for name in [
      "vision_model.proj.weight", "decoder.layers.0.mixer.in_proj.weight", "decoder.adapter.weight",
    ] {
      let sizes = MegatronCut.Sizes(tensor: 2, pipeline: 1, expert: 1, isGated: true)
      #expect(throws: ExportError.self) { try MegatronCut(name, sizes) }
      _ = try MegatronCut(name, .init(tensor: 1, pipeline: 2, expert: 1, isGated: nil))
    }
    #expect(throws: ExportError.self) {
      try MegatronCut(
        "decoder.layers.0.mlp.linear_fc1.weight", .init(tensor: 2, pipeline: 1, expert: 1, isGated: nil))
    }
  }

  @Test("a distributed checkpoint without one of its files is refused")
  func distributedFileMissing() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("dcp_fsdp2/step-3", as: "step-3")
    try scratch.remove("step-3/__1_0.distcp")
    #expect(throws: SystemError.self) { try export(path) }
  }

  @Test("ZeRO's partitions must hold what is named, and that alone")
  func zeroUnused() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("ds_zero1_bf16/global_step4", as: "global_step4")
    // The row of one process is the other's twice: as many numbers too many as too few.
    let other = try contents(path + "/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")
    try scratch.write("global_step4/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt", other[...])
    try scratch.write("global_step4/bf16_zero_pp_rank_2_mp_rank_00_optim_states.pt", other[...])
    #expect(throws: ExportError.self) { try export(path) }
  }

  @Test("a shard that the index names must be there")
  func shardMissing() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("hf_sharded/checkpoint-4", as: "checkpoint-4")
    try scratch.remove("checkpoint-4/model-00002-of-00003.safetensors")
    #expect(throws: ExportError.self) { try export(path) }
  }

  @Test("tensors without elements may have any other sizes")
  func emptyTensor() throws {
    #expect(contiguousStrides([0, 1 << 40, 1 << 40, 8]).count == 4)
  }

  @Test("pieces that leave a gap, overlap or reach outside make no tensor")
  func coverage() throws {
    let file = try RelativePath("a")
    func piece(_ origin: [Int], _ shape: [Int]) -> TensorPlan.Piece {
      .init(file: file, offset: 0, shape: shape, strides: contiguousStrides(shape), origin: origin)
    }
    func plan(_ pieces: [TensorPlan.Piece]) throws -> TensorPlan {
      try TensorPlan(name: "t", dtype: "F32", shape: [4, 6], pieces: pieces)
    }
    _ = try plan([piece([0, 0], [2, 6]), piece([2, 0], [2, 6])])
    _ = try plan([piece([0, 0], [4, 3]), piece([0, 3], [2, 3]), piece([2, 3], [2, 3])])
    for pieces in [
      [], [piece([0, 0], [2, 6])], [piece([0, 0], [2, 6]), piece([1, 0], [2, 6])],
      [piece([0, 0], [4, 3]), piece([0, 2], [2, 3]), piece([2, 3], [2, 3])], [piece([1, 0], [4, 6])],
      [piece([0, 0], [4, 6]), piece([0, 0], [1, 1])],
    ] {
      #expect(throws: ExportError.notCovered(tensor: "t")) { try plan(pieces) }
    }
    #expect(throws: ExportError.self) {
      try TensorPlan(name: "t", dtype: "F32", shape: [1 << 40, 1 << 40], pieces: [])
    }
  }

  @Test("every half is itself again, and what lies between is rounded to the nearest, ties to even")
  func rounding() {
    for bits in UInt16.min...UInt16.max {
      let half = [UInt8(bits & 0xff), UInt8(bits >> 8)]
      let isNaN = bits & 0x7c00 == 0x7c00 && bits & 0x3ff != 0
      let wide = Conversion.convert(half, from: "F16", to: "F16")
      #expect(wide == half)
      // 8 bits of fraction hold a half's 11 only where the last ones are zero.
      if !isNaN, bits & 7 == 0, bits & 0x7c00 != 0, bits & 0x7c00 != 0x7c00 {
        let short = Conversion.convert(half, from: "F16", to: "BF16")
        #expect(Conversion.convert(short, from: "BF16", to: "F16") == half, "\(bits)")
      }
    }
    func f32(_ value: Float) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
    }
    func bf16(_ value: Float) -> UInt16 {
      UInt16(littleEndian(Conversion.convert(f32(value), from: "F32", to: "BF16")))
    }
    func f16(_ value: Float) -> UInt16 {
      UInt16(littleEndian(Conversion.convert(f32(value), from: "F32", to: "F16")))
    }
    #expect(bf16(1) == 0x3f80 && bf16(1.00390625) == 0x3f80 && bf16(1.01171875) == 0x3f82)
    #expect(
      bf16(.greatestFiniteMagnitude) == 0x7f80 && bf16(-.infinity) == 0xff80 && bf16(.nan) & 0x7fc0 == 0x7fc0)
    #expect(f16(1) == 0x3c00 && f16(65519) == 0x7bff && f16(65520) == 0x7c00 && f16(-0.0) == 0x8000)
    #expect(
      f16(0x1p-24) == 1 && f16(0x1p-25) == 0 && f16(0x1.8p-25) == 1 && f16(0x1.ff8p-15) == 0x3ff
        && f16(0x1.ffcp-15) == 0x400)
    #expect(f16(2049) == 0x6800 && f16(2051) == 0x6802 && f16(1.9999) == 0x4000)
  }
}
