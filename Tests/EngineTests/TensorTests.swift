import Checkpoints
import ObjectStore
import Platform
import Repository
import TestSupport
import Testing

@testable import Engine

@Suite("Digests of tensors") struct TensorTests {
  private func diff(_ world: World, _ a: Snapshot, _ b: Snapshot) async throws -> TensorChanges? {
    let repository = try await world.repository()
    return SnapshotDiff(try await .init(a, in: repository), try await .init(b, in: repository)).tensors
  }

  /// A checkpoint of a vision tower with tensors longer and shorter than a chunk, a projector and a head; `changed` are names of
  /// tensors with other content, `besides` further ones, and `without` those that are left out.
  private func write(
    _ scratch: Scratch, _ name: String, changed: Set<String> = [], besides: Int = 0, without: Set<String> = []
  ) throws {
    var tensors: [(name: String, count: Int)] = [("head.bias", 64), ("head.weight", 3000)]
    tensors += (0..<besides).map { ("more.\($0)", 500) }
    tensors += [
      ("projector.weight", 70_000), ("vision_tower.layers.0.norm", 64),
      ("vision_tower.layers.0.weight", 150_000), ("vision_tower.layers.1.norm", 64),
    ]
    let file = safetensorsFile(
      tensors.filter { !without.contains($0.name) }.map { name, count in
        let seed = name.utf8.reduce(UInt64(0)) { ($0 * 31 + UInt64($1)) % 1_000_003 }
        return (name, [count], noise(count, seed: seed + (changed.contains(name) ? 1 << 20 : 0)))
      }, dtype: "U8")
    try scratch.write("\(name)/model.safetensors", file)
  }

  @Test("a module that training left alone is told as frozen, and what changed by its tensors' names")
  func frozen() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try write(scratch, "checkpoint-1")
    let a = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    // Its neighbours in the same chunk are not told as changed with it.
    try write(scratch, "checkpoint-2", changed: ["head.weight", "projector.weight"])
    let b = try await world.push("\(scratch.path)/checkpoint-2", step: 2).snapshot
    let changes = try #require(try await diff(world, a, b))
    #expect(changes.changed == ["head.weight", "projector.weight"] && changes.same == 4)
    #expect(changes.added.isEmpty && changes.removed.isEmpty && changes.untold.isEmpty)
    #expect(
      changes.modules == [
        .init(name: "vision_tower", tensors: 3, same: 3), .init(name: "head", tensors: 2, same: 1),
        .init(name: "projector", tensors: 1, same: 0),
      ])
    let record = try #require(try await ArchiveRecord.read(of: b, from: world.repository()))
    #expect(record.frozen == .init(since: a.id, step: 1, modules: ["vision_tower"]))
    #expect(try await ArchiveRecord.read(of: a, from: world.repository())?.frozen == nil)
    #expect(try await world.verify(.deep).damages.isEmpty)
  }

  @Test(
    "tensors between others change nothing for these, and what is cut in another way is not called changed")
  func cut() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try write(scratch, "checkpoint-1")
    try write(scratch, "checkpoint-2", besides: 150)
    try write(scratch, "checkpoint-3", without: ["vision_tower.layers.0.norm", "head.bias"])
    let a = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    let b = try await world.push("\(scratch.path)/checkpoint-2", step: 2).snapshot
    let c = try await world.push("\(scratch.path)/checkpoint-3", step: 3).snapshot
    let more = try #require(try await diff(world, a, b))
    #expect(more.added.count == 150 && more.same == 6 && more.changed.isEmpty && more.untold.isEmpty)
    let fewer = try #require(try await diff(world, a, c))
    // The end of the projector and the head have chunks for themselves now.
    #expect(fewer.untold == ["head.weight", "projector.weight"] && fewer.changed.isEmpty && fewer.same == 2)
    #expect(fewer.removed == ["head.bias", "vision_tower.layers.0.norm"])
  }

  @Test(
    "each form of weights has a digest for each tensor, and the same content has the same",
    arguments: [
      "hf_full/checkpoint-20", "hf_sharded/checkpoint-4", "peft_lora/checkpoint-3", "dcp_fsdp2/step-3",
      "ds_zero1_bf16/global_step4", "ds_zero3_bf16/global_step4", "lightning",
      "plain_torch/ckpt_step_000012.pt", "plain_torch/ckpt_legacy.pt", "megatron_torch_dist/iter_0001000",
    ])
  func forms(_ fixture: String) async throws {
    let world = try await World()
    let a = try await world.push("\(fixtures)/\(fixture)").snapshot
    let b = try await world.push("\(fixtures)/\(fixture)", step: 2) { $0.run = "other" }.snapshot
    let changes = try await diff(world, a, b)
    if fixture == "lightning" {
      #expect(changes == nil, "of several files it cannot be told which one is the model")
    } else {
      let found = try #require(changes)
      #expect(found.same > 0 && found.changed.isEmpty && found.untold.isEmpty)
      #expect(found.frozen == found.modules.map(\.name))
    }
  }

  @Test("a record without digests, or with any bytes in their place, leaves tensors out and all else in")
  func missing() async throws {
    let world = try await World()
    let a = try await world.push("\(fixtures)/hf_full/checkpoint-10").snapshot
    let b = try await world.push("\(fixtures)/hf_full/checkpoint-20", step: 2).snapshot
    #expect(try await diff(world, a, b)?.changed.isEmpty == false)
    let key = try #require(try await world.keys(a.record).first { $0.hasSuffix("tensors.json") })
    for bytes in [[], Array("{}".utf8), Array(#"{"chunk_size": 1, "tensors": {}}"#.utf8), [0xff]] {
      try await world.memory.put(key, Payload(bytes))
      #expect(try await diff(world, a, b) == nil)
    }
    try await world.memory.delete([key])
    #expect(try await diff(world, a, b) == nil)
    try await world.push("\(fixtures)/hf_full/checkpoint-20", step: 3)
  }

  @Test("a file of that name that the user gave is kept, and no digests are")
  func name() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    let given = try scratch.write("tensors.json", "{}")
    let snapshot = try await world.push("\(fixtures)/hf_full/checkpoint-10") {
      $0.attachments = [(given, .evaluation)]
    }.snapshot
    let record = try #require(try await ArchiveRecord.read(of: snapshot, from: world.repository()))
    #expect(record.files.filter { $0.name == "tensors.json" }.map(\.role) == [.evaluation])
  }
}
