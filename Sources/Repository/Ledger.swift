import ObjectStore
import Platform

/// When each pack was last read, byte for byte, and whether it was good.
public struct Ledger: Equatable, Sendable {
  /// A proof about one pack.
  public struct Proof: Codable, Equatable, Sendable {
    /// When the pack was read, to the second.
    public var time: Timestamp
    /// The ETag that the store showed for it then, where it has any.
    public var etag: String?
    /// True where it was found damaged: a push must not rely on it.
    public var damaged: Bool?

    /// A pack read at `time`.
    public init(time: Timestamp, etag: String?, damaged: Bool = false) {
      self.time = time
      self.etag = etag
      self.damaged = damaged ? true : nil
    }
  }

  fileprivate struct Document: Codable {
    var format: Int
    var packs: [String: Proof]
  }

  /// The most bytes of an object of the ledger.
  fileprivate static let largest = 256 << 20

  /// The newest proof of each pack, by key.
  public var proofs: [String: Proof]

  /// A ledger with these proofs.
  public init(proofs: [String: Proof] = [:]) { self.proofs = proofs }

  /// Reads one object of the ledger. Throws `FormatError`.
  package static func decode(_ bytes: [UInt8], object: String) throws(FormatError) -> Ledger {
    let document = try MetadataCoding.decode(Document.self, from: bytes, object: object)
    try MetadataCoding.check(format: document.format, object: object)
    return Ledger(proofs: document.packs)
  }

  /// Takes over what `other` knows better: for each pack the later proof, and of two of the same second the one that found damage.
  public mutating func merge(_ other: Ledger) {
    proofs.merge(other.proofs) { mine, theirs in
      if mine.time == theirs.time { return mine.damaged == true ? mine : theirs }
      return theirs.time > mine.time ? theirs : mine
    }
  }

  /// The packs that were damaged when they were read last.
  public var damaged: Set<String> { Set(proofs.filter { $0.value.damaged == true }.keys) }

  /// The moment since when every one of `packs` was read at least once, or nil while some never were.
  public func coveredSince(_ packs: some Sequence<String>) -> Timestamp? {
    var oldest: Timestamp?
    for pack in packs {
      guard let proof = proofs[pack], proof.damaged != true else { return nil }
      oldest = min(oldest ?? proof.time, proof.time)
    }
    return oldest
  }
}

extension Repository {
  /// The ledger, merged from all its objects, and the keys of these. Objects that are no ledger are left out and left alone: a proof
  /// that is lost only makes a pack be read again sooner.
  ///
  /// - Throws: `FormatError.newerFormat`, since damage that a newer program has found must not be passed over; `StoreError`.
  public func ledger() async throws -> (ledger: Ledger, keys: [String]) {
    while true {
      let objects = try await store.list(ObjectKey.ledger).objects
      do {
        let parts = try await concurrently(objects, limit: Self.parallelFetches) {
          object -> (String, Ledger)? in
          let bytes = try await store.get(object.key, limit: Ledger.largest)
          do {
            return (object.key, try Ledger.decode(bytes, object: object.key))
          } catch FormatError.invalid {
            return nil
          }
        }.compactMap { $0 }
        var merged = Ledger()
        for (_, part) in parts { merged.merge(part) }
        return (merged, parts.map(\.0))
      } catch StoreError.missing {
        // A verify has just put a newer object in the place of this one.
        continue
      }
    }
  }

  /// Writes a ledger as one object that takes the place of those it was merged from.
  public func write(_ ledger: Ledger, replacing keys: [String]) async throws {
    let key = ObjectKey.ledger + ULID.make(at: surroundings.now(), random: surroundings.random(10)) + ".json"
    let document = Ledger.Document(format: repositoryFormat, packs: ledger.proofs)
    let bytes = try MetadataCoding.encode(
      document, pretty: false, upTo: Ledger.largest, object: key, detail: "it lists too many packs")
    try await store.put(key, Payload(bytes))
    try await store.delete(keys)
  }
}
