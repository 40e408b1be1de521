/// One rule of a bucket's lifecycle, as far as it is understood.
public struct LifecycleRule: Equatable, Sendable {
  /// What a rule does to the objects that it is for.
  public enum Action: Equatable, Sendable {
    /// Ends uploads that nobody finished so many days after they began; nil where the rule tells it otherwise.
    case abortUploads(days: Int?)
    /// Deletes objects, `when` in the rule's words: `7 days`, `2026-01-01T00:00:00Z`.
    case delete(when: String)
    /// Removes the marks of deletions that nothing is left of.
    case removeDeleteMarkers
    /// Moves objects to a storage class.
    case move(to: String, when: String)
    /// Deletes versions that were overwritten or deleted.
    case deleteOldVersions(when: String)
    /// Moves such versions to a storage class.
    case moveOldVersions(to: String, when: String)
    /// Something that this program does not know, by its element's name.
    case other(String)
  }

  /// The rule's name in the bucket; empty where it has none.
  public let id: String
  /// Whether it is in force.
  public let isEnabled: Bool
  /// What the keys of the bucket begin with that it is for; empty for all.
  public let prefix: String
  /// Whether tags or sizes narrow it further.
  public let isNarrowed: Bool
  /// What it does.
  public let actions: [Action]

  /// A rule of these parts.
  public init(id: String, isEnabled: Bool = true, prefix: String, isNarrowed: Bool = false, actions: [Action])
  {
    self.id = id
    self.isEnabled = isEnabled
    self.prefix = prefix
    self.isNarrowed = isNarrowed
    self.actions = actions
  }

  /// Whether a key that begins with `place` may be one that the rule is for.
  public func touches(_ place: String) -> Bool { place.hasBytePrefix(prefix) || prefix.hasBytePrefix(place) }
}

extension LifecycleRule {
  /// A rule as S3 writes it (docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleRule.html), or as Alibaba OSS does in its own words
  /// (help.aliyun.com/en/oss/developer-reference/putbucketlifecycle).
  init(_ node: XMLNode) {
    let filter = node.all("Filter").first
    let both = filter?.all("And").first
    id = node["ID"] ?? ""
    isEnabled = node["Status"] == "Enabled"
    prefix = node["Prefix"] ?? filter?["Prefix"] ?? both?["Prefix"] ?? ""
    isNarrowed =
      !node.all("Tag").isEmpty
      || [filter, both].compactMap { $0 }.contains { node in
        node.children.contains { $0.name != "Prefix" && $0.name != "And" }
      }
    actions = node.children.compactMap { child in
      switch child.name {
      case "ID", "Status", "Prefix", "Filter", "Tag": nil
      case "AbortIncompleteMultipartUpload":
        .abortUploads(days: child["DaysAfterInitiation"].flatMap { Int($0) })
      case "AbortMultipartUpload": .abortUploads(days: child["Days"].flatMap { Int($0) })
      case "Expiration":
        if let when = child.time { .delete(when: when) } else { .removeDeleteMarkers }
      case "Transition": .move(to: child["StorageClass"] ?? "", when: child.time ?? "")
      case "NoncurrentVersionExpiration": .deleteOldVersions(when: child.time ?? "")
      case "NoncurrentVersionTransition":
        .moveOldVersions(to: child["StorageClass"] ?? "", when: child.time ?? "")
      default: .other(child.name)
      }
    }
  }
}

extension XMLNode {
  /// When an action of a lifecycle happens, in words; nil where it has no time.
  fileprivate var time: String? {
    if let days = self["Days"] ?? self["NoncurrentDays"] { return days == "1" ? "1 day" : "\(days) days" }
    if let date = self["Date"] { return date }
    return self["CreatedBeforeDate"].map { "as far as it is from before \($0)" }
  }
}
