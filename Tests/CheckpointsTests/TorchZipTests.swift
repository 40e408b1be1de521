import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Torch zip") struct TorchZipTests {
  static let optimizer = fixtures + "/hf_full/checkpoint-10/optimizer.pt"

  @Test("a real file gives its entries in order, with the places of their bytes")
  func real() throws {
    let file = try open(Self.optimizer)
    let zip = try TorchZip(reading: file)
    #expect(zip.entries.count == 69)
    #expect(zip.entries.first?.display == "optimizer/data.pkl")
    #expect(zip.entries.first?.dataOffset == 64)
    #expect(zip.entries.first?.size == 4633)
    #expect(zip.directoryOffset == 71416)
    #expect(zip.entries.allSatisfy { ($0.dataOffset ?? 1) % 64 == 0 })
    let version = try #require(zip.entry("version"))
    #expect(try zip.bytes(of: version, in: file, limit: 10) == Array("3\n".utf8))
    #expect(throws: TorchZipDefect.self) { try zip.bytes(of: version, in: file, limit: 1) }
  }

  @Test("any cut is found by the missing end record")
  func cuts() throws {
    let scratch = try Scratch()
    let whole = try contents(Self.optimizer)
    for size in [0, 4, 21, 22, 98, 4096, 71416, 75866, 75887] {
      #expect(throws: TorchZipDefect.endMissing(fileSize: size)) {
        try TorchZip(reading: open(try scratch.write("cut", whole[..<size])))
      }
    }
  }

  @Test("each record at the end is checked against the others")
  func records() throws {
    let scratch = try Scratch()
    let whole = try contents(Self.optimizer)
    // Signature, count, size and offset of the zip64 record, its locator, and the plain record.
    for back in [98, 98 - 24, 98 - 32, 98 - 40, 98 - 48, 42, 42 - 8, 22 - 10, 22 - 12, 22 - 16] {
      var bytes = whole
      bytes[bytes.count - back] ^= 1
      #expect(throws: TorchZipDefect.self) { try TorchZip(reading: open(try scratch.write("flip", bytes))) }
    }
  }

  @Test("an entry that runs into the next, or whose own header is wrong, is found")
  func entries() throws {
    let scratch = try Scratch()
    let whole = try contents(Self.optimizer)
    var renamed = whole
    renamed[4713 + 30] ^= 1
    #expect(throws: TorchZipDefect.localHeader(entry: "optimizer/.format_version")) {
      try TorchZip(reading: open(try scratch.write("renamed", renamed)))
    }
    var longer = whole
    longer[71416 + 20 + 2] = 1
    #expect(throws: TorchZipDefect.overlap(entry: "optimizer/data.pkl")) {
      try TorchZip(reading: open(try scratch.write("longer", longer)))
    }
  }

  @Test("every whole torch file of the fixtures is read, and its first bytes tell its form")
  func fixturesAreWhole() throws {
    for name in ["ckpt_step_000012.pt", "views.pt", "lora_head_step_500.bin", "state_dict_bf16.pth"] {
      let file = try open(fixtures + "/plain_torch/" + name)
      #expect(try TorchFormat(of: file) == .zip)
      #expect(try TorchZip(reading: file).entry("data.pkl") != nil)
    }
    #expect(try TorchFormat(of: open(fixtures + "/plain_torch/ckpt_legacy.pt")) == .legacy)
    #expect(
      try TorchFormat(of: open(fixtures + "/broken/optimizer_all_zero/checkpoint-10/optimizer.pt")) == .zeros)
    #expect(TorchFormat(start: []) == .empty)
    #expect(TorchFormat(start: [1, 0]) == .other)
  }
}
