import Engine
import ObjectStore
import Platform
import Repository

/// What becomes of objects that the store itself has lost or spoiled.
extension Episode {
  /// Spoils objects of the repository, one at a time, and holds every command to what is promised of damage.
  func checkDamage() async throws {
    _ = try await push(1, 11, to: unfailing())
    try await checkUnreadable()
    let snapshots = try await unfailing().snapshots().snapshots
    try await checkPack(of: snapshots[scheduler.pick(snapshots.count)])
  }

  /// Where a marker or a manifest cannot be read, prunes delete nothing.
  private func checkUnreadable() async throws {
    let repository = try await unfailing()
    let snapshots = try await repository.snapshots().snapshots
    let snapshot = snapshots[scheduler.pick(snapshots.count)]
    let key = scheduler.pick(2) == 0 ? snapshot.key : snapshot.manifest.key
    let bytes = try await memory.get(key, limit: .max)
    try await memory.put(key, Payload(Array(bytes.dropLast())))
    for _ in 0..<3 {
      scheduler.advance(90_000)
      do {
        _ = try await Prune(repository, policy: RetentionPolicy(last: 9), run: nil, grace: Self.grace).run()
      } catch EngineError.unsafeToDelete {}
    }
    try await memory.put(key, Payload(bytes))
    let report = try await Verify(repository, resources: resources, progress: Progress()).run(.deep)
    if !report.damages.isEmpty {
      broken.append("while \(key) was unreadable, prunes took \(report.damages.map(\.object))")
    }
  }

  /// A pack that is lost, cut, replaced or decayed is found and named, nothing of it is given out, and the same push brings it back.
  private func checkPack(of snapshot: Snapshot) async throws {
    let manifest = try await unfailing().manifest(of: snapshot)
    let chunks = manifest.files.flatMap(\.chunks)
    let chunk = chunks[scheduler.pick(chunks.count)]
    let key = manifest.packs[chunk.pack].key
    let byte = chunk.offset + scheduler.pick(chunk.length)
    var bytes = try await memory.get(key, limit: .max)
    var decayed: [String: Int] = [:]
    let kind = scheduler.pick(4)
    switch kind {
    case 0: try await memory.delete([key])
    case 1: try await memory.put(key, Payload(Array(bytes.prefix(byte))))
    case 2:
      bytes[byte] ^= 4
      try await memory.put(key, Payload(bytes))
    default: decayed[key] = byte
    }
    let repository = try await open(memory, as: Scheduler.nobody, skew: 0, decayed: decayed)
    func isFound(_ depth: Verify.Depth) async throws -> Bool {
      let report = try await Verify(repository, resources: resources, progress: Progress()).run(depth)
      return report.damages.contains { $0.object == key && $0.snapshots.contains(snapshot.label) }
    }
    // A push, too, must see for itself what a listing tells.
    if kind == 3 || scheduler.pick(2) == 0 {
      if kind < 3, try await !isFound(.quick) { broken.append("a quick verify does not tell of \(key)") }
      if try await !isFound(.deep) { broken.append("a verify does not tell of \(key)") }
    }
    let target = "\(scratch)/out-damaged"
    do {
      _ = try await Restore(repository, resources: resources, progress: Progress()).run(
        snapshot, to: target, options: .init())
      broken.append("\(snapshot.label) was restored from a damaged pack")
      checkpoints.remove(target)
    } catch EngineError.damaged(let damages) {
      if damages.map(\.object) != [key] { broken.append("a restore does not tell of \(key)") }
    }
    guard let checkpoint = checkpoints.index(of: snapshot.id) else { return }
    let healed = try await push(checkpoint, snapshot.step, to: repository).snapshot
    try await restore(healed, from: repository, to: target)
  }
}
