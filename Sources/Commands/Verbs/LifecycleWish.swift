import ObjectStore

/// What the options of `ckbackup lifecycle` ask for.
struct LifecycleWish {
  /// Days after which uploads that were begun are ended, nil where that is not said.
  private let abortDays: Int?
  private let training: (storageClass: String, days: Int)?
  private let removes: Bool

  /// The days after which unfinished uploads are ended where nobody says another number.
  static let usualDays = 7

  init(_ arguments: Arguments) throws(UsageError) {
    let command = arguments.command.name
    // S3 counts days in 32 bits.
    let most = Int(Int32.max)
    abortDays = try arguments.integer("abort-uploads", atLeast: 1, atMost: most)
    let days = try arguments.integer("after", atLeast: 0, atMost: most)
    removes = arguments.has("remove")
    switch (arguments.string("training-to"), days) {
    case (let name?, let days?):
      guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy(Self.isClassByte) else {
        throw UsageError(
          "--training-to takes the name of a storage class, for example GLACIER_IR, not \(name)",
          command: command)
      }
      training = (name, days)
    case (nil, nil): training = nil
    default: throw UsageError("--training-to CLASS and --after DAYS go together", command: command)
    }
    if removes, abortDays != nil || training != nil {
      throw UsageError(
        "--remove takes ckbackup's rules away, and goes with none that sets them", command: command)
    }
    if arguments.has("dry-run"), isEmpty {
      throw UsageError("--dry-run goes with an option that changes rules", command: command)
    }
  }

  /// Whether nothing is to be changed.
  var isEmpty: Bool { abortDays == nil && training == nil && !removes }

  private static func isClassByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }

  /// What a bucket's rules lose and get.
  struct Change {
    var removed: Set<String> = []
    var added: [LifecycleRule] = []

    /// What was to be kept of the rules and is not among those that the server has, a sentence for each.
    func notKept(of wanted: LifecycleDocument, in stored: LifecycleDocument) -> [String] {
      wanted.rules.filter { !stored.rules.contains($0) }.map { rule in
        let isThere = !rule.id.isEmpty && stored.rules.contains { $0.id == rule.id }
        let whose = added.contains(rule) ? "" : ", which was there before,"
        return isThere
          ? "the server took the rule \(rule.id)\(whose) and kept it otherwise than it was written: see above what it does"
          : "the server said yes and has not kept the rule \(rule.id.debugDescription)\(whose): it does nothing"
      }
        + stored.rules.filter { rule in removed.contains(rule.id) && !added.contains { $0.id == rule.id } }
        .map { "the server said yes and still has the rule \($0.id)" }
    }
  }

  /// What it changes of a bucket's rules.
  func change(of document: LifecycleDocument, _ own: OwnLifecycle) -> Change {
    let mine = document.rules.filter(own.owns)
    if removes { return Change(removed: Set(mine.map(\.id))) }
    guard !isEmpty else { return Change() }
    var wanted: [LifecycleRule] = []
    let usual = own.abortion(days: abortDays ?? Self.usualDays)
    if abortDays != nil || !mine.contains(where: { $0.id == usual.id }) { wanted.append(usual) }
    if let training { wanted.append(own.training(to: training.storageClass, days: training.days)) }
    let new = wanted.filter { !document.rules.contains($0) }
    return Change(removed: Set(new.map(\.id)), added: new)
  }
}
