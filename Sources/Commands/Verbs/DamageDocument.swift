import Engine

/// Damage as `--json` prints it. The keys are stable.
struct DamageDocument: Encodable {
  let object: String
  let problem: String
  let snapshots: [String]
  let files: [String]

  init(_ damage: Damage) {
    object = damage.object
    problem = damage.sentences.first ?? ""
    snapshots = damage.snapshots
    files = damage.files
  }
}
