import Platform
import TestSupport
import Testing

@testable import Checkpoints

private func unhex(_ digits: String) -> [UInt8] { bytes(hex: digits) ?? [] }

@Suite("Pickle") struct PickleTests {
  private func object(_ name: String) throws -> TorchObject {
    try TorchObject(reading: open("\(fixtures)/plain_torch/\(name)"))
  }

  @Test("zip and older form give the same values", arguments: ["ckpt_step_000012.pt", "ckpt_legacy.pt"])
  func values(_ name: String) throws {
    let root = try object(name).root
    #expect(root["step"]?.integer == 12)
    #expect(root["epoch"]?.integer == 3)
    #expect(root["best_val_loss"]?.number == 0.25)
    let weights = try #require(root["model"]?.entries ?? root["model_state_dict"]?.entries)
    let tensors = weights.compactMap { TorchTensor($0.value) }
    #expect(tensors.count == weights.count && !tensors.isEmpty)
  }

  @Test("the storages of both forms hold the same bytes")
  func storages() throws {
    func bytes(_ name: String) throws -> [[UInt8]] {
      let file = try open("\(fixtures)/plain_torch/\(name)")
      let object = try TorchObject(reading: file)
      let weights = try #require(object.root["model"]?.entries ?? object.root["model_state_dict"]?.entries)
      return try weights.map { entry in
        let tensor = try #require(TorchTensor(entry.value))
        let found = try object.range(of: tensor.storage, in: file)
        let range = try #require(found)
        #expect(range.count == tensor.storageSize)
        return try file.bytes(at: range.lowerBound, count: range.count)
      }
    }
    #expect(try bytes("ckpt_step_000012.pt") == bytes("ckpt_legacy.pt"))
  }

  @Test("views tell their shape, strides, offset and shared storage")
  func views() throws {
    let root = try object("views.pt").root
    func tensor(_ name: String) throws -> TorchTensor {
      let value = try #require(root[name])
      return try #require(TorchTensor(value))
    }
    let whole = try tensor("shared_a")
    let view = try tensor("view")
    #expect(whole.shape == [64, 16] && whole.strides == [16, 1] && whole.isContiguous)
    #expect(view.storage == whole.storage && view.offset == 50 && view.shape == [2, 7])
    #expect(!view.isContiguous)
    #expect(try tensor("transposed").strides == [1, 16])
    #expect(try tensor("scalar").shape == [] && tensor("scalar").count == 1)
    let types = Set((root.entries ?? []).compactMap { TorchTensor($0.value)?.dtype })
    #expect(types.isSuperset(of: ["F32", "F8_E4M3", "BOOL", "I64"]), "\(types)")
  }

  @Test("a pickle that would run a program is only described")
  func hostile() throws {
    let bytes = Array("cposix\nsystem\n(S'touch /tmp/pwned'\ntR.".utf8)
    let root = try Pickle(bytes).root
    #expect(root.callee == "posix.system")
    #expect(root.arguments.first?.text == "touch /tmp/pwned")
  }

  @Test("protocols 0 to 5 say the same", arguments: PickleTests.protocols)
  func everyProtocol(_ hexadecimal: String) throws {
    let root = try Pickle(unhex(hexadecimal)).root
    #expect(root["a"]?.elements?.map(\.integer) == [1, -2, 70000, 1 << 40])
    #expect(root["b"]?.number == 0.5 && root["c"]?.text == "ü")
    #expect(root["d"]?.bool == true && root["e"]?.isNone == true)
  }

  /// `pickle.dumps({'a': [1, -2, 70000, 1 << 40], 'b': 0.5, 'c': 'ü', 'd': True, 'e': None}, n)` of CPython 3.11. Protocol 0 writes
  /// text beyond ASCII escaped, which torch never does, so that one is left out.
  static let protocols: [String] = [
    "7d71002858010000006171015d7102284b014afeffffff4a701101004c313039393531313632373737364c0a655801000000627103473fe000000000000058010000006371045802000000c3bc710558010000006471064930310a58010000006571074e752e",
    "80027d71002858010000006171015d7102284b014afeffffff4a701101008a06000000000001655801000000627103473fe000000000000058010000006371045802000000c3bc710558010000006471068858010000006571074e752e",
    "80037d71002858010000006171015d7102284b014afeffffff4a701101008a06000000000001655801000000627103473fe000000000000058010000006371045802000000c3bc710558010000006471068858010000006571074e752e",
    "80049541000000000000007d94288c0161945d94284b014afeffffff4a701101008a06000000000001658c016294473fe00000000000008c0163948c02c3bc948c016494888c0165944e752e",
    "80059541000000000000007d94288c0161945d94284b014afeffffff4a701101008a06000000000001658c016294473fe00000000000008c0163948c02c3bc948c016494888c0165944e752e",
  ]

