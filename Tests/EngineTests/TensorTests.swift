import Checkpoints
import Glibc
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
    "tensors that come or go between others change nothing for these")
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
    #expect(fewer.untold.isEmpty && fewer.changed.isEmpty && fewer.same == 4)
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

  @Test(
    "beyond what may be read, a chunk that tensors share tells that one of them changed, and modules are still told apart"
  )
  func inexact() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    func write(_ name: String, changed: Int) throws {
      // 80 MB of tensors that share chunks, of two modules: more than is read again.
      let tensors = (0..<4000).map { index in
        let module = index < 2000 ? "audio_tower" : "head"
        var bytes = [UInt8](repeating: UInt8(index % 251), count: 20_000)
        bytes[0] = UInt8(index / 251)
        if index == changed { bytes[1] ^= 1 }
        return (name: "\(module).\(index)", shape: [20_000], bytes: bytes)
      }
      try scratch.write("\(name)/model.safetensors", safetensorsFile(tensors, dtype: "U8"))
    }
    try write("checkpoint-1", changed: -1)
    try write("checkpoint-2", changed: 3900)
    let a = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    let b = try await world.push("\(scratch.path)/checkpoint-2", step: 2).snapshot
    let changes = try #require(try await diff(world, a, b))
    #expect(changes.changed.isEmpty && changes.perhapsChanged.contains("head.3900"))
    #expect(changes.perhapsChanged.count <= 3 && changes.untold.isEmpty)
    #expect(changes.frozen == ["audio_tower"])
  }

  @Test("a file that was replaced after it was sent leaves the record without digests")
  func replaced() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try write(scratch, "checkpoint-1")
    try write(scratch, "other", changed: ["head.weight"])
    let swap = FaultyStore(world.memory) { operation, key, _ in
      if operation == .put, key.hasPrefix("manifests/") {
        rename("\(scratch.path)/other/model.safetensors", "\(scratch.path)/checkpoint-1/model.safetensors")
      }
      return nil
    }
    let snapshot = try await world.push("\(scratch.path)/checkpoint-1", in: swap).snapshot
    let record = try #require(try await ArchiveRecord.read(of: snapshot, from: world.repository()))
    #expect(!record.files.contains { $0.role == .tensors })
  }

  @Test("a record that cannot be read keeps no later push from its work")
  func unreadable() async throws {
    let (world, scratch) = (try await World(), try Scratch())
    try write(scratch, "checkpoint-1")
    try write(scratch, "checkpoint-2", changed: ["head.weight"])
    let a = try await world.push("\(scratch.path)/checkpoint-1").snapshot
    let denied = FaultyStore(world.memory) { operation, key, _ in
      operation == .get && key.hasPrefix(a.record)
        ? .before(StoreError.denied(operation: "get", key: key, message: "no")) : nil
    }
    let b = try await world.push("\(scratch.path)/checkpoint-2", step: 2, in: denied).snapshot
    #expect(try await ArchiveRecord.read(of: b, from: world.repository())?.frozen == nil)
    #expect(try await diff(world, a, b)?.frozen == ["vision_tower", "projector"])
  }

  @Test("a tensor that has no digest keeps its module from being called frozen")
  func strided() async throws {
    let world = try await World()
    let a = try await world.push("\(fixtures)/plain_torch/views.pt").snapshot
    let b = try await world.push("\(fixtures)/plain_torch/views.pt", step: 2) { $0.run = "other" }.snapshot
    let changes = try #require(try await diff(world, a, b))
    #expect(changes.untold.contains("transposed") && changes.added.isEmpty && changes.removed.isEmpty)
    let module = try #require(changes.modules.first { $0.same < $0.tensors })
    #expect(!changes.frozen.contains(module.name))
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
