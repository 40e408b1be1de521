import FoundationEssentials
import TestSupport

/// What `Tests/Fixtures/expected.json` says of one checkpoint.
struct Expected: Decodable {
  let layout: String
  let step: Int?
  let complete: Bool
  let missing: [String]
  let torn: [String]
  let worldSize: Int?
  let zeroStage: Int?
  let tp: Int?
  let pp: Int?
  let dp: Int?
  let epoch: Double?
  let metrics: [String: Double?]?

  enum CodingKeys: String, CodingKey {
    case layout, step, complete, missing, torn, tp, pp, dp, epoch, metrics
    case worldSize = "world_size"
    case zeroStage = "zero_stage"
  }

  /// All checkpoints by their paths below the fixtures. A file that cannot be read must not leave tests without arguments.
  static let all: [String: Expected] = {
    do {
      return try JSONDecoder().decode(
        [String: Expected].self, from: try Data(contentsOf: URL(filePath: fixtures + "/expected.json")))
    } catch { fatalError("the fixtures' expected.json cannot be read: \(error)") }
  }()

  /// The paths of the checkpoints of some layouts, in order.
  static func names(_ layouts: [String], complete: Bool = true) -> [String] {
    all.filter { layouts.contains($0.value.layout) && $0.value.complete == complete }.keys.sorted()
  }
}
