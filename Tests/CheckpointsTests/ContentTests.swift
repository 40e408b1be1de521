import FoundationEssentials
import Glibc
import Platform
import TestSupport
import Testing

@testable import Checkpoints

/// Numbers near 1, so that random bytes make no NaN.
private func ones(_ count: Int) -> [UInt8] {
  (0..<count).flatMap { [UInt8(truncatingIfNeeded: $0), 1, 0x80, 0x3f] }
}
private func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: 4 * count) }
private func nans(_ count: Int) -> [UInt8] { (0..<count).flatMap { _ in [0, 0, 0xc0, 0x7f] as [UInt8] } }

@Suite("Contents") struct ContentTests {
  private let scratch: Scratch
  init() throws { scratch = try Scratch() }

  private func sample(_ tensors: [(name: String, shape: [Int], bytes: [UInt8])]) throws -> [Notice.Kind] {
    let path = try scratch.write("model.safetensors", safetensorsFile(tensors))
    return try Inspection(path).contentNotices().map(\.kind)
  }

  @Test("real checkpoints give no notice")
  func quiet() throws {
    for name in [
      "hf_full/checkpoint-10", "hf_sharded", "peft_lora", "plain_torch", "lightning", "ds_zero3_bf16",
    ] {
      let inspection = try Inspection("\(fixtures)/\(name)")
      let sampled = ContentSample(tree: inspection.tree, classifier: inspection.classifier).notices()
      #expect(sampled == [], "\(name)")
      let deep = try DeepCheck(inspection).run()
      #expect(deep.defects == [] && deep.notices == [], "\(name)")
      #expect(deep.bytes == inspection.tree.totalBytes, "\(name)")
    }
  }

  @Test("weights are said to be zeros only where every sampled matrix is; biases and a LoRA's B may be")
  func allZero() throws {
    #expect(
      try sample([("a", [8, 8], zeros(64)), ("b", [4, 4], zeros(16)), ("norm", [8], ones(8))])
        == [.content(.allZero(tensors: 2, sampled: true))])
    #expect(try sample([("lora_A", [8, 8], ones(64)), ("lora_B", [4, 4], zeros(16))]) == [])
    #expect(try sample([("bias", [8], zeros(8))]) == [])
  }

  @Test("a tensor that is NaN throughout its sample is named, one with a few numbers is not")
  func nan() throws {
    #expect(
      try sample([("good", [8, 8], ones(64)), ("bad", [4, 4], nans(16))])
        == [.content(.notANumber(tensors: 1, of: 2, example: "bad"))])
    #expect(try sample([("good", [8, 8], ones(60) + nans(4))]) == [])
  }

  @Test("the numbers of each type are told apart from zeros, infinities and NaN")
  func types() {
    func counts(_ dtype: String, _ words: [UInt64]) -> NumberCounts {
      words.withUnsafeBytes { NumberCounts.of($0, dtype: dtype) }
    }
    #expect(
      counts("F64", [0, 1 << 63, Double.nan.bitPattern, Double.infinity.bitPattern, 1])
        == NumberCounts(numbers: 5, zeros: 2, nans: 1))
    #expect(
      counts("F32", [0x7fc0_0000_ff80_0000, 0x8000_0000_ff80_0001])
        == NumberCounts(numbers: 4, zeros: 1, nans: 2))
    #expect(counts("BF16", [0x7f80_7fc0_8000_ffff]) == NumberCounts(numbers: 4, zeros: 1, nans: 2))
    #expect(counts("F16", [0x7c00_7e00_0000_fc01]) == NumberCounts(numbers: 4, zeros: 1, nans: 2))
    #expect(counts("I64", [0]) == NumberCounts())
  }

  @Test("the sample of a huge sparse file reads little, and its hole is told")
  func sparse() throws {
    let size = 1 << 36
    let header = Array(
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1024,\(size / 4096)],\"data_offsets\":[0,\(size)]}}".utf8)
    let path = try scratch.write(
      "model.safetensors", (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header)
    try #require(truncate(path, 8 + header.count + size) == 0)
    let kinds = try Inspection(path).contentNotices().map(\.kind)
    #expect(kinds.contains(.content(.allZero(tensors: 1, sampled: true))))
    let isTold = kinds.contains {
      if case .content(.hole(let bytes)) = $0 { bytes > size - 8192 } else { false }
    }
    #expect(isTold)
  }
}

@Suite("Reading everything") struct DeepCheckTests {
  private let scratch: Scratch
  init() throws { scratch = try Scratch() }

  private func deep(_ path: String) throws -> DeepCheck.Report { try DeepCheck(Inspection(path)).run() }

  @Test("one flipped bit of a tensor in a torch file is found by its CRC-32")
  func flipped() throws {
    let path = "\(fixtures)/broken/optimizer_flip_data/checkpoint-10"
    #expect(try Inspection(path).isComplete)
    let report = try deep(path)
    #expect(report.defects.map(\.file?.display) == ["optimizer.pt"])
    guard case .torch(.sum(let entry))? = report.defects.first?.kind else {
      Issue.record("\(report.defects)")
      return
    }
    #expect(!entry.isEmpty && report.sums > 50)
  }

