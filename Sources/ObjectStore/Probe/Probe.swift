/// A rule that a store is held to by trying it.
public struct Probe: Sendable, CustomStringConvertible {
  /// What a rule is to ckbackup.
  public enum Need: String, Encodable, Sendable {
    /// Without it backups are not safe, or not possible.
    case needed
    /// ckbackup is safer, quicker or tidier with it.
    case useful
    /// Good to know; nothing depends on it.
    case informative
  }

  /// The stores that a rule makes sense for.
  public enum Scope: Sendable {
    case any
    case s3
    case directory
  }

  /// What the rule is called, the same for ever.
  public let name: String
  /// What it is to ckbackup.
  public let need: Need
  /// Which stores it is for.
  public let scope: Scope
  /// Whether it stores objects, which somebody must be able to delete afterwards.
  public let writes: Bool
  let check: @Sendable (ProbeSubject) async throws -> ProbeFinding

  init(
    _ name: String, _ need: Need, _ scope: Scope = .any, writes: Bool = true,
    _ check: @escaping @Sendable (ProbeSubject) async throws -> ProbeFinding
  ) {
    self.name = name
    self.need = need
    self.scope = scope
    self.writes = writes
    self.check = check
  }

  /// The name.
  public var description: String { name }

  /// All rules, in the order in which they are told.
  public static let all: [Probe] =
    objectProbes + keyProbes + listingProbes + deletionProbes + multipartProbes + integrityProbes
    + conditionProbes + bucketProbes + directoryProbes
}

/// What came of a probe.
public struct ProbeResult: Encodable, Equatable, Sendable {
  /// Whether a rule holds.
  public enum Outcome: String, Encodable, Sendable {
    case holds
    case doesNotHold = "does_not_hold"
    case unknown
  }

  /// The rule's name.
  public let name: String
  /// Whether it holds.
  public let outcome: Outcome
  /// What it is to ckbackup.
  public let need: Probe.Need
  /// One sentence: what was seen.
  public let detail: String

  /// A result of a probe that was, or was not, tried.
  public init(_ probe: Probe, _ outcome: Outcome, _ detail: String) {
    name = probe.name
    need = probe.need
    self.outcome = outcome
    self.detail = detail
  }
}

/// A probe's own answer.
struct ProbeFinding {
  let outcome: ProbeResult.Outcome
  let detail: String

  static func holds(_ detail: String) -> ProbeFinding { .init(outcome: .holds, detail: detail) }
  static func doesNotHold(_ detail: String) -> ProbeFinding { .init(outcome: .doesNotHold, detail: detail) }
  static func unknown(_ detail: String) -> ProbeFinding { .init(outcome: .unknown, detail: detail) }
}

/// A rule that was seen to be broken, and how.
struct ProbeViolation: Error { let sentence: String }

/// Throws a violation where a condition is false.
func ensure(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
  guard condition else { throw ProbeViolation(sentence: sentence()) }
}

/// One conformance suite for stores: `ckbackup doctor` runs it against servers, the tests against every store.
public struct ProbeSuite: Sendable {
  private let store: any ObjectStore
  private let s3: S3Store?
  private let directory: DirectoryStore?
  private let base: String
  private let partSize: Int
  private let rounds: Int
  private let describe: @Sendable (any Error) -> String

  /// A suite over a store.
  ///
  /// - Parameters:
  ///   - s3: the S3 store behind `store`, and `directory` the one of files, where it is one: for what the store itself never does.
  ///   - base: the folder below which all objects are written; nothing else is touched. What remains is the caller's to remove.
  ///   - partSize: the bytes of a part; servers ask for 5 MiB at least.
  ///   - rounds: how often what may fail now and then is tried.
  ///   - describe: makes a sentence of an error.
  public init(
    _ store: any ObjectStore, s3: S3Store? = nil, directory: DirectoryStore? = nil, base: String,
    partSize: Int = 5 << 20, rounds: Int = 5,
    describe: @escaping @Sendable (any Error) -> String = { "\($0)" }
  ) {
    self.store = store
    self.s3 = s3 ?? store as? S3Store
    self.directory = directory ?? store as? DirectoryStore
    self.base = base
    self.partSize = partSize
    self.rounds = rounds
    self.describe = describe
  }

  /// The rules that make sense for this store.
  public var probes: [Probe] {
    Probe.all.filter { probe in
      switch probe.scope {
      case .any: true
      case .s3: s3 != nil
      case .directory: directory != nil
      }
    }
  }

  /// Tries a rule. Throws `CancellationError`, and `StoreError.unreachable` or `.gaveUp` of one where the server went away.
  public func run(_ probe: Probe) async throws -> ProbeResult {
    let subject = ProbeSubject(
      store: store, s3: s3, directory: directory, base: "\(base)/\(probe.name)", partSize: partSize,
      rounds: rounds)
    do {
      let finding = try await probe.check(subject)
      return ProbeResult(probe, finding.outcome, finding.detail)
    } catch let violation as ProbeViolation {
      return ProbeResult(probe, .doesNotHold, violation.sentence)
    } catch let error as StoreError {
      switch error {
      case .unreachable, .gaveUp(.unreachable, _, _): throw error
      case .transient, .gaveUp, .credentials, .denied, .full:
        return ProbeResult(probe, .unknown, describe(error))
      case .unsupported: return ProbeResult(probe, .doesNotHold, "the store says that it cannot do this")
      default: return ProbeResult(probe, .doesNotHold, describe(error))
      }
    }
  }
}
