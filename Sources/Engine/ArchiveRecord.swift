import Checkpoints
import Digests
import FoundationEssentials
import ObjectStore
import Platform
import Repository

/// The archive record of a snapshot: `record.json`, the digests of all files, and plain copies of the log, parameters and results.
public struct ArchiveRecord: Sendable {
  /// A file that goes into the record beside what is found in the checkpoint.
  public struct Attachment: Sendable {
    /// Where it belongs.
    public enum Role: String, Codable, Sendable {
      case log
      case hyperparameters
      case evaluation
      case checkpoint
      /// What was installed where it was pushed.
      case environment
      /// A digest of each tensor.
      case tensors

      /// Decodes a role; one that a later program knows is `checkpoint`, so that the record can be read all the same.
      public init(from decoder: any Decoder) throws {
        self = Role(rawValue: try decoder.singleValueContainer().decode(String.self)) ?? .checkpoint
      }
    }
    /// Its name in the record.
    public var name: String
    /// Where it belongs.
    public var role: Role
    /// Gives its bytes, when their turn comes.
    let read: @Sendable () async throws -> [UInt8]

    /// A file of the record.
    public init(name: String, role: Role, read: @escaping @Sendable () async throws -> [UInt8]) {
      self.name = name
      self.role = role
      self.read = read
    }
  }

  /// The objects that every record has.
  static let fixedNames = ["record.json", "SHA256SUMS", "MD5SUMS"]
  static let largestRecord = 256 << 20
  /// The most bytes that an object of a record may have.
  static let largestObject = 1 << 30

  let snapshot: Snapshot
  let manifest: Manifest
  var document: RecordDocument
  var attachments: [Attachment]

  /// Puts all objects of the record, `record.json` last.
  ///
  /// - Throws: `StoreError`; `FormatError.tooLarge`; what an attachment's reading throws.
  func write(to store: any ObjectStore) async throws {
    var document = document
    let folder = snapshot.record
    for (index, attachment) in attachments.enumerated() {
      let object = "files/" + Self.objectName(attachment.name, index: index)
      let bytes = try await attachment.read()
      try await store.put(folder + object, Payload(bytes))
      document.files.append(
        .init(
          name: attachment.name, role: attachment.role, object: object, size: bytes.count,
          sha256: hex(SHA256.hash(bytes))))
    }
    try await store.put(folder + "SHA256SUMS", Payload(manifest.sha256Sums))
    try await store.put(folder + "MD5SUMS", Payload(manifest.md5Sums))
    try await store.put(folder + "record.json", Payload(try Self.encode(document)))
  }

  /// The bytes of `record.json`.
  ///
  /// - Throws: `FormatError.tooLarge` where no reader would take them.
  static func encode(_ document: RecordDocument) throws -> [UInt8] {
    let bytes = try document.encode()
    guard bytes.count <= largestRecord else {
      throw FormatError.tooLarge(
        object: "the archive record of \(document.run)@\(document.step)",
        detail: "hyper-parameters, results and log have more than \(largestRecord) bytes")
    }
    return bytes
  }

  /// A name as an object's: percent-encoded, short, and different for each index where it had to be cut.
  private static func objectName(_ name: String, index: Int) -> String {
    let encoded = ObjectKey.encode(name)
    return encoded.utf8.count <= 150 ? encoded : "\(index)-" + String(encoded.suffix(120))
  }

  /// The record of a snapshot, or nil where it is missing or cannot be read.
  public static func read(of snapshot: Snapshot, from repository: Repository) async throws -> RecordDocument?
  {
    do {
      let bytes = try await repository.store.get(snapshot.record + "record.json", limit: largestRecord)
      return try RecordDocument.decode(bytes)
    } catch StoreError.missing {
      return nil
    } catch StoreError.tooLarge {
      return nil
    } catch is DecodingError {
      return nil
    }
  }

  /// What of a record is missing in a listing; with `deep`, of one that is whole, what is wrong with its bytes.
  static func faults(
    of snapshot: Snapshot, _ manifest: Manifest, in repository: Repository, listed: Set<String>, deep: Bool
  ) async throws -> [Damage] {
    let missing = fixedNames.map { snapshot.record + $0 }.filter { !listed.contains($0) }.map {
      Damage(object: $0, kind: .missing, snapshots: [snapshot.label], files: [])
    }
    guard deep, missing.isEmpty else { return missing }
    return try await damages(of: snapshot, manifest, in: repository, listed: listed)
  }

  /// Reads all objects of a record and holds them to the manifest and to the record's own digests.
  private static func damages(
    of snapshot: Snapshot, _ manifest: Manifest, in repository: Repository, listed: Set<String>
  ) async throws -> [Damage] {
    let store = repository.store
    var damages: [Damage] = []
    func report(_ name: String, _ kind: Damage.Kind) {
      damages.append(
        Damage(object: snapshot.record + name, kind: kind, snapshots: [snapshot.label], files: []))
    }
    for (name, expected) in [("SHA256SUMS", manifest.sha256Sums), ("MD5SUMS", manifest.md5Sums)] {
      if try await get(snapshot.record + name, limit: expected.count, from: store) != expected {
        report(name, .wrongContent)
      }
    }
    guard let document = try await read(of: snapshot, from: repository) else {
      report("record.json", .unreadable("it is no record that this program knows"))
      return damages
    }
    for file in document.files {
      if !listed.contains(snapshot.record + file.object) {
        report(file.object, .missing)
      } else {
        let bytes = try await get(snapshot.record + file.object, limit: file.size, from: store)
        if bytes.map({ hex(SHA256.hash($0)) }) != file.sha256 { report(file.object, .wrongContent) }
      }
    }
    return damages
  }

  private static func get(_ key: String, limit: Int, from store: any ObjectStore) async throws -> [UInt8]? {
    do {
      return try await store.get(key, limit: max(0, min(limit, largestObject)))
    } catch StoreError.missing {
      return nil
    } catch StoreError.tooLarge {
      return nil
    }
  }
}
