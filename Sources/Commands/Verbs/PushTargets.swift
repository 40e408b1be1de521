import Engine
import Glibc
import ObjectStore
import Repository
import Synchronization

/// `ckbackup push --to A --to B`: one checkpoint to several repositories, of which each may fail alone.
struct PushTargets: Sendable {
  /// A repository as it was named, and how it is reached.
  private struct Target: Sendable {
    let place: String
    let environment: Environment

    func text(of error: any Error) -> ErrorText {
      ErrorText(error, at: place, isNamed: environment.configuration.name != nil)
    }
  }

  private typealias Outcome = Result<PushAccount, any Error>

  private struct Document: Encodable {
    struct Entry: Encodable {
      let repository: String
      let pushed: PushAccount.Document?
      let error: [String]?
      let exitCode: Int32
    }
    let repositories: [Entry]
    let exitCode: Int32
  }

  private let targets: [Target]
  private let environment: Environment

  /// The repositories that `--to` names, or nil where it is not given.
  ///
  /// - Throws: `UsageError` where other options contradict, or where two of them are the same.
  init?(_ environment: Environment) throws {
    let arguments = environment.arguments
    guard arguments.has("to") else { return nil }
    let command = arguments.command.name
    if arguments.has("repo") {
      throw UsageError("--to stands in place of --repo: name both repositories with --to", command: command)
    }
    self.environment = environment
    let places = arguments.strings("to")
    targets = try places.map {
      Target(place: $0, environment: try environment.target($0, ofSeveral: places.count))
    }
    let named = targets.first { $0.environment.configuration.name != nil }?.place
    if let named, let flag = ["endpoint", "region", "profile", "ca-file"].first(where: arguments.has) {
      throw UsageError(
        "\(named) is reached as the configuration file says, so --\(flag) does not go with --to \(named)",
        command: command)
    }
    if arguments.has("endpoint"), targets.allSatisfy({ $0.environment.repositoryDirectory != nil }) {
      throw UsageError("--endpoint goes with --to s3://BUCKET/PREFIX", command: command)
    }
    for (number, target) in targets.enumerated() {
      try target.environment.refuseOverlap(arguments.operands[0])
      for other in targets[..<number] where try other.environment.isSame(as: target.environment) {
        throw UsageError(
          "--to \(other.place) and --to \(target.place) are the same repository, or one lies in the other",
          command: command)
      }
    }
  }

  /// Pushes to all of them, tells of each as soon as it has ended, and gives the exit code: that of the failures, where they have one in
  /// common.
  ///
  /// - Throws: what all of them have in common, as where the checkpoint is torn; `CancellationError`.
  func push(_ request: Push.Request) async throws -> ExitCode {
    var request = request
    for target in targets {
      request.comparedMetrics.formUnion(target.environment.configuration.comparedMetrics)
    }
    let outcomes = try await request.rank == nil ? pushTogether(request) : pushShares(request)
    let texts = zip(targets, outcomes).map { target, outcome -> ErrorText? in
      if case .failure(let error) = outcome { target.text(of: error) } else { nil }
    }
    let failures = texts.compactMap(\.self)
    if case .failure(let error)? = outcomes.first, failures.count == outcomes.count,
      failures.allSatisfy({ $0.sentences == failures[0].sentences }), !environment.console.isJSON
    {
      throw error
    }
    let codes = Set(failures.map(\.code))
    let code = codes.isEmpty ? .done : codes.count == 1 ? codes.first ?? .failed : .failed
    try environment.console.json(
      Document(
        repositories: zip(targets, zip(outcomes, texts)).map { target, result in
          .init(
            repository: target.place, pushed: try? result.0.get().document, error: result.1?.sentences,
            exitCode: (result.1?.code ?? .done).rawValue)
        }, exitCode: code.rawValue))
    for (target, text) in zip(targets, texts) {
      for sentence in text?.sentences ?? [] { error("\(target.place): \(sentence)") }
    }
    if !failures.isEmpty {
      let done = zip(targets, texts).filter { $0.1 == nil }.map(\.0.place)
      let failed = zip(targets, texts).filter { $0.1 != nil }.map(\.0.place).joined(separator: ", ")
      error(done.isEmpty ? "failed: \(failed)" : "done: \(done.joined(separator: ", ")); failed: \(failed)")
    }
    return code
  }

