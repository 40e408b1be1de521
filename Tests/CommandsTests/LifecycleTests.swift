import ObjectStore
import Testing

@testable import Commands

@Suite("ckbackup lifecycle") struct LifecycleTests {
  private static let place = "some/prefix/"
  private let words = LifecycleWords(place: place)

  private func own(_ prefix: String = "some/prefix") throws -> OwnLifecycle {
    OwnLifecycle(try S3Settings(bucket: "bucket", prefix: prefix))
  }

  private func wish(_ words: String...) throws -> LifecycleWish {
    try LifecycleWish(try Arguments(words, for: LifecycleCommand.spec))
  }

  @Test("a rule that deletes what backups need is warned of, by what it takes")
  func expiration() {
    for prefix in ["", "some/", "some/prefix/packs/ab", "some/prefix/snapshots/"] {
      let rule = LifecycleRule(id: "r", prefix: prefix, actions: [.delete(when: "7 days")])
      let warning = words.warnings(rule).first ?? ""
      #expect(warning.contains("backups are lost"))
      #expect(warning.contains("packs") == !prefix.hasSuffix("snapshots/"))
      #expect(warning.contains("markers") == !prefix.hasSuffix("ab"))
      let off = LifecycleRule(id: "r", isEnabled: false, prefix: prefix, actions: rule.actions)
      #expect(words.warnings(off).isEmpty)
    }
    for prefix in ["other/", "some/prefix2/", "some/prefix/doctor/"] {
      let rule = LifecycleRule(id: "r", prefix: prefix, actions: [.delete(when: "7 days")])
      #expect(words.warnings(rule).isEmpty)
    }
  }

  @Test("an archive class for more than packs is warned of, one for packs is not")
  func archive() {
    let all = LifecycleRule(id: "r", prefix: "", actions: [.move(to: "DEEP_ARCHIVE", when: "30 days")])
    #expect(words.warnings(all).first?.contains("markers") == true)
    let packs = LifecycleRule(
      id: "r", prefix: "some/prefix/packs/training/", actions: [.move(to: "GLACIER", when: "30 days")])
    #expect(words.warnings(packs).isEmpty)
    #expect(words.effects(packs) == ["moves packs to GLACIER: 30 days"])
  }

  @Test("own rules are known by their names, and those of another prefix are strangers")
  func names() throws {
    let (mine, other) = (try own(), try own("some"))
    #expect(mine.owns(mine.abortion(days: 7)) && !other.owns(mine.abortion(days: 7)))
    #expect(mine.namePrefix.hasPrefix("ckbackup-") && mine.namePrefix.utf8.count == 18)
  }

  @Test("unfinished uploads end after 7 days where nothing else is said, and a number that was set stays")
  func wishes() throws {
    let own = try own()
    let first = try wish("--training-to", "GLACIER", "--after", "30").change(of: LifecycleDocument(), own)
    #expect(first.added == [own.abortion(days: 7), own.training(to: "GLACIER", days: 30)])
    let set = try LifecycleDocument().replacing([], by: [own.abortion(days: 3)], dialect: .s3)
    let second = try wish("--training-to", "GLACIER", "--after", "30").change(of: set, own)
    #expect(second.added == [own.training(to: "GLACIER", days: 30)])
    #expect(try wish("--abort-uploads", "3").change(of: set, own).added.isEmpty)
    #expect(try wish("--remove").change(of: set, own).removed == [own.namePrefix + "uploads"])
    #expect(try wish().isEmpty)
  }

  @Test("what a server has not kept is said, its own rules and strangers'")
  func notKept() throws {
    let own = try own()
    let stranger = LifecycleRule(id: "theirs", prefix: "x", actions: [.abortUploads(days: 1)])
    let wanted = try LifecycleDocument().replacing([], by: [stranger, own.abortion(days: 7)], dialect: .s3)
    let change = LifecycleWish.Change(added: [own.abortion(days: 7)])
    let nothing = change.notKept(of: wanted, in: LifecycleDocument())
    #expect(nothing.count == 2 && nothing[0].contains("there before") && !nothing[1].contains("before"))
    let other = try LifecycleDocument().replacing([], by: [stranger, own.abortion(days: 8)], dialect: .s3)
    #expect(change.notKept(of: wanted, in: other).first?.contains("otherwise") == true)
    #expect(change.notKept(of: wanted, in: wanted).isEmpty)
  }

  @Test(
    "options that do not go together are refused",
    arguments: [
      ["--training-to", "GLACIER"], ["--after", "3"], ["--dry-run"], ["--abort-uploads", "0"],
      ["--remove", "--abort-uploads", "3"], ["--training-to", "a<b", "--after", "3"],
    ])
  func refusals(_ options: [String]) throws {
    #expect(throws: UsageError.self) {
      _ = try LifecycleWish(try Arguments(options, for: LifecycleCommand.spec))
    }
  }
}
