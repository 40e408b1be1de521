import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Cut plan") struct CutPlanTests {
  private func offsets(_ lengths: [Int]) -> [Int] {
    lengths.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
  }

  @Test("small examples by hand")
  func examples() {
    func cut(_ size: Int, _ pieces: [Int] = [], fixed: [Int] = []) -> [Int] {
      CutPlan.cut(size: size, borders: .init(fixed: fixed, pieces: pieces), chunkSize: 10)
    }
    #expect(cut(0) == [])
    #expect(cut(10, [3, 5]) == [10])
    #expect(cut(25) == [10, 10, 5])
    #expect(cut(25, [4, 8, 12]) == [8, 4, 10, 3])
    #expect(cut(30, [20, 24]) == [10, 10, 10])
    #expect(cut(33, [23, 27]) == [10, 10, 7, 6])
    #expect(cut(25, [4, 8, 12], fixed: [2]) == [2, 10, 10, 3])
    #expect(cut(11, [-5, 0, 11, 99], fixed: [0, 11]) == [10, 1])
  }

  @Test("chunks cover the file exactly, none is too long, and short pieces are grouped")
  func properties() {
    var random = Seeded()
    for round in 0..<800 {
      let chunkSize = Int.random(in: 1...64, using: &random)
      let size = Int.random(in: 0...2000, using: &random)
      let fixed = (0..<Int.random(in: 0...3, using: &random)).map { _ in
        Int.random(in: -5...2010, using: &random)
      }
      let pieces = (0..<Int.random(in: 0...200, using: &random)).map { _ in
        Int.random(in: -5...2010, using: &random)
      }
      let chunks = CutPlan.cut(size: size, borders: .init(fixed: fixed, pieces: pieces), chunkSize: chunkSize)
      let comment: Comment = "round \(round)"
      #expect(chunks.reduce(0, +) == size, comment)
      #expect(chunks.allSatisfy { (1...chunkSize).contains($0) }, comment)
      #expect(chunks.count <= 2 * size / chunkSize + 1 + fixed.count, comment)
    }
  }

  @Test("what lies before a fixed border moves nothing behind it; what changes later moves nothing before")
  func stability() {
    var random = Seeded()
    for round in 0..<200 {
      let size = Int.random(in: 300...2000, using: &random)
      let border = Int.random(in: 1...100, using: &random)
      let pieces = (0..<100).map { _ in Int.random(in: border...size, using: &random) }
      let before = CutPlan.cut(size: size, borders: .init(fixed: [border], pieces: pieces), chunkSize: 32)
      let growth = Int.random(in: 1...40, using: &random)
      let after = CutPlan.cut(
        size: size + growth, borders: .init(fixed: [border + growth], pieces: pieces.map { $0 + growth }),
        chunkSize: 32)
      let tail = offsets(before).filter { $0 >= border }.map { $0 + growth }
      #expect(offsets(after).filter { $0 >= border + growth } == tail, "round \(round)")

      let longer = CutPlan.cut(
        size: size + growth, borders: .init(fixed: [border], pieces: pieces), chunkSize: 32)
      let lastPiece = pieces.filter { $0 < size }.max() ?? 0
      let kept = offsets(before).filter { $0 < lastPiece - 32 }
      #expect(offsets(longer).starts(with: kept), "round \(round)")
    }
  }

  @Test("a safetensors header that grows leaves the chunks of every tensor in place")
  func header() throws {
    let path = SafetensorsTests.model
    let scratch = try Scratch()
    let whole = try contents(path)
    var length = 2088 + 64
    var grown = (0..<8).map { _ in
      defer { length >>= 8 }
      return UInt8(length & 255)
    }
    grown += whole[8..<2096] + [UInt8](repeating: 0x20, count: 64) + whole[2096...]
    let before = try CutPlan.chunks(of: open(path), chunkSize: 5000)
    let after = try CutPlan.chunks(of: open(try scratch.write("grown.safetensors", grown)), chunkSize: 5000)
    #expect(before.first == 2096)
    #expect(after.first == 2096 + 64)
    #expect(before.dropFirst() == after.dropFirst())
    #expect(before[1] == 4096)
  }

  @Test("a torch zip is cut at its storages; the pickle before and the directory behind stand apart")
  func torch() throws {
    let file = try open(TorchZipTests.optimizer)
    let zip = try TorchZip(reading: file)
    let places = offsets(try CutPlan.chunks(of: file, chunkSize: 8192))
    let first = try #require(zip.entry("data/0"))
    let version = try #require(zip.entry("version"))
    #expect(places.contains(first.headerOffset))
    #expect(places.contains(version.headerOffset))
    let borders = Set(zip.entries.map(\.headerOffset) + [zip.directoryOffset, 0, file.size])
    #expect(places.allSatisfy(borders.contains))
  }

  @Test("a file of unknown format, or with a broken header, is cut every chunk size")
  func unknown() throws {
    for name in [
      "broken/optimizer_no_central_dir", "broken/optimizer_flip_central_dir", "broken/optimizer_all_zero",
    ] {
      let file = try open("\(fixtures)/\(name)/checkpoint-10/optimizer.pt")
      #expect(try CutPlan.borders(of: file) == CutPlan.Borders())
      #expect(try CutPlan.chunks(of: file, chunkSize: 30000).first == 30000)
    }
    let torn = try open(fixtures + "/broken/safetensors_truncated/checkpoint-10/model.safetensors")
    #expect(try CutPlan.borders(of: torn) == CutPlan.Borders())
    let parts = try open(fixtures + "/dcp_fsdp2/step-3/__0_0.distcp")
    #expect(try CutPlan.borders(of: parts) == CutPlan.Borders())
  }
}
