import Repository

/// What a user names a snapshot by: `RUN@STEP`, `RUN@latest`, `RUN@best`, `RUN@TAG`, or the beginning of its id.
public struct SnapshotAddress: Equatable, Sendable {
  enum Target: Equatable {
    case step(Int)
    case latest
    case best
    case tag(String)
    case id(String)
  }

  /// The text as it was given.
  public let text: String
  /// The run, or nil where an id was given.
  public let run: String?
  let target: Target

  /// Reads an address.
  ///
  /// - Throws: `EngineError.badAddress`.
  public init(_ text: String) throws(EngineError) {
    self.text = text
    // By bytes: with some letters before it or behind it an @ is one `Character` with these.
    guard let at = text.utf8.lastIndex(of: UInt8(ascii: "@")) else {
      let id = text.lowercased()
      guard (4...16).contains(id.count), id.allSatisfy({ $0.isHexDigit && $0.isASCII }) else {
        throw .badAddress(text)
      }
      run = nil
      target = .id(id)
      return
    }
    let run = String(Substring(text.utf8[..<at]))
    let rest = String(Substring(text.utf8[at...].dropFirst()))
    guard !run.isEmpty, !rest.isEmpty else { throw .badAddress(text) }
    self.run = run
    switch rest {
    case "latest": target = .latest
    case "best": target = .best
    default: target = Int(rest).flatMap { $0 >= 0 ? Target.step($0) : nil } ?? .tag(rest)
    }
  }

  /// The one snapshot that the address means.
  ///
  /// `latest` and `best` pass over incomplete snapshots; a complete one that carries the tag `best` is it, whatever the metrics say.
  ///
  /// - Throws: `EngineError.notFound` or `.ambiguous`.
  public func resolve(in snapshots: [Snapshot], best: Ranking) throws(EngineError) -> Snapshot {
    let candidates = snapshots.filter { run.map($0.belongs) ?? true }
    if let run, candidates.isEmpty { throw .notFound(address: text, hint: Self.hint(run: run, snapshots)) }
    let matches: [Snapshot]
    switch target {
    case .step(let step): matches = candidates.filter { $0.step == step || $0.tags.contains(String(step)) }
    case .tag(let tag): matches = candidates.filter { $0.tags.contains(tag) }
    case .id(let prefix): matches = candidates.filter { $0.id.hasPrefix(prefix) }
    case .latest: matches = candidates.filter(\.complete).max { Self.precedes($0, $1) }.map { [$0] } ?? []
    case .best where candidates.contains { $0.complete && $0.tags.contains("best") }:
      matches = candidates.filter { $0.complete && $0.tags.contains("best") }
    case .best: matches = best.order(candidates.filter(\.complete)).first.map { [$0] } ?? []
    }
    guard let match = matches.first else { throw .notFound(address: text, hint: hint(candidates)) }
    if matches.count > 1 { throw .ambiguous(address: text, ids: matches.map { "\($0.address) \($0.id)" }) }
    return match
  }

  /// Why a marker of the run cannot be read that may be what the address means instead of `found`; nil where there is none.
  public func rival(of found: Snapshot, among unreadable: [FormatError]) -> FormatError? {
    switch target {
    case .step, .tag, .id: return nil
    case .best: return unreadable.first
    case .latest:
      return unreadable.first { error in
        error.object.flatMap(ObjectKey.parse(marker:)).map { $0.step >= found.step } ?? true
      }
    }
  }

  /// The order of a run: by step, then by time.
  static func precedes(_ a: Snapshot, _ b: Snapshot) -> Bool {
    (a.step, a.time, a.id) < (b.step, b.time, b.id)
  }

  private func hint(_ candidates: [Snapshot]) -> String {
    switch target {
    case .id: return "see ckbackup list for the ids there are"
    case .best where !candidates.isEmpty: return "no complete snapshot of the run has a metric to compare by"
    case .latest where !candidates.isEmpty:
      return "the run has incomplete snapshots only; name one by its step or id"
    default:
      let steps = candidates.map(\.step).sorted().suffix(5).map(String.init).joined(separator: ", ")
      return "its newest steps are \(steps)"
    }
  }

  static func hint(run: String, _ snapshots: [Snapshot]) -> String {
    let runs = snapshots.byRun().map(\.run)
    if runs.isEmpty { return "the repository holds no snapshot yet" }
    return "the runs are \(runs.prefix(5).joined(separator: ", "))\(runs.count > 5 ? ", …" : "")"
  }
}
