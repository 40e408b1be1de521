import HTTP
import ObjectStore
import Platform
import Repository

/// A step failed on which all later ones depend; the report has it.
struct ExaminationEnd: Error {}

/// The examination of a repository's place, step by step.
struct Examination {
  let environment: Environment
  var report: DoctorReport
  /// Where everything is tried out.
  let base: String
  /// Whether the place is a repository: only there anything of earlier doctors is removed.
  var isRepository = false
  /// Whether anything may have been stored there.
  var mayHaveStored = false
  let pool = BlockingPool(threads: 1)

  init(_ environment: Environment) {
    self.environment = environment
    report = DoctorReport(environment.console)
    let surroundings = Surroundings.system
    base = ObjectKey.doctor + ULID.make(at: surroundings.now(), random: surroundings.random(10))
  }

  /// The steps for a bucket, in order.
  private static let bucketSteps = [
    "configuration", "name", "connection", "certificate", "server", "credentials", "clock", "addressing",
    "region", "bucket", "repository", "permissions", "rules", "round-trip", "throughput", "settings",
  ]
  /// Those for a directory.
  private static let directorySteps = [
    "configuration", "directory", "repository", "permissions", "rules", "throughput",
  ]

  /// Tries everything. Throws `CancellationError` after it has removed what it stored, and `UsageError` and others where the
  /// configuration names no place at all.
  mutating func run() async throws {
    environment.progress.begin(.examine)
    let settings = try environment.settings()
    // A place that is none is an error before anything is tried.
    guard settings != nil || environment.repositoryDirectory != nil else {
      _ = try environment.store()
      return
    }
    environment.console.show(
      "\(environment.configuration.repository ?? "")\(settings.map { " at \($0.endpointURL)" } ?? "")", "")
    report.add(
      "configuration", .ok, environment.configurationFile ?? "no file: defaults, environment and options")
    do {
      if let settings {
        try await examineBucket(settings)
      } else if let path = environment.repositoryDirectory {
        try await examineDirectory(path)
      }
    } catch let error as CancellationError {
      throw error
    } catch is ExaminationEnd {
      let left = (settings == nil ? Self.directorySteps : Self.bucketSteps).filter { name in
        !report.names.contains(name) && !(name == "throughput" && skipsThroughput)
      }
      if !left.isEmpty { report.add("the rest", .skipped, "not tried: \(left.joined(separator: ", "))") }
    } catch {
      report.add("the place", error)
    }
  }

  /// A client that does not wait for a silent server as long as a push does.
  func transport(_ settings: S3Settings) -> HTTPClient {
    var options = settings.httpOptions
    options.stallSeconds = 20
    return HTTPClient(options)
  }

  /// Whether no speed is measured.
  var skipsThroughput: Bool { environment.arguments.has("no-throughput") }

  private mutating func examineBucket(_ configured: S3Settings) async throws {
    var settings = configured
    try await examineNetwork(&settings)
    let provider = try environment.credentials(for: settings)
    let identity = try await examineCredentials(provider)
    try await examineServer(&settings, provider, identity)
    let s3 = S3Store(settings, credentials: provider, transport: transport(settings))
    try await examine(environment.paced(RetryingStore(s3, policy: .impatient)), s3: s3)
  }

  private mutating func examineDirectory(_ path: String) async throws {
    let directory: DirectoryStore
    do {
      directory = try DirectoryStore(root: path)
    } catch StoreError.noBucket {
      report.add(
        "directory", .failed, "there is no directory \(path); ckbackup init makes it",
        run: "ckbackup init --repo \(path)")
      throw ExaminationEnd()
    } catch {
      report.add("directory", error)
      throw ExaminationEnd()
    }
    report.add("directory", .ok, path)
    try await examine(environment.paced(directory), s3: nil, directory: directory)
  }

  /// The steps that all stores share. Whatever is stored on the way is removed, also when the command is interrupted.
  private mutating func examine(
    _ store: any ObjectStore, s3: S3Store?, directory: DirectoryStore? = nil
  ) async throws {
    let failed: (any Error)?
    do {
      try await examineRepository(store)
      try await examinePermissions(store, s3)
      try await examineRules(store, s3, directory)
      if let s3 { try await measureRoundTrip(s3) }
      if !skipsThroughput { try await measureThroughput(store, isDirectory: directory != nil) }
      failed = nil
    } catch {
      failed = error
    }
    if mayHaveStored, report.permissions?.delete != .refused {
      let folder = base + "/"
      let isCut = failed != nil
      report.leftBehind += await Task.detached {
        if isCut {
          _ = await Leftovers.remove(below: folder, of: store)
          // A request that was taken off the wire may still be served.
          try? await Task.sleep(for: .milliseconds(300))
        }
        return await Leftovers.remove(below: folder, of: store)
      }.value
    }
    if let failed { throw failed }
  }
}

extension RetryPolicy {
  /// For a command that somebody waits for.
  fileprivate static var impatient: RetryPolicy {
    var policy = RetryPolicy()
    policy.attempts = 5
    policy.total = 20
    policy.unreachableAttempts = 2
    return policy
  }
}

/// What a doctor stored.
enum Leftovers {
  /// Seconds after which what lies there is no other doctor's that is at work.
  static let age = 86_400.0

  /// Removes all objects and uploads below a folder and gives the keys that remain.
  static func remove(below folder: String, of store: any ObjectStore) async -> [String] {
    guard let keys = try? await store.list(folder).objects.map(\.key) else { return [folder] }
    if !keys.isEmpty { try? await store.delete(keys) }
    for pending in (try? await store.listUploads(folder)) ?? [] { try? await store.abort(pending.upload) }
    guard !keys.isEmpty else { return [] }
    return (try? await store.list(folder).objects.map(\.key)) ?? keys
  }

  /// Removes what doctors that were killed have left, and gives how much that was.
  static func removeOld(of store: any ObjectStore) async throws -> Int {
    let listing = try await store.list(ObjectKey.doctor)
    let old = listing.objects.filter {
      ObjectKey.isDoctors($0.key) && listing.now.seconds(since: $0.modified) > age
    }
    .map(\.key)
    if !old.isEmpty { try await store.delete(old) }
    let uploads = ((try? await store.listUploads(ObjectKey.doctor)) ?? []).filter {
      ObjectKey.isDoctors($0.upload.key) && listing.now.seconds(since: $0.started) > age
    }
    for pending in uploads { try await store.abort(pending.upload) }
    return old.count + uploads.count
  }
}
