import Engine
import Repository

/// A snapshot as `--json` prints it. The keys are stable.
struct SnapshotDocument: Encodable {
  let id: String
  let run: String
  let step: Int
  let time: String
  let kind: Snapshot.Kind
  let layout: String
  let complete: Bool
  let files: Int
  let bytes: Int
  let addedBytes: Int
  let metrics: [String: Double]
  let tags: [String]
  let milestone: Bool
  let thinned: Bool
  let note: String?

  init(_ snapshot: Snapshot) {
    id = snapshot.id
    run = snapshot.run
    step = snapshot.step
    time = snapshot.time.rfc3339
    kind = snapshot.kind
    layout = snapshot.layout
    complete = snapshot.complete
    files = snapshot.files
    bytes = snapshot.bytes
    addedBytes = snapshot.addedBytes
    metrics = snapshot.metrics
    tags = snapshot.tags
    milestone = snapshot.milestone
    thinned = snapshot.isThinned
    note = snapshot.note
  }
}

extension Snapshot {
  /// Tags and what else a list says of a snapshot, in a few words.
  var marks: String {
    ((milestone ? ["milestone"] : []) + tags + (complete ? [] : ["incomplete"])
      + (isThinned ? ["weights only"] : [])).joined(separator: ", ")
  }
}
