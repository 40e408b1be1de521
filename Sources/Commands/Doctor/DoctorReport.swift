import ObjectStore
import Platform

/// What `ckbackup doctor` has found so far. Each finding is shown as it comes.
struct DoctorReport {
  /// How a step came out.
  enum Mark: String, Encodable {
    case ok
    /// Nothing is wrong; good to know.
    case info
    case warning
    case failed
    case skipped

    /// As it stands at the beginning of a line.
    var shown: String {
      switch self {
      case .ok: "ok"
      case .info: "info"
      case .warning: "warn"
      case .failed: "FAIL"
      case .skipped: "skip"
      }
    }
  }

  /// A line of the report.
  struct Step: Encodable {
    let name: String
    let mark: Mark
    let sentence: String
    /// What to do about it.
    let advice: String?
  }

  /// Bytes a second of so many requests at once.
  struct Throughput: Encodable {
    let streams: Int
    let upBytesPerSecond: Double
    let downBytesPerSecond: Double
  }

  private(set) var steps: [Step] = []
  /// The results of the conformance suite.
  var probes: [ProbeResult] = []
  /// What the credentials may do; nil where that was not tried.
  var permissions: Permissions?
  /// Whether each command may do its work.
  var commands: [String: Permissions.Answer] = [:]
  /// The median of small requests, in seconds.
  var roundTrip: Double?
  var throughput: [Throughput] = []
  /// Lines of the configuration file to change or to add.
  private(set) var configuration: [String] = []
  /// Commands to run.
  private(set) var run: [String] = []
  /// Objects that could not be removed.
  var leftBehind: [String] = []
  /// The exit code of the first step that failed.
  private(set) var failure: ExitCode?
  private let console: Console

  init(_ console: Console) { self.console = console }

  /// Adds a finding and shows it: `change` is a line of the configuration file, `run` a command that helps.
  mutating func add(
    _ name: String, _ mark: Mark, _ sentence: String, advice: String? = nil, change: String? = nil,
    run command: String? = nil, code: ExitCode = .failed
  ) {
    let step = Step(name: name, mark: mark, sentence: sentence, advice: advice)
    steps.append(step)
    if mark == .failed, failure == nil { failure = code }
    if let change, !configuration.contains(change) { configuration.append(change) }
    if let command, !run.contains(command) { run.append(command) }
    show(step)
  }

  /// Adds an error of a step.
  mutating func add(_ name: String, _ error: any Error, change: String? = nil, run command: String? = nil) {
    let text = ErrorText(error)
    add(
      name, .failed, text.sentences.joined(separator: " "), change: change, run: command,
      code: text.code == .refused ? .refused : .failed)
  }

  /// The names of the steps so far.
  var names: Set<String> { Set(steps.map(\.name)) }
  /// The first step that failed.
  var cause: Step? { steps.first { $0.mark == .failed } }
  /// `works`, `works_with_warnings` or `does_not_work`.
  var verdict: String {
    if cause != nil { return "does_not_work" }
    return steps.contains { $0.mark == .warning } ? "works_with_warnings" : "works"
  }

  private func show(_ step: Step) {
    let head = "  \(pad(step.mark.shown, 6))\(pad(step.name, Self.nameWidth))"
    let width = console.width > 0 ? console.width - head.count : 0
    let lines = wrapped(step.sentence, width: width) + (step.advice.map { wrapped($0, width: width) } ?? [])
    for (index, line) in lines.enumerated() {
      let text = (index == 0 ? head : String(repeating: " ", count: head.count)) + line
      if step.mark == .failed || step.mark == .warning { console.result(text) } else { console.show(text) }
    }
  }

  /// The last lines: the verdict and what to change in `file`; `origin` says where a key's value comes from, where not from a file.
  func conclude(file: String?, origin: (_ key: Substring) -> String?) {
    console.show("")
    switch verdict {
    case "works": console.result("verdict: works")
    case "works_with_warnings":
      let count = Quantity.count(steps.count { $0.mark == .warning }, "warning")
      console.result("verdict: works, with \(count)")
    default: console.result("verdict: does not work: \(cause.map { brief($0.sentence) } ?? "")")
    }
    show(
      "change in \(file ?? "ckbackup.toml"):",
      configuration.map { line in
        line + (origin(line.prefix { $0 != " " }).map { "  # now given by \($0)" } ?? "")
      })
    show("run:", run)
    show("left behind, since these credentials may not delete:", leftBehind)
  }

  private func show(_ head: String, _ lines: [String]) {
    guard !lines.isEmpty else { return }
    console.result(head)
    for line in lines { console.result("  \(line)") }
  }

  /// A sentence up to its reasons.
  private func brief(_ sentence: String) -> Substring {
    let ends = [": ", "; ", " ("].compactMap { sentence.firstRange(of: $0)?.lowerBound }
    return sentence[..<(ends.min() ?? sentence.endIndex)]
  }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }

  private static let nameWidth = 20
}

/// The report as one JSON document.
struct DoctorDocument: Encodable {
  struct Allowed: Encodable {
    let list: Permissions.Answer
    let read: Permissions.Answer
    let write: Permissions.Answer
    let multipart: Permissions.Answer
    let delete: Permissions.Answer
    let listUploads: Permissions.Answer
    let folders: [Permissions.Folder]
  }

  let repository: String
  let endpoint: String?
  let configurationFile: String?
  let verdict: String
  let cause: String?
  let exitCode: Int32
  let steps: [DoctorReport.Step]
  let permissions: Allowed?
  let commands: [String: Permissions.Answer]
  let probes: [ProbeResult]
  let roundTripSeconds: Double?
  let throughput: [DoctorReport.Throughput]
  let configuration: [String]
  let run: [String]
  let leftBehind: [String]

  init(_ report: DoctorReport, repository: String, endpoint: String?, file: String?, code: ExitCode) {
    self.repository = repository
    self.endpoint = endpoint
    configurationFile = file
    verdict = report.verdict
    cause = report.cause?.name
    exitCode = code.rawValue
    steps = report.steps
    permissions = report.permissions.map {
      Allowed(
        list: $0.list, read: $0.read, write: $0.write, multipart: $0.multipart, delete: $0.delete,
        listUploads: $0.listUploads, folders: $0.folders)
    }
    commands = report.commands
    probes = report.probes
    roundTripSeconds = report.roundTrip
    throughput = report.throughput
    configuration = report.configuration
    run = report.run
    leftBehind = report.leftBehind
  }
}
