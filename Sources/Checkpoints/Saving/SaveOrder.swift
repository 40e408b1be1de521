import Platform

/// A file that a framework writes last, and what it writes before. Where something of that is newer, the marker is still that of an
/// earlier save into the same place: then old and new files lie beside each other although each of them is whole.
///
/// Copies prove nothing by their times, so only what a save does counts: what is newer begins with what is written first and leaves
/// nothing out. `cp -r` and `rsync` put the marker behind weights and optimizer (by inode and by name); a download by many
/// connections finishes small files first, `training_args.bin` among them.
struct SaveOrder {
  /// The file that is written last.
  let marker: Tree.Entry
  /// What is written before it, in that order; no step is empty.
  let steps: [[Tree.Entry]]
  /// For how many seconds a newer file is taken for a save that is under way.
  let patience: Double

  /// A save into a file system with coarse times, or with the clocks of two machines, may put files so many seconds out of order.
  private static let slack = 2.0

  /// The markers in a tree.
  ///
  /// Orders from transformers/trainer.py (5.23, `_save_checkpoint`) and torch/distributed/checkpoint/filesystem.py (2.13, `finish`). The
  /// random states are left out: other processes write theirs without waiting.
  static func all(in tree: Tree) -> [SaveOrder] {
    let files = tree.files
    let markers = files.filter { [trainerStateName, ".metadata"].contains($0.path.name) }
    guard !markers.isEmpty else { return [] }
    let directories = Dictionary(grouping: files) { $0.path.parent }
    return markers.map { marker in
      let beside = directories[marker.path.parent] ?? []
      func step(_ fits: (String) -> Bool) -> [Tree.Entry] { beside.filter { fits($0.path.name) } }
      let (steps, patience): ([[Tree.Entry]], Double)
      if marker.path.name == trainerStateName {
        steps = [
          step(isModelWeights), step { $0 == "training_args.bin" },
          step { $0 == "optimizer.pt" || $0 == "optimizer.bin" }, step { $0 == "scheduler.pt" },
        ]
        patience = 3600
      } else {
        // One step cannot be out of order, so the times of a copy look the same: only what is quite new counts.
        steps = [step { $0.hasSuffix(".distcp") }]
        patience = 60
      }
      return SaveOrder(marker: marker, steps: steps.filter { !$0.isEmpty }, patience: patience)
    }
  }

  /// The newest of the files that are newer than the marker, where these are what a save that has not ended would have written.
  var replaced: Tree.Entry? {
    let limit = marker.attributes.modified
    func isNewer(_ entry: Tree.Entry) -> Bool { entry.attributes.modified.seconds(since: limit) > Self.slack }
    let begun = steps.prefix { $0.contains(where: isNewer) }
    guard !steps.dropFirst(begun.count).contains(where: { $0.contains(where: isNewer) }) else { return nil }
    return begun.joined().filter(isNewer).max { $0.attributes.modified < $1.attributes.modified }
  }

  /// What its owner should know of a save that may have died in the middle. Of `.metadata` the layouts tell.
  static func notices(in tree: Tree) -> [Notice] {
    all(in: tree).filter { $0.marker.path.name == trainerStateName }.compactMap { order in
      order.replaced.map { newest in
        let seconds = newest.attributes.modified.seconds(since: order.marker.attributes.modified)
        return Notice(newest.path, .newerThanMarker(order.marker.path.display, seconds: Int(seconds)))
      }
    }
  }
}
