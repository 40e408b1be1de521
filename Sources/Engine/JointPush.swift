import Repository

/// Backs up one checkpoint to several repositories whose chunks have the same size: it is read and hashed once, and each repository
/// gets what it lacks. One that fails does not stop the others; until then the slowest sets the pace.
public struct JointPush: Sendable {
  /// One repository's part: a push to it, and what is pushed. The requests differ in the sizes of packs alone.
  public typealias Part = (push: Push, request: Push.Request)

  private let parts: [Part]
  private let progress: Progress

  /// A push to one repository or more; their resources are the same ones, made for so many uploads. `progress` shows all of it.
  public init(_ parts: [Part], progress: Progress) {
    self.parts = parts
    self.progress = progress
  }

  /// Pushes, and gives what became of it for each repository, in their order. `ended` hears of each at once, by its number, and whether others
  /// go on, since these may for hours.
  ///
  /// - Throws: where the checkpoint is none to push, or changed while it was first read, as `Push.run`; then nothing was pushed anywhere.
  ///   `CancellationError`; then those that `ended` told of are done.
  public func run(
    ended: @escaping @Sendable (_ part: Int, Result<Push.Report, any Error>, _ othersGoOn: Bool) -> Void = {
      _, _, _ in
    }
  ) async throws -> [Result<Push.Report, any Error>] {
    let locks = try await each { _, part in
      try await SnapshotLock.prepare(part.request.lock, in: part.push.repository)
    }
    let isHopeless = !locks.contains { $0.isSuccess }
    for (number, lock) in locks.enumerated() {
      if case .failure(let error) = lock { ended(number, .failure(error), !isHopeless) }
    }
    guard let (push, request) = zip(parts, locks).first(where: { $1.isSuccess })?.0 else {
      return locks.compactMap { if case .failure(let error) = $0 { .failure(error) } else { nil } }
    }
    let source = try await CheckpointSource.look(request, push.repository, push.resources, progress)
    let reading = SharedReading(
      HashedReader(source.files, below: source.root, push.resources), members: parts.count)
    progress.follow(parts.map(\.push.progress))
    let attempts = try await each { number, part -> Push.Report? in
      let share = reading.share(number)
      let result = try await Self.outcome {
        try await part.push.attempt(part.request, source, try locks[number].get(), share)
      }
      await share.end()
      let ending: Result<Push.Report, any Error>
      switch result {
      case .success(nil): return nil
      case .success(let report?): ending = .success(report)
      case .failure(let error): ending = .failure(error)
      }
      part.push.progress.end()
      // What could not be read is everybody's, and what could not be locked was told before.
      if await reading.failure == nil, locks[number].isSuccess { ended(number, ending, await reading.goesOn) }
      return try ending.get()
    }
    if let failure = await reading.failure { throw failure }
    var results: [Result<Push.Report, any Error>] = []
    for (number, part) in parts.enumerated() {
      switch attempts[number] {
      case .success(let report?): results.append(.success(report))
      case .failure(let error): results.append(.failure(error))
      case .success(nil):
        // A second attempt reads for itself. It comes when nobody else reads, since the buffers suffice for one reading.
        let second = try await Self.outcome {
          try await part.push.run(part.request, source, try locks[number].get(), attemptsBefore: 1)
        }
        part.push.progress.end()
        ended(number, second, number + 1 < parts.count)
        results.append(second)
      }
    }
    return results
  }

  /// Does something for all parts side by side.
  private func each<Output: Sendable>(
    _ work: @escaping @Sendable (Int, Part) async throws -> Output
  ) async throws -> [Result<Output, any Error>] {
    try await concurrently(Array(parts.indices), limit: parts.count) { [parts] number in
      try await Self.outcome { try await work(number, parts[number]) }
    }
  }

  /// What came of some work. Throws `CancellationError` where the task was cancelled, which no part survives.
  private static func outcome<Output>(
    _ work: () async throws -> Output
  ) async throws -> Result<Output, any Error> {
    do {
      return .success(try await work())
    } catch {
      try Task.checkCancellation()
      return .failure(error)
    }
  }
}

extension Result {
  fileprivate var isSuccess: Bool { if case .success = self { true } else { false } }
}
