import ObjectStore
import Platform

/// What prunes have found unused: phase one writes it, phase two acts on it once it is old enough.
public struct DeletionRecord: Sendable {
  fileprivate struct Document: Codable {
    var format: Int
    var created: Timestamp
    var objects: [String]
  }

  /// The most bytes of a record.
  fileprivate static let largest = 256 << 20

  /// The record's own key.
  public let key: String
  /// When it was written, by the store's clock.
  public let written: Timestamp
  /// The keys of objects that nothing needed then: packs, manifests, records.
  public let objects: [String]

  /// Reads a record that the store shows as written at `written`. Throws `FormatError`.
  package static func decode(
    _ bytes: [UInt8], key: String, written: Timestamp
  ) throws(FormatError) -> DeletionRecord {
    let document = try MetadataCoding.decode(Document.self, from: bytes, object: key)
    try MetadataCoding.check(format: document.format, object: key)
    return DeletionRecord(key: key, written: written, objects: document.objects)
  }
}

extension Repository {
  /// All deletion records and the store's time.
  ///
  /// - Throws: `FormatError` where one of them cannot be read: what is condemned must be known for sure.
  public func deletions() async throws -> (records: [DeletionRecord], now: Timestamp) {
    let listing = try await store.list(ObjectKey.deletions)
    let records = try await concurrently(listing.objects, limit: Self.parallelFetches) {
      object -> DeletionRecord? in
      let bytes: [UInt8]
      do {
        bytes = try await store.get(object.key, limit: DeletionRecord.largest)
      } catch StoreError.missing {
        return nil
      }
      return try DeletionRecord.decode(bytes, key: object.key, written: object.modified)
    }
    return (records.compactMap { $0 }, listing.now)
  }

  /// Condemns objects: writes the record of phase one and gives its key.
  public func condemn(_ objects: [String]) async throws -> String {
    let now = surroundings.now()
    let key = ObjectKey.deletions + ULID.make(at: now, random: surroundings.random(10)) + ".json"
    let document = DeletionRecord.Document(format: repositoryFormat, created: now, objects: objects.sorted())
    let bytes = try MetadataCoding.encode(
      document, upTo: DeletionRecord.largest, object: key, detail: "it lists too many objects")
    try await store.put(key, Payload(bytes))
    return key
  }
}