  @Test("sums that are zero everywhere were not recorded, and are not held against the bytes")
  func unrecorded() throws {
    let path = "\(fixtures)/broken/optimizer_flip_data/checkpoint-10/optimizer.pt"
    var bytes = try contents(path)
    let zip = try TorchZip(reading: OpenFile(path))
    for index in zip.directoryOffset..<bytes.count - 4
    where bytes[index..<index + 4].elementsEqual([0x50, 0x4b, 1, 2]) {
      for byte in index + 16..<index + 20 { bytes[byte] = 0 }
    }
    let report = try deep(try scratch.write("optimizer.pt", bytes))
    #expect(report.defects == [] && report.sums == 0 && report.bytes == bytes.count)
  }

  @Test("each NaN is counted, with the tensors that have any")
  func nan() throws {
    let file = safetensorsFile([
      ("a", [64], ones(61) + nans(3)), ("b", [8, 8], ones(64)), ("c", [2], nans(2)),
    ])
    let report = try deep(try scratch.write("model.safetensors", file))
    #expect(
      report.notices.map(\.kind) == [.content(.holdsNaN(numbers: 5, tensors: 2, of: 3, example: "a"))])
    #expect(report.tensors == 3)
  }

  @Test("zeros from 64 KiB on at a tensor's end are told; a tensor of zeros among others is not")
  func zeroTail() throws {
    func notices(_ tensors: [(name: String, shape: [Int], bytes: [UInt8])]) throws -> [Notice.Kind] {
      try deep(try scratch.write("model.safetensors", safetensorsFile(tensors))).notices.map(\.kind)
    }
    let many = 16 << 10
    #expect(
      try notices([("a", [2 * many], ones(many) + zeros(many)), ("b", [8], ones(8))])
        == [.content(.zeroTail(bytes: 4 * many, tensor: "a"))])
    #expect(try notices([("a", [2 * many], ones(many + 1) + zeros(many - 1)), ("b", [8], ones(8))]) == [])
    #expect(try notices([("a", [many], zeros(many)), ("b", [8], ones(8))]) == [])
    // What a crash of the machine leaves: from somewhere on nothing was written.
    #expect(
      try notices([("a", [2 * many], ones(many) + zeros(many)), ("b", [many], zeros(many))])
        == [.content(.zeroTail(bytes: 8 * many, tensor: "b"))])
  }

  @Test("numbers and sums are the same across blocks")
  func blocks() throws {
    let count = 5 << 20
    let bytes = ones(count - 2) + nans(2)
    let report = try deep(try scratch.write("model.safetensors", safetensorsFile([("a", [count], bytes)])))
    #expect(
      report.notices.map(\.kind) == [.content(.holdsNaN(numbers: 2, tensors: 1, of: 1, example: "a"))])
  }

  @Test("a file that is gone when it is read is told as vanished")
  func vanished() throws {
    let inspection = try Inspection(try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10"))
    try scratch.remove("checkpoint-10/optimizer.pt")
    let report = try DeepCheck(inspection).run()
    #expect(report.defects.map(\.kind) == [.vanished])
  }

  @Test("it ends in the middle where it is told to")
  func cancelled() throws {
    let inspection = try Inspection("\(fixtures)/hf_full/checkpoint-10")
    #expect(throws: CancellationError.self) { try DeepCheck(inspection, isCancelled: { true }).run() }
  }

  @Test("damaged files of every kind are read to their end without a crash; the seed is printed")
  func mutated() throws {
    var numbers = Seeded()
    let names = [
      "hf_full/checkpoint-10/optimizer.pt", "hf_full/checkpoint-10/model.safetensors",
      "plain_torch/ckpt_legacy.pt", "plain_torch/views.pt", "plain_torch/whole_module.pt",
    ]
    for round in 0..<150 {
      let name = names[round % names.count]
      var bytes = try contents("\(fixtures)/\(name)")
      for _ in 0..<Int.random(in: 1...6, using: &numbers) {
        let place = Int.random(in: 0..<bytes.count, using: &numbers)
        switch Int.random(in: 0..<4, using: &numbers) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &numbers)
        case 1: bytes.removeLast(min(bytes.count - 1, Int.random(in: 1...200, using: &numbers)))
        // Directories, headers and pickles lie at the ends.
        case 2: bytes[min(place, 4000)] ^= 0x80
        default: bytes[max(0, bytes.count - 1 - place % 4000)] = 0xff
        }
      }
      let path = try scratch.write(String(name.split(separator: "/").last ?? ""), bytes)
      let inspection = try Inspection(path)
      _ = inspection.contentNotices()
      #expect(try DeepCheck(inspection).run().bytes == bytes.count)
    }
  }

  @Test("calls that share one tuple of many elements cost no more than their number", .timeLimit(.minutes(1)))
  func shared() throws {
    let elements = 200_000
    // GLOBAL, BINPUT 0, MARK, NONE…, TUPLE, BINPUT 1, EMPTY_LIST, MARK, (BINGET 0, BINGET 1, REDUCE)…, APPENDS, STOP.
    let bytes: [UInt8] =
      [0x80, 2] + Array("ctorch._utils\n_rebuild_tensor_v2\n".utf8) + [0x71, 0, 0x28]
      + [UInt8](repeating: 0x4e, count: elements) + [0x74, 0x71, 1, 0x5d, 0x28]
      + (0..<50_000).flatMap { _ in [0x68, 0, 0x68, 1, 0x52] as [UInt8] } + [0x65, 0x2e]
    let pickle = try Pickle(bytes)
    let calls = pickle.root.elements ?? []
    #expect(calls.count == 50_000 && calls.allSatisfy { TorchTensor($0) == nil })
  }
}
