import Glibc
import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Defects") struct DefectTests {
  private func found(_ path: String) throws -> [String: Defect.Kind] {
    var found: [String: Defect.Kind] = [:]
    for defect in try Inspection(path).defects {
      #expect(found.updateValue(defect.kind, forKey: defect.file?.display ?? "") == nil)
    }
    return found
  }

  /// A copy of a whole checkpoint, changed by a test.
  private func changed(
    _ fixture: String = "hf_full/checkpoint-10", _ change: (Scratch, String) throws -> Void
  ) throws -> [String: Defect.Kind] {
    let scratch = try Scratch()
    let name = fixture.split(separator: "/").last.map(String.init) ?? fixture
    let path = try scratch.copy(fixture, as: name)
    try change(scratch, name)
    return try found(path)
  }

  @Test(
    "each broken fixture has exactly its own defects, of the right kind, at the right file",
    arguments: [
      ("optimizer_truncated_half/checkpoint-10", ["optimizer.pt": .torch(.endMissing(fileSize: 37944))]),
      ("optimizer_no_central_dir/checkpoint-10", ["optimizer.pt": .torch(.endMissing(fileSize: 71416))]),
      ("optimizer_zero_tail/checkpoint-10", ["optimizer.pt": .torch(.endMissing(fileSize: 75888))]),
      ("optimizer_all_zero/checkpoint-10", ["optimizer.pt": .zeros(size: 75888)]),
      (
        "optimizer_flip_central_dir/checkpoint-10",
        ["optimizer.pt": .torch(.localHeader(entry: "optimIzer/data.pkl"))]
      ),
      (
        "optimizer_flip_zip64_offset/checkpoint-10",
        ["optimizer.pt": .torch(.directory(reason: "its two end records disagree"))]
      ),
      // Only the sum of a tensor's bytes tells, and sums are not checked here.
      ("optimizer_flip_data/checkpoint-10", [:]),
      (
        "safetensors_truncated/checkpoint-10",
        ["model.safetensors": .safetensors(.truncated(expected: 31088, fileSize: 20000))]
      ),
      (
        "safetensors_truncated_in_header/checkpoint-10",
        ["model.safetensors": .safetensors(.headerCut(needed: 2096, fileSize: 500))]
      ),
      (
        "safetensors_extra_tail/checkpoint-10",
        ["model.safetensors": .safetensors(.extraTail(expected: 31088, fileSize: 31188))]
      ),
      ("safetensors_leftover_tmp/checkpoint-10", [".tmp7PoZ7c": .staging, "": .noWeights(adapter: false)]),
      ("trainer_state_empty/checkpoint-10", ["trainer_state.json": .empty]),
      ("shard_index_missing/checkpoint-4", ["model.safetensors.index.json": .indexMissing(shards: 3)]),
      ("plain_truncated/ckpt_step_000012.pt", ["ckpt_step_000012.pt": .torch(.endMissing(fileSize: 10000))]),
      ("lightning_truncated/last.ckpt", ["last.ckpt": .torch(.endMissing(fileSize: 6945))]),
    ] as [(String, [String: Defect.Kind])])
  func broken(_ name: String, _ expected: [String: Defect.Kind]) throws {
    #expect(try found("\(fixtures)/broken/\(name)") == expected)
  }

  @Test("JSON that ends too early is told from JSON that is damaged")
  func json() throws {
    let torn = try found("\(fixtures)/broken/trainer_state_truncated/checkpoint-10")
    guard case .json(_, let offset, let size)? = torn["trainer_state.json"] else {
      Issue.record("\(torn)")
      return
    }
    #expect(torn.count == 1 && offset == size)
    let damaged = try changed { try $0.write("\($1)/config.json", "{\"a\": 1,, }") }
    guard case .json(_, 8, 11)? = damaged["config.json"] else {
      Issue.record("\(damaged)")
      return
    }
  }

  @Test("a JSON file that is too long to be read is judged by its end")
  func longJSON() throws {
    func state(_ end: String) throws -> [String: Defect.Kind] {
      try changed { scratch, name in
        let path = scratch.path + "/\(name)/trainer_state.json"
        truncate(path, CheckpointReader.maximumJSON + 4096)
        let file = Glibc.open(path, O_WRONLY | O_APPEND)
        defer { close(file) }
        _ = write(file, end, end.utf8.count)
      }
    }
    #expect(try state("}\n") == [:])
    #expect(try state("\"loss\"")["trainer_state.json"] != nil)
  }

  @Test("files that must hold something and hold nothing, or zeros, are found whatever they are")
  func emptyAndZeros() throws {
    for name in ["model.safetensors", "optimizer.pt", "rng_state.pth", "training_args.bin", "config.json"] {
      #expect(try changed { try $0.write("\($1)/\(name)", "") }[name] == .empty)
      let zeros = [UInt8](repeating: 0, count: 5000)
      #expect(try changed { try $0.write("\($1)/\(name)", zeros) }[name] == .zeros(size: 5000))
    }
  }

  @Test("a torch file that was cut within its first four bytes is torn")
  func firstBytes() throws {
    for count in 1...3 {
      let found = try changed { try $0.write("\($1)/optimizer.pt", [0x50, 0x4b, 3, 4].prefix(count)) }
      #expect(found["optimizer.pt"] == .torch(.endMissing(fileSize: count)))
    }
  }

  @Test("a checkpoint that is being written is told by what is there and by what is not yet")
  func beingWritten() throws {
    let scratch = try Scratch()
    let files = ["config.json", "model.safetensors", "training_args.bin", "optimizer.pt", "rng_state.pth"]
    for name in files { _ = try scratch.copy("hf_full/checkpoint-10/\(name)", as: "checkpoint-10/\(name)") }
    #expect(try found(scratch.path + "/checkpoint-10") == ["trainer_state.json": .unfinished])
    try scratch.remove("checkpoint-10/model.safetensors")
    try scratch.write("checkpoint-10/.tmpAb12Zz", [UInt8](repeating: 0, count: 64))
    #expect(
      try found(scratch.path + "/checkpoint-10") == [
        "trainer_state.json": .unfinished, ".tmpAb12Zz": .staging, "": .noWeights(adapter: false),
      ])
  }

  @Test(
    "only names that a framework gives to unfinished saves count as such",
    arguments: [
      ("tmp-checkpoint-10", true), (".tmpAb12Zz", true), ("tmp-checkpoint-", false), (".tmp", false),
      (".tmpAb12Zz7", false), (".tmpAb.2Zz", false), ("tmp", false), ("model.tmp", false),
    ])
  func staging(_ name: String, _ isUnfinished: Bool) { #expect(isStaging(name) == isUnfinished) }

  @Test("missing shards are named by the index, and without it by the names of the others")
  func shards() throws {
    #expect(
      try changed("hf_sharded/checkpoint-4") { try $0.remove("\($1)/model-00003-of-00003.safetensors") } == [
        "model-00003-of-00003.safetensors": .shardMissing(index: "model.safetensors.index.json")
      ])
    #expect(
      try changed("hf_sharded/checkpoint-4") {
        try $0.remove("\($1)/model-00003-of-00003.safetensors")
        try $0.remove("\($1)/model.safetensors.index.json")
      } == [
        "model-00003-of-00003.safetensors": .shardMissing(index: nil),
        "model.safetensors.index.json": .indexMissing(shards: 3),
      ])
  }

  @Test("a torn shard is one defect, not one more for each of its tensors")
  func tornShard() throws {
    let torn = try found("\(fixtures)/broken/shard_truncated/checkpoint-4")
    #expect(Array(torn.keys) == ["model-00002-of-00003.safetensors"])
  }

  @Test("an index in a directory below speaks for the shards beside it")
  func nestedIndex() throws {
    let scratch = try Scratch()
    _ = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    try scratch.write(
      "checkpoint-10/unet/model.safetensors.index.json",
      #"{"weight_map": {"a": "model-1.safetensors", "b": "../../escape", "c": 1}}"#)
    #expect(
      try found(scratch.path + "/checkpoint-10") == [
        "unet/model-1.safetensors": .shardMissing(index: "model.safetensors.index.json")
      ])
  }

  @Test("the random state of each process must be there; names cannot make up processes without end")
  func randomStates() throws {
    let missing = try changed { scratch, name in
      try scratch.remove("\(name)/rng_state.pth")
      for rank in [0, 2] {
        _ = try scratch.copy("hf_full/checkpoint-10/rng_state.pth", as: "\(name)/rng_state_\(rank).pth")
      }
    }
    #expect(missing == ["rng_state_1.pth": .randomStateMissing(processes: 3)])
    let hostile = try changed { scratch, name in
      for rank in ["9223372036854775807", "99999999999999999999", "1000"] {
        _ = try scratch.copy("hf_full/checkpoint-10/rng_state.pth", as: "\(name)/rng_state_\(rank).pth")
      }
    }
    #expect(hostile.count == 16)
    #expect(hostile.values.allSatisfy { $0 == .randomStateMissing(processes: 1001) })
  }

  @Test("training state without weights is incomplete, for a model and for an adapter")
  func noWeights() throws {
    #expect(
      try changed { try $0.remove("\($1)/model.safetensors") } == ["": .noWeights(adapter: false)])
    #expect(
      try changed("peft_lora/checkpoint-3") { try $0.remove("\($1)/adapter_model.safetensors") } == [
        "": .noWeights(adapter: true)
      ])
  }

  @Test("weights that are only a link out of the checkpoint are not kept by keeping the link")
  func links() throws {
    let outside = try changed { scratch, name in
      try scratch.remove("\(name)/optimizer.pt")
      symlink("../elsewhere/optimizer.pt", scratch.path + "/\(name)/optimizer.pt")
    }
    #expect(outside == ["optimizer.pt": .linkedOutside(target: "../elsewhere/optimizer.pt")])
    let inside = try changed { scratch, name in
      symlink("./model.safetensors", scratch.path + "/\(name)/pytorch_model.bin")
      symlink(scratch.path + "/\(name)/optimizer.pt", scratch.path + "/\(name)/optimizer.bin")
      symlink("/etc/hostname", scratch.path + "/\(name)/notes")
    }
    #expect(inside == [:])
  }

  @Test("a file that this process may not read is a defect")
  func unreadable() throws {
    let scratch = try Scratch()
    try scratch.write("a/b", "1")
    let tree = try Tree.scan(scratch.path)
    let skipped = [
      SkippedEntry(path: Array("a/x".utf8), reason: .unreadable("Permission denied")),
      SkippedEntry(path: Array("a/y".utf8), reason: .vanished),
      SkippedEntry(path: Array("z".utf8), reason: .fifo),
    ]
    let told = Tree(
      root: tree.root, isSingleFile: false, rootAttributes: nil, entries: tree.entries, skipped: skipped)
    let reader = CheckpointReader(tree: told, place: Place(scratch.path, isFile: false))
    #expect(
      FileChecks(reader: reader).defects().map(\.sentence) == [
        "a/x cannot be read: Permission denied.",
        "a/y disappeared while the checkpoint was read: somebody is removing it.",
      ])
  }

  @Test("sizes are told in units that people read, exactly where rounding would hide the difference")
  func sizes() throws {
    #expect(displaySize(0) == "0 bytes")
    #expect(displaySize(1) == "1 byte")
    #expect(displaySize(1023) == "1023 bytes")
    #expect(displaySize(1_288_490_188) == "1.1 GiB")
    #expect(displaySize(Int.max).hasSuffix("PiB"))
    let defect = Defect(
      try RelativePath("model.safetensors"),
      .safetensors(.truncated(expected: 5_000_000_000, fileSize: 4_999_999_999)))
    #expect(
      defect.sentence
        == "model.safetensors is torn: it ends at 4.6 GiB of 4.6 GiB (4999999999 of 5000000000 bytes).")
  }
}
