import ObjectStore

/// `ckbackup lifecycle`
enum LifecycleCommand: Command {
  static let spec = CommandSpec(
    name: "lifecycle", summary: "Show or set what the bucket does by itself to the repository.",
    options: [
      OptionSpec("abort-uploads", "DAYS", "Have the bucket end uploads that began DAYS ago (7 by default)."),
      OptionSpec("training-to", "CLASS", "Have it move packs of training state to the storage class CLASS."),
      OptionSpec("after", "DAYS", "When it moves them: DAYS after they were pushed."),
      OptionSpec("remove", "Take ckbackup's own rules away."),
      OptionSpec("dry-run", "Only say which rules the bucket would have."),
    ],
    details: """
      Without options it shows the bucket's rules that touch the repository, and what each does to it. With options it sets rules of
      its own, whose names begin with ckbackup-; all other rules go back as they were, to the byte. What the server did not keep
      is said, with exit code 1. The end of unfinished uploads is always among what is set.
      From classes such as GLACIER packs must be brought back before they can be read: restore, resume, export and verify --deep
      ask for that.
      """,
    examples: [
      "ckbackup lifecycle", "ckbackup lifecycle --abort-uploads 7",
      "ckbackup lifecycle --training-to GLACIER_IR --after 30 --dry-run", "ckbackup lifecycle --remove",
    ],
    whenInterrupted: "the rules are as they were or as they were to be: ckbackup lifecycle shows which")

  private struct Document: Encodable {
    struct Rule: Encodable {
      let id: String
      let isOurs: Bool
      let isEnabled: Bool
      let prefix: String
      let effects: [String]
      let warnings: [String]
    }
    let rules: [Rule]
    let otherRules: Int
    let changed: Bool
    let dryRun: Bool
    let notKept: [String]
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    let wish = try LifecycleWish(arguments)
    guard let settings = try environment.settings() else {
      throw UsageError(
        "the repository is a directory, which has no lifecycle rules and needs none: prune clears away what pushes left",
        command: spec.name)
    }
    let store = S3Store(settings, credentials: try environment.credentials(for: settings))
    let own = OwnLifecycle(settings)
    let before = try await store.lifecycle()
    let change = wish.change(of: before, own)
    let after = try before.replacing(
      change.removed, by: change.added, dialect: before.dialect(for: settings.cloud))
    let isDryRun = arguments.has("dry-run")
    let changes = after.rules != before.rules
    let stored = changes && !isDryRun ? try await store.setLifecycle(after, replacing: before) : after
    let notKept = change.notKept(of: after, in: stored)
    show(stored, own, environment, changes: changes, isDryRun: isDryRun, isWish: !wish.isEmpty)

    for sentence in notKept { environment.console.warn(sentence) }
    let words = LifecycleWords(place: own.place)
    let touching = stored.rules.filter { $0.touches(own.place) }
    try environment.console.json(
      Document(
        rules: touching.map {
          .init(
            id: $0.id, isOurs: own.owns($0), isEnabled: $0.isEnabled, prefix: $0.prefix,
            effects: words.effects($0), warnings: words.warnings($0))
        }, otherRules: stored.rules.count - touching.count, changed: changes && !isDryRun, dryRun: isDryRun,
        notKept: notKept))
    return notKept.isEmpty ? .done : .failed
  }

  /// The rules that touch the repository, and what is to be feared of them.
  private static func show(
    _ document: LifecycleDocument, _ own: OwnLifecycle, _ environment: Environment, changes: Bool,
    isDryRun: Bool, isWish: Bool
  ) {
    let console = environment.console
    let words = LifecycleWords(place: own.place)
    let touching = document.rules.filter { $0.touches(own.place) }
    if isWish {
      console.show(
        !changes
          ? "nothing is to be changed; the bucket's rules for the repository:"
          : isDryRun
            ? "nothing was changed; the bucket's rules for the repository would be:"
            : "the bucket's rules were set; those for the repository:")
    }
    for rule in touching {
      let place = rule.prefix.isEmpty ? "the whole bucket" : rule.prefix
      let state = rule.isEnabled ? "" : ", not in force"
      console.show(
        "\(rule.id.isEmpty ? "(no name)" : rule.id), for \(place)\(own.owns(rule) ? ", ckbackup's own" : "")\(state)"
      )
      for effect in words.effects(rule) { console.show("  \(effect)") }
    }
    if touching.isEmpty { console.show("no rule of the bucket touches the repository") }
    let others = document.rules.count - touching.count
    if others > 0 {
      console.show(
        "\(Quantity.count(others, "other rule")) of the bucket \(others == 1 ? "is" : "are") for other places"
      )
    }
    let aborts = touching.contains { rule in
      rule.isEnabled && own.place.utf8.starts(with: rule.prefix.utf8)
        && rule.actions.contains { if case .abortUploads = $0 { true } else { false } }
    }
    if !aborts, !isWish {
      console.show("no rule ends unfinished uploads; prune does, or ckbackup lifecycle --abort-uploads 7")
    }
    for rule in touching { for warning in words.warnings(rule) { console.warn(warning) } }
  }
}
