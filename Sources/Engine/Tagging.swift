import Repository

/// Changes to the labels of a snapshot.
public struct Tagging: Equatable, Sendable {
  /// Labels to add.
  public var add: [String]
  /// Labels to remove.
  public var remove: [String]
  /// A sentence that takes the place of the snapshot's; nil leaves it.
  public var note: String?
  /// Whether it becomes a milestone or stops being one; nil leaves it.
  public var milestone: Bool?

  /// Changes to make.
  public init(add: [String] = [], remove: [String] = [], milestone: Bool? = nil, note: String? = nil) {
    self.add = add
    self.remove = remove
    self.milestone = milestone
    self.note = note
  }

  /// Whether a text can be a label: 1 to 64 letters, digits, dots, dashes and underscores, not digits alone, and not `latest`.
  public static func isValid(_ tag: String) -> Bool {
    (1...64).contains(tag.utf8.count) && tag != "latest" && Int(tag) == nil
      && tag.utf8.allSatisfy {
        $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
          || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
          || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20)
      }
  }

  /// Writes the changes to the marker and gives it as it is then. The label `best` leaves the run's other snapshots.
  public func apply(to snapshot: Snapshot, in repository: Repository) async throws -> Snapshot {
    // As it is now: somebody may have changed or removed it since it was listed.
    guard let current = try await repository.snapshot(at: snapshot.key) else {
      throw EngineError.notFound(address: snapshot.label, hint: "it was removed a moment ago")
    }
    var changed = current
    changed.tags = Array(Set(current.tags).union(add).subtracting(remove)).sorted()
    if let milestone { changed.milestone = milestone }
    if let note { changed.note = note }
    if changed != current { try await repository.write(changed) }
    if add.contains("best") { try await Self.moveBest(to: changed, in: repository) }
    return changed
  }

  /// Takes the label `best` from all snapshots of a run but one: RUN@best means one.
  static func moveBest(to snapshot: Snapshot, in repository: Repository) async throws {
    for listed in try await repository.snapshots(of: snapshot.run).snapshots
    where listed.key != snapshot.key && listed.tags.contains("best") {
      guard var other = try await repository.snapshot(at: listed.key) else { continue }
      other.tags.removeAll { $0 == "best" }
      try await repository.write(other)
    }
  }
}
