import Digests
import Glibc
import ObjectStore
import Platform
import Repository
import Synchronization
import TestSupport
import Testing
@testable import Engine

@Suite("Sharing files among processes") struct RankSharingTests {
  @Test("every file goes to exactly one process that sees it, and the work is even")
  func shares() throws {
    var random = Seeded()
    for _ in 0..<50 {
      let files = try (0..<40).map { index in
        RankView.File(
          path: try RelativePath("f\(index)"), size: Int.random(in: 0...1000, using: &random),
          modified: Timestamp(seconds: 1))
      }
      let size = Int.random(in: 1...6, using: &random)
      var views: [Int: RankView] = [:]
      for rank in 0..<size { views[rank] = RankView(files.filter { _ in Bool.random(using: &random) }) }
      let shares = (0..<size).map { RankSharing.files(of: $0, in: views) }
      for file in files {
        let owners = (0..<size).filter { shares[$0].contains(file.path) }
        let seers = (0..<size).filter { views[$0]?.files.contains(file) == true }
        #expect(owners.count == (seers.isEmpty ? 0 : 1) && Set(owners).isSubset(of: seers))
      }
    }
    let same = RankView(
      try (0..<64).map {
        .init(path: try RelativePath("f\($0)"), size: 100, modified: Timestamp(seconds: 1))
      })
    let views = Dictionary(uniqueKeysWithValues: (0..<8).map { ($0, same) })
    #expect((0..<8).allSatisfy { RankSharing.files(of: $0, in: views).count == 8 })
  }
}
