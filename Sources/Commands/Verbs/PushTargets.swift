import Engine
import Glibc
import ObjectStore
import Repository

/// `ckbackup push --to A --to B`: one checkpoint to several repositories, of which each may fail alone.
struct PushTargets: Sendable {
  /// A repository as it was named, and how it is reached.
  private struct Target: Sendable {
    let place: String
    let environment: Environment
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
    targets = try arguments.strings("to").map { Target(place: $0, environment: try environment.target($0)) }
    let named = targets.first { $0.environment.configuration.name != nil }?.place
    if let named, let flag = ["endpoint", "region", "profile", "ca-file"].first(where: arguments.has) {
      throw UsageError(
        "\(named) is reached as the configuration file says, so --\(flag) does not go with --to \(named)",
        command: command)
    }
    for (number, target) in targets.enumerated() {
      try target.environment.refuseOverlap(arguments.operands[0])
      for other in targets[..<number] { try other.environment.refuse(second: target.environment) }
    }
  }

  /// Pushes to all of them, tells of each, and gives the exit code: that of the failures, where they have one in common.
  ///
  /// - Throws: what concerns the checkpoint itself, where nothing was pushed anywhere; `CancellationError`.
  func push(_ request: Push.Request) async throws -> ExitCode {
    let outcomes = try await request.rank == nil ? pushTogether(request) : pushShares(request)
    let texts = outcomes.map { outcome -> ErrorText? in
      if case .failure(let error) = outcome { ErrorText(error) } else { nil }
    }
    let failures = texts.compactMap(\.self)
    if case .failure(let error)? = outcomes.first, failures.count == outcomes.count,
      failures.allSatisfy({ $0.sentences == failures[0].sentences })
    {
      throw error
    }
    let accounts = zip(targets, outcomes).compactMap { target, outcome in
      (try? outcome.get()).map { (place: target.place, account: $0) }
    }
    let common = accounts.dropFirst().reduce(Set(accounts.first?.account.warnings ?? [])) {
      $0.intersection($1.account.warnings)
    }
    for warning in accounts.first?.account.warnings ?? [] where common.contains(warning) {
      environment.console.warn(warning)
    }
    for (place, account) in accounts { account.show(on: environment.console, of: place, besides: common) }
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
      for sentence in text?.sentences ?? [] {
        Console.write("error: \(target.place): \(Console.clean(sentence))\n", to: STDERR_FILENO)
      }
    }
    if !failures.isEmpty {
      let done = zip(targets, texts).filter { $0.1 == nil }.map(\.0.place)
      let lacking = zip(targets, texts).filter { $0.1 != nil }.map(\.0.place)
      let first = done.isEmpty ? "nothing is done" : "done: \(done.joined(separator: ", "))"
      Console.write(
        "error: \(first); not done: \(lacking.joined(separator: ", ")). The same command, run again, goes on with what is not done.\n",
        to: STDERR_FILENO)
    }
    return code
  }

  /// Reads once and sends to all, as far as their chunks have one size.
  private func pushTogether(_ request: Push.Request) async throws -> [Outcome] {
    let start = ContinuousClock.now
    let opened = try await open()
    var outcomes: [Outcome] = opened.map { $0.flatMap { _ in .failure(CancellationError()) } }
    let places = opened.indices.compactMap { number in (try? opened[number].get()).map { (number, $0) } }
    let groups = Dictionary(grouping: places) { $0.1.info.chunkSize }.values.sorted { $0[0].0 < $1[0].0 }
    if groups.count > 1 {
      environment.console.warn(
        "the repositories were made with other sizes of chunks, so the checkpoint is read \(groups.count) times"
      )
    }
    for group in groups {
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
        let reports = try await JointPush(parts, progress: environment.progress).run { part, error in
          let place = targets[group[part].0].place
          let reason = ErrorText(error).sentences.first ?? ""
          environment.console.warn("\(place): \(reason) The push to the others goes on.")
        }
        for ((number, _), report) in zip(group, reports) {
          outcomes[number] = report.map { PushAccount($0, isDryRun: request.isDryRun, since: start) }
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
    for (target, opened) in zip(targets, try await open()) {
      do {
        let repository = try opened.get()
        var own = request
        own.sizes.pack = target.environment.configuration.packSize
        let report = try await RankPush(
          repository, resources: environment.resources(for: repository), progress: environment.progress,
          grace: target.environment.configuration.grace
        ).run(own)
        outcomes.append(.success(PushAccount(report, of: rank)))
      } catch {
        try Task.checkCancellation()
        outcomes.append(.failure(error))
      }
    }
    return outcomes
  }

  private func open() async throws -> [Result<Repository, any Error>] {
    try await concurrently(targets, limit: targets.count) { target in
      do {
        return .success(try await target.environment.repository())
      } catch {
        try Task.checkCancellation()
        return .failure(error)
      }
    }
  }
}
