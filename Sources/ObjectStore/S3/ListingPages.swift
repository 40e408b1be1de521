/// What the pages of one listing have shown so far. A listing that contradicts itself may lack objects, and what a listing lacks may
/// be deleted: so every contradiction is an error.
struct ListingPages {
  private var tokens: Set<String> = []
  private var emptyPages = 0
  private var last: String?
  private var isBytewise = true
  private var isByComponent = true

  /// So many pages without an entry may follow each other: servers that skip what was deleted give some, one that never ends gives
  /// nothing else.
  static let mostEmptyPages = 1000

  /// Takes the next page's keys, as the bucket has them, its own count of entries, and the token by which it goes on, nil for the last.
  ///
  /// - Returns: what is wrong with it, or nil.
  mutating func fault(keys: [String?], count: Int, keyCount: String?, next: String?) -> String? {
    // rclone leaves the count out of an empty page.
    if let keyCount, !keyCount.isEmpty, Int(keyCount) != count {
      return "a page of a listing that says \(keyCount.prefix(20)) entries and has \(count)"
    }
    for key in keys.compactMap({ $0 }) where !follows(key) { return "a listing whose keys are out of order" }
    emptyPages = count == 0 ? emptyPages + 1 : 0
    guard let next else { return nil }
    if !tokens.insert(next).inserted { return "a listing that goes in circles" }
    return emptyPages > Self.mostEmptyPages ? "a listing of empty pages without an end" : nil
  }

  /// Whether a key comes after the one before it: by its bytes, as S3 documents for general purpose buckets, or by those of its
  /// components, as SeaweedFS 4.48 lists (`a/x` before `a-b/x`). A listing keeps to one of the two.
  private mutating func follows(_ key: String) -> Bool {
    defer { last = key }
    guard let last else { return true }
    isBytewise = isBytewise && last.precedesBytewise(key)
    isByComponent =
      isByComponent
      && last.utf8.lazy.map(Self.rank).lexicographicallyPrecedes(
        key.utf8.lazy.map(Self.rank))
    return isBytewise || isByComponent
  }

  /// A byte's place in the order by components, in which a component ends before every other byte.
  private static func rank(_ byte: UInt8) -> Int { byte == UInt8(ascii: "/") ? -1 : Int(byte) }
}
