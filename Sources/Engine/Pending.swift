import ObjectStore
import Platform
import Repository

/// What a repository holds that belongs to no snapshot: pushes of many processes that wait for some of them, and what dead pushes
/// and prunes have left.
public struct Pending: Sendable {
  /// Processes that push one checkpoint together and have not all pushed.
  public struct Group: Sendable {
    /// Which checkpoint.
    public var group: RankGroup
    /// The group's name as its processes were told it, empty where that was none; nil where it cannot be read.
    public var name: String?
    /// How many processes there are.
    public var worldSize: Int
    /// Those whose share is stored.
    public var stored: [Int]
    /// Those that began and are under way, or died.
    public var begun: [Int]
    /// When something was stored last, by the store's clock.
    public var latest: Timestamp
    /// When something was stored first.
    public var since: Timestamp

    /// Those of which nothing is there.
    public var absent: [Int] {
      let known = Set(stored + begun)
      return (0..<worldSize).filter { !known.contains($0) }
    }
  }

  /// Groups that wait, ordered by run and step.
  public var groups: [Group]
  /// Packs that no snapshot needs and that no prune has condemned yet.
  public var packs: [ObjectInfo]
  /// Uploads that were begun and not ended; nil where the credentials may not list them.
  public var uploads: [PendingUpload]?
  /// How many objects prunes have condemned.
  public var condemned: Int
  /// The store's clock.
  public var now: Timestamp

  /// Looks at a repository.
  ///
  /// - Throws: `EngineError.unsafeToDelete` where a manifest cannot be read, since nobody knows then what is needed; `StoreError`.
  public static func load(_ repository: Repository) async throws -> Pending {
    let packs = try await repository.store.list(ObjectKey.packs)
    let condemned = Set(try await repository.deletions().records.flatMap(\.objects))
    var needed = Set<String>()
    for (snapshot, result) in try await repository.manifests(of: repository.snapshots().snapshots) {
      guard case .success(let manifest) = result else {
        throw EngineError.unsafeToDelete(reason: "the manifest of \(snapshot.label) cannot be read")
      }
      needed.formUnion(manifest.packs.map(\.key))
    }
    let shares = try await repository.store.list(ObjectKey.parts).objects
    let groups = try await concurrently(groups(shares), limit: 8) { group in
      try await named(group, shares, in: repository)
    }
    var uploads: [PendingUpload]?
    do { uploads = try await repository.store.listUploads(ObjectKey.packs) } catch StoreError.denied {}
    return Pending(
      groups: groups,
      packs: packs.objects.filter { !needed.contains($0.key) && !condemned.contains($0.key) },
      uploads: uploads, condemned: condemned.count,
      now: packs.now)
  }

  /// A group with its name, which each view of it tells.
  private static func named(
    _ group: Group, _ objects: [ObjectInfo], in repository: Repository
  ) async throws -> Group {
    var group = group
    for object in objects where object.key.hasPrefix(group.group.folder) {
      guard let (share, name) = RankShare.parse(object.key), let digest = RankShare.digest(ofView: name)
      else {
        continue
      }
      group.name = try await repository.groupName(of: share, digest: digest)
      if group.name != nil { break }
    }
    return group
  }

  /// The groups that the objects below `parts/` belong to.
  static func groups(_ objects: [ObjectInfo]) -> [Group] {
    let parsed = objects.compactMap { object in
      RankShare.parse(object.key).map { (object, $0.share, $0.name) }
    }
    return Dictionary(grouping: parsed) { GroupKey(group: $0.1.group, worldSize: $0.1.worldSize) }
      .map { key, members in
        let stored = Set(members.filter { $0.2 == "part.json" }.map(\.1.rank))
        let begun = Set(members.map(\.1.rank)).subtracting(stored)
        let times = members.map(\.0.modified)
        return Group(
          group: key.group, worldSize: key.worldSize, stored: stored.sorted(), begun: begun.sorted(),
          latest: times.max() ?? members[0].0.modified, since: times.min() ?? members[0].0.modified)
      }.sorted { ($0.group, $0.worldSize) < ($1.group, $1.worldSize) }
  }

  private struct GroupKey: Hashable {
    let group: RankGroup
    let worldSize: Int
  }
}