  @Test("every cut is an error that says so")
  func cuts() throws {
    for pickle in Self.protocols {
      let bytes = unhex(pickle)
      for count in bytes.indices {
        let error = #expect(throws: PickleError.self) { try Pickle(Array(bytes[..<count])) }
        #expect(error?.isCut == true, "\(count)")
      }
    }
  }

  @Test("more values than allowed are refused")
  func limit() throws {
    let bytes = [UInt8](repeating: 0x4e, count: 1000) + [0x2e]
    #expect(throws: PickleError.self) { try Pickle(bytes, maximumValues: 999) }
    #expect(try Pickle(bytes, maximumValues: 1000).root.isNone)
  }

  @Test("training arguments become JSON with their enumerations' values")
  func hyperparameters() throws {
    let file = try open("\(fixtures)/hf_full/checkpoint-10/training_args.bin")
    let json = try TorchObject(reading: file).root.json
    #expect(json["learning_rate"]?.number == 0.001 || json["learning_rate"]?.number != nil)
    #expect(json["save_strategy"]?.text == "steps")
    #expect(json["distributed_state"]?["num_processes"]?.integer == 1)
  }

  @Test("values that stand for very many by sharing become few")
  func laughs() throws {
    // A list of two, doubled 60 times by storing and recalling it.
    var bytes: [UInt8] = [0x80, 2, 0x5d, 0x71, 0]
    for level in UInt8(0)..<60 { bytes += [0x5d, 0x71, level + 1, 0x28, 0x68, level, 0x68, level, 0x65] }
    _ = try Pickle(bytes + [0x2e]).root.json
  }

  @Test("numbers to store at that are none, and stacks of marks without end, are errors")
  func memoAndMarks() {
    #expect(throws: PickleError.self) { try Pickle(Array("Np-1\n.".utf8)) }
    #expect(throws: PickleError.self) {
      try Pickle([UInt8](repeating: 0x28, count: 1001), maximumValues: 1000)
    }
    #expect(throws: PickleError.self) {
      try Pickle([0x4e] + [UInt8](repeating: 0x32, count: 1001) + [0x2e], maximumValues: 1000)
    }
  }

  @Test("one long text that is used thousands of times becomes few texts")
  func sharedText() throws {
    // [s, s, …] with s of 1 MiB stored once.
    var bytes: [UInt8] = [0x80, 2, 0x5d, 0x58, 0, 0, 0x10, 0] + [UInt8](repeating: 0x61, count: 1 << 20)
    bytes += [0x71, 0, 0x30, 0x28] + (0..<19_000).flatMap { _ in [0x68, 0] as [UInt8] } + [0x65, 0x2e]
    #expect((try Pickle(bytes).root.json.elements ?? []).count < 8)
  }

  @Test("a value that contains itself is read")
  func cycle() throws {
    // l = []; l.append(l)
    let root = try Pickle([0x80, 2, 0x5d, 0x71, 0, 0x68, 0, 0x61, 0x2e]).root
    #expect(root.elements?.first?.elements?.first?.elements?.count == 1)
  }

  @Test("a tensor beyond its storage, or of sizes beyond numbers, is none")
  func absurd() throws {
    let storage = "((X\u{7}\0\0\0storagectorch\nFloatStorage\nX\u{1}\0\0\00X\u{3}\0\0\0cpuK\u{10}tQ"
    func tensor(_ offset: String, _ shape: String, _ strides: String) throws -> TorchTensor? {
      let text = "ctorch._utils\n_rebuild_tensor_v2\n" + storage + offset + shape + strides + "\u{89}}tR."
      var bytes = Array(text.utf8)
      // The UTF-8 of NEWFALSE's byte is two bytes.
      bytes.removeAll { $0 == 0xc2 }
      return TorchTensor(try Pickle(bytes).root)
    }
    #expect(try tensor("I0\n", "(I16\nt", "(I1\nt")?.count == 16)
    #expect(try tensor("I1\n", "(I16\nt", "(I1\nt") == nil)
    #expect(try tensor("I0\n", "(I16\nt", "(I2\nt") == nil)
    #expect(try tensor("I0\n", "(I-1\nt", "(I1\nt") == nil)
    #expect(try tensor("I9223372036854775807\n", "(I1\nt", "(I1\nt") == nil)
    #expect(try tensor("I0\n", "(I4611686018427387904\nI4\nt", "(I0\nI0\nt") == nil)
  }
}