  private func error(_ sentence: String) {
    Console.write("error: \(Console.clean(sentence))\n", to: STDERR_FILENO)
  }

  /// Reads once and sends to all, as far as their chunks have one size.
  private func pushTogether(_ request: Push.Request) async throws -> [Outcome] {
    let opened = try await open()
    var outcomes: [Outcome] = opened.map { $0.flatMap { _ in .failure(CancellationError()) } }
    let places = opened.indices.compactMap { number in (try? opened[number].get()).map { (number, $0) } }
    let groups = Dictionary(grouping: places) { $0.1.info.chunkSize }.values.sorted { $0[0].0 < $1[0].0 }
    if groups.count > 1 {
      environment.console.warn(
        "the repositories were made with other sizes of chunks, so the checkpoint is read \(groups.count) times"
      )
    }
    let isFirst = Mutex(true)
    for group in groups {
      let start = ContinuousClock.now
      let accounts = Mutex<[Int: PushAccount]>([:])
      do {
        let resources = try environment.resources(for: group[0].1, uploads: group.count)
        let parts = group.map { number, repository in
          var own = request
          let configuration = targets[number].environment.configuration
          own.sizes.pack = configuration.packSize
          let push = Push(
            repository, resources: resources, progress: Progress(), grace: configuration.grace)
          return (push, own)
        }
        let reports = try await JointPush(parts, progress: environment.progress).run {
          part, result, othersGoOn in
          let number = group[part].0
          switch result {
          case .success(let report):
            let account = PushAccount(report, isDryRun: request.isDryRun, since: start)
            let tellsCheckpoint = isFirst.withLock { first in
              defer { first = false }
              return first
            }
            account.show(
              on: environment.console, of: targets[number].place, withCheckpoint: tellsCheckpoint)
            accounts.withLock { $0[number] = account }
          case .failure(let error): if othersGoOn { warn(of: error, at: targets[number]) }
          }
        }
        for ((number, _), report) in zip(group, reports) {
          outcomes[number] = report.map { report in
            accounts.withLock { $0[number] }
              ?? PushAccount(report, isDryRun: request.isDryRun, since: start)
          }
        }
      } catch {
        try Task.checkCancellation()
        for (number, _) in group { outcomes[number] = .failure(error) }
      }
    }
    return outcomes
  }

  /// Pushes a share to one repository after the other: who sends which file is agreed upon in each of them.
  private func pushShares(_ request: Push.Request) async throws -> [Outcome] {
    guard let rank = request.rank else { return [] }
    var outcomes: [Outcome] = []
    var isFirst = true
    for (target, opened) in zip(targets, try await open()) {
      do {
        let repository = try opened.get()
        var own = request
        own.sizes.pack = target.environment.configuration.packSize
        let report = try await RankPush(
          repository, resources: environment.resources(for: repository), progress: environment.progress,
          grace: target.environment.configuration.grace
        ).run(own)
        let account = PushAccount(report, of: rank)
        account.show(on: environment.console, of: target.place, withCheckpoint: isFirst)
        isFirst = false
        outcomes.append(.success(account))
      } catch {
        try Task.checkCancellation()
        if (try? opened.get()) != nil, outcomes.count + 1 < targets.count { warn(of: error, at: target) }
        outcomes.append(.failure(error))
      }
    }
    return outcomes
  }

  /// Opens all; those that cannot be opened are told of where others go on.
  private func open() async throws -> [Result<Repository, any Error>] {
    let opened = try await concurrently(targets, limit: targets.count) {
      target -> Result<Repository, any Error> in
      do {
        return .success(try await target.environment.repository())
      } catch {
        try Task.checkCancellation()
        return .failure(error)
      }
    }
    guard opened.contains(where: { (try? $0.get()) != nil }) else { return opened }
    for (target, result) in zip(targets, opened) {
      if case .failure(let error) = result { warn(of: error, at: target) }
    }
    return opened
  }

  private func warn(of error: any Error, at target: Target) {
    let reason = target.text(of: error).sentences.first ?? ""
    let end = reason.hasSuffix(".") ? "" : "."
    environment.console.warn("\(target.place): \(reason)\(end) The push to the others goes on.")
  }
}
