import Platform

/// The names of all objects of a repository, format 1. A key fits every store: short components, no `.` or `..`.
public enum ObjectKey {
  /// The repository's own description.
  public static let repository = "ckbackup.json"
  /// What this prefix is, for people.
  public static let readme = "README.txt"
  /// The restore script that needs Python alone.
  public static let recovery = "recover.py"

  /// Where the markers of all snapshots are.
  public static let snapshots = "snapshots/"
  /// Where the archive records are.
  public static let records = "records/"
  /// Where the manifests are.
  public static let manifests = "manifests/"
  /// Where the packs are.
  public static let packs = "packs/"
  /// What the processes of a group have stored, until their snapshot is committed.
  public static let parts = "parts/"
  /// What prunes have condemned.
  public static let deletions = "deletions/"
  /// What verifies have proven.
  public static let ledger = "ledger/"
  /// Where `ckbackup doctor` tries things out; nothing there is of a repository, and nothing stays.
  public static let doctor = "doctor/"
  /// What a doctor leaves where nothing may be deleted.
  public static let undeletable = doctor + "undeletable"

  /// Whether a key is one that only doctors give: somebody may keep things of his own in a folder of that name.
  public static func isDoctors(_ key: String) -> Bool {
    guard key != undeletable else { return true }
    guard key.hasPrefix(doctor) else { return false }
    // An id (`ULID`) has 26 digits and capitals.
    let words = key.dropFirst(doctor.count).split(separator: "/", omittingEmptySubsequences: false)
    return words.count > 1 && words[0].utf8.count == 26
      && words[0].utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) }
  }

  /// Whether a key is of those that describe the repository and hold nothing of anybody's.
  static func hasDescription(of key: String) -> Bool { [repository, readme, recovery].contains(key) }

  /// The longest run name, in characters.
  public static let longestRun = 64

  /// Whether a run's name can be stored: 1 to 64 characters, not all of them blanks and none a control character, that stay within
  /// 200 bytes when they are encoded.
  public static func isValid(run: String) -> Bool {
    run.count <= longestRun && !run.allSatisfy(\.isWhitespace)
      && !run.unicodeScalars.contains { $0.properties.generalCategory == .control }
      && encode(run).utf8.count <= 200
  }

  /// The steps that a snapshot can have: so many digits keep listings in order.
  public static let steps = 0...999_999_999_999

  /// The prefix of a run's markers.
  public static func snapshots(of run: String) -> String { "\(snapshots)\(encode(run))/" }

  /// The marker of a snapshot.
  public static func marker(run: String, step: Int, id: String) -> String {
    "\(snapshots)\(encode(run))/\(name(step: step, id: id)).json"
  }

  /// A manifest; `digest` is the SHA-256 of the object, so that two manifests never share a name.
  public static func manifest(run: String, step: Int, id: String, digest: [UInt8]) -> String {
    "\(manifests)\(encode(run))/\(name(step: step, id: id))-\(hex(digest.prefix(4))).json.gz"
  }

  /// The folder of the archive record that goes with a manifest: the same name below `records/`.
  public static func record(besides manifest: String) -> String {
    var name = manifest.dropFirst(manifests.count)
    if name.hasSuffix(".json.gz") { name = name.dropLast(".json.gz".count) }
    return records + name + "/"
  }

  /// The marker of the snapshot that a manifest, or an object of an archive record, was written for; nil for any other key.
  public static func marker(besides key: String) -> String? {
    let parts = key.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count >= 3, [manifests, records].contains("\(parts[0])/") else {
      return nil
    }
    let name = parts[2].split(separator: "-", maxSplits: 2, omittingEmptySubsequences: false)
    guard name.count == 3 else { return nil }
    let marker = "\(snapshots)\(parts[1])/\(name[0])-\(name[1]).json"
    return parse(marker: marker) == nil ? nil : marker
  }

  /// A new pack; `random` is 16 random bytes.
  public static func pack(class fileClass: String, random: [UInt8]) -> String {
    let id = hex(random)
    return "\(packs)\(fileClass)/\(id.prefix(2))/\(id)"
  }

  /// Run, step and id that a marker's key stands for, or nil where it is no marker's key.
  public static func parse(marker key: String) -> (run: String, step: Int, id: String)? {
    let parts = key.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == "snapshots", parts[2].hasSuffix(".json"),
      let run = decode(parts[1]), isValid(run: run)
    else { return nil }
    let name = parts[2].dropLast(5).split(separator: "-", omittingEmptySubsequences: false)
    guard name.count == 2, let step = Int(name[0]), isSnapshotID(String(name[1])) else { return nil }
    let id = String(name[1])
    // A step has just one spelling: neither signs nor more zeros than it needs.
    return marker(run: run, step: step, id: id).utf8.elementsEqual(key.utf8) && step >= 0
      ? (run, step, id) : nil
  }

  /// Whether a text has the form of a snapshot's id: 16 lower-case hexadecimal digits.
  public static func isSnapshotID(_ text: String) -> Bool {
    text.utf8.count == 16 && text.utf8.allSatisfy(isHexDigit)
  }

  static func isHexDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
      || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }

  static func name(step: Int, id: String) -> String {
    let digits = String(step)
    return String(repeating: "0", count: max(0, 12 - digits.count)) + digits + "-" + id
  }

  /// Percent-encodes all bytes outside `[A-Za-z0-9._-]`; a text of dots alone is encoded too.
  public static func encode(_ text: String) -> String {
    let onlyDots = text.utf8.allSatisfy { $0 == UInt8(ascii: ".") }
    var result: [UInt8] = []
    result.reserveCapacity(text.utf8.count)
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
        result.append(byte)
      case UInt8(ascii: ".") where !onlyDots: result.append(byte)
      default: result += "%\(hex([byte]).uppercased())".utf8
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// Undoes `encode`; nil where the text is not what `encode` makes.
  public static func decode(_ text: some StringProtocol) -> String? {
    var result: [UInt8] = []
    var rest = Substring(text).utf8
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        result.append(byte)
        continue
      }
      guard let decoded = bytes(hex: String(decoding: rest.prefix(2), as: UTF8.self)), decoded.count == 1
      else { return nil }
      result += decoded
      rest = rest.dropFirst(2)
    }
    guard let decoded = String(validating: result, as: UTF8.self), encode(decoded) == text else { return nil }
    return decoded
  }
}
