import Engine
import Glibc
import ObjectStore
import Platform
import Repository

/// What a command gets from outside: arguments, environment, configuration.
struct Environment: Sendable {
  let arguments: Arguments
  private(set) var configuration: Configuration
  /// What the configuration file alone says, before a repository is chosen.
  private let file: Configuration
  let console: Console
  /// The configuration file that was read, or nil where there is none.
  let configurationFile: String?
  /// The process's environment variables.
  let variables: [String: String]
  /// How far the command is; shown while it runs.
  let progress = Progress()
  /// The option that names this repository, where it is a second one: options such as `--endpoint` may be meant for the first.
  private var secondOption: String?
  /// The word that named it, where it is one of several.
  private var targetName: String?

  /// Reads the configuration and lets environment and flags beat it.
  init(_ arguments: Arguments, variables: [String: String]) throws {
    var configuration = Configuration()
    configurationFile = try ConfigurationFile.load(
      named: arguments.string("config"), environment: variables, into: &configuration)
    file = configuration
    // Where the command names its places itself, the usual one does not count.
    if arguments.command.name != PushCommand.spec.name || !arguments.has("to") {
      try configuration.choose(flags: arguments, environment: variables)
    }
    try configuration.adopt(environment: variables)
    try configuration.adopt(flags: arguments)
    self.arguments = arguments
    self.configuration = configuration
    self.variables = variables
    console = Console(isJSON: arguments.has("json"), isQuiet: arguments.has("quiet"))
  }

  /// The option or variable that gives a key of the configuration its value and beats the file; nil where none does.
  func origin(of key: Substring) -> String? {
    let variables: [Substring: [String]] = [
      "repository": ["CKBACKUP_REPO"],
      "endpoint": ["CKBACKUP_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
      "region": ["AWS_REGION", "AWS_DEFAULT_REGION"], "ca_file": ["AWS_CA_BUNDLE"],
    ]
    let option = key == "repository" ? "repo" : String(key)
    if ["repo", "endpoint", "region"].contains(option), arguments.has(option) { return "--\(option)" }
    // For a repository with a name of its own, what AWS's tools read only fills gaps.
    return variables[key]?.first {
      self.variables[$0]?.isEmpty == false && (configuration.name == nil || !$0.hasPrefix("AWS_"))
    }
  }

  /// The environment of a second repository that the command works with. It is reached as this one is, unless it is named and its table
  /// says how, or a configuration file of its own does; these then beat the process's environment, and flags are for the first.
  ///
  /// `option` names it on the command line, `to` or `from`; `to-config` or `from-config` names its file.
  func second(_ option: String) throws -> Environment {
    var other = self
    if let config = arguments.string("\(option)-config") {
      other.configuration = Configuration()
      do {
        try ConfigurationFile.load(named: config, environment: variables, into: &other.configuration)
      } catch {
        throw SecondPlaceError(error: error, option: "--\(option)-config", place: config)
      }
      try other.configuration.choose(arguments.string(option))
      try other.configuration.adopt(limits: arguments)
    } else if let name = arguments.string(option), file.repositories[name] != nil {
      other.configuration = file
      try other.configuration.choose(name)
      other.configuration.adopt(awsVariables: variables)
      try other.configuration.adopt(limits: arguments)
    } else {
      // The table of the first repository says how the second is reached, and the second has its own place.
      try other.configuration.choose(arguments.string(option))
    }
    other.configuration.memory = configuration.memory
    other.secondOption = option
    return other
  }

  /// The environment of a repository that the command works on as one of several: a named one is reached as its table says, whatever
  /// flags and variables say of others, and any other as if it stood in `--repo`. What flags allow to be sent in a second is for all of
  /// the `count` together.
  func target(_ place: String, ofSeveral count: Int) throws -> Environment {
    var other = self
    other.configuration = file
    try other.configuration.choose(place)
    if other.configuration.name == nil {
      try other.configuration.adopt(environment: variables)
      try other.configuration.adopt(flags: arguments)
    } else {
      other.configuration.adopt(awsVariables: variables)
      try other.configuration.adopt(limits: arguments)
    }
    (other.configuration.memory, other.configuration.threads) = (configuration.memory, configuration.threads)
    if arguments.has("limit-upload") {
      other.configuration.uploadLimit = other.configuration.uploadLimit.map { max(1, $0 / count) }
    }
    if arguments.has("limit-download") {
      other.configuration.downloadLimit = other.configuration.downloadLimit.map { max(1, $0 / count) }
    }
    other.targetName = place
    return other
  }

  /// Whether it is a second repository with a configuration file of its own.
  var hasOwnFile: Bool { secondOption.map { arguments.string("\($0)-config") != nil } ?? false }

  /// The same with other settings.
  func with(_ change: (inout Configuration) -> Void) -> Environment {
    var other = self
    change(&other.configuration)
    return other
  }

  /// The store that the configuration names; with `create` a directory is made where there is none.
  func store(create: Bool = false) throws -> any ObjectStore {
    guard let settings = try settings() else {
      let repository = configuration.repository ?? ""
      guard let path = repositoryDirectory else {
        throw UsageError(
          "\(repository.debugDescription) is no repository: it must be s3://BUCKET/PREFIX, file:///PATH or a path"
        )
      }
      if arguments.has("endpoint"), secondOption == nil, !arguments.namesSecondBucket {
        throw UsageError(
          "--endpoint goes with s3://BUCKET/PREFIX, and the repository is the directory \(path)")
      }
      return paced(try DirectoryStore(root: path, create: create))
    }
    if !configuration.verifyTLS {
      console.warn("the server's certificate is not checked (verify_tls = false)")
    }
    let retrying = RetryingStore(
      try bucketStore(settings),
      onRetry: { [progress, targetName] _, error, _ in
        progress.stumble(over: (targetName.map { "\($0): " } ?? "") + ErrorText.trouble(error))
      }, onEnd: { [progress] in progress.recover() })
    return paced(retrying)
  }

  /// The bucket of some settings as it is, without further tries.
  func bucketStore(_ settings: S3Settings) throws -> S3Store {
    S3Store(settings, credentials: try credentials(for: settings))
  }

  /// A store that sends and receives no more bytes a second than the configuration allows.
  func paced(_ store: any ObjectStore) -> any ObjectStore {
    let (up, down) = (configuration.uploadLimit, configuration.downloadLimit)
    return up == nil && down == nil ? store : PacedStore(store, up: up, down: down)
  }

  /// Opens the repository.
  ///
  /// - Throws: `SecondPlaceError` where it is a second one, else `FormatError`, `StoreError`, `UsageError` and others.
  func repository() async throws -> Repository {
    guard let secondOption else { return try await open() }
    do {
      return try await open()
    } catch {
      if error is CancellationError { throw error }
      throw SecondPlaceError(
        error: error, option: "--\(secondOption)", place: configuration.repository ?? "")
    }
  }

  private func open() async throws -> Repository {
    let store = try store()
    // A directory is as quick as its cache would be.
    let isDirectory = repositoryDirectory != nil
    return try await Repository.open(
      in: store, cacheRoot: isDirectory ? nil : cacheRoot, surroundings: .system)
  }

  /// What a command may use of the machine, for a repository's chunk size and so many uploads side by side.
  func resources(for repository: Repository, uploads: Int = 1) throws -> Resources {
    let size = max(repository.info.chunkSize, PackWriter.Sizes.standard.part)
    let least = Resources.leastMemory(bufferSize: size, uploads: uploads)
    guard configuration.memory >= least else {
      let several = uploads == 1 ? "a repository" : "a push to \(uploads) repositories"
      throw UsageError(
        "\(several) with chunks of \(Quantity.format(bytes: repository.info.chunkSize)) needs at least \(Quantity.format(bytes: least)) of memory: raise --memory",
        command: arguments.command.name)
    }
    return Resources(
      memory: configuration.memory, bufferSize: size, threads: configuration.threads,
      connections: configuration.connections, uploads: uploads)
  }

  /// The one snapshot that an operand names.
  ///
  /// Where a marker that cannot be read may be the latest or the best, that is a warning, or thrown where it must be the `very` one.
  func snapshot(_ text: String, in repository: Repository, very: Bool = false) async throws -> Snapshot {
    let address = try SnapshotAddress(text)
    let listing = try await repository.snapshots(of: address.run)
    let found: Snapshot
    do throws(EngineError) {
      found = try address.resolve(in: listing.snapshots, best: configuration.best)
    } catch {
      // What was asked for may be the very snapshot whose marker is damaged.
      if case .notFound = error, let unreadable = listing.unreadable.first { throw unreadable }
      guard listing.snapshots.isEmpty, address.run != nil else { throw error }
      return try address.resolve(in: try await repository.snapshots().snapshots, best: configuration.best)
    }
    if let rival = address.rival(of: found, among: listing.unreadable) {
      if very { throw rival }
      for sentence in Damage(rival, snapshots: []).sentences { console.warn(sentence) }
      console.warn("so \(text) is \(found.label) here, and may have been that one.")
    }
    return found
  }

  /// The snapshots that operands name; all of them where there are none.
  func choice(
    of operands: [String], in repository: Repository, very: Bool = false
  ) async throws -> @Sendable ([Snapshot]) -> [Snapshot] {
    guard !operands.isEmpty else { return { $0 } }
    var keys = Set<String>()
    for operand in operands { keys.insert(try await snapshot(operand, in: repository, very: very).key) }
    return { [keys] snapshots in snapshots.filter { keys.contains($0.key) } }
  }

  /// The repository's directory, or nil where it is in a bucket or not named.
  var repositoryDirectory: String? {
    guard let repository = configuration.repository, !repository.hasPrefix("s3:"),
      !repository.hasPrefix("s3/"),
      !repository.isEmpty
    else { return nil }
    if repository.hasPrefix("~/"), let home = variables["HOME"] { return home + repository.dropFirst() }
    if repository.hasPrefix("file://") {
      let path = String(repository.dropFirst("file://".count))
      return path.hasPrefix("/") ? path : nil
    }
    return repository.contains("://") || repository.hasPrefix("~") ? nil : repository
  }

  /// Throws where a path is the repository, lies in it or holds it.
  func refuseOverlap(_ path: String) throws(UsageError) {
    guard let repository = repositoryDirectory, Places.overlap(path, repository) else { return }
    throw UsageError(
      "\(path) and the repository \(repository) lie in each other: choose another place",
      command: arguments.command.name)
  }

  /// Whether another repository is this one, or one of them lies in the other's directory.
  func isSame(as other: Environment) throws -> Bool {
    if let mine = repositoryDirectory, let theirs = other.repositoryDirectory {
      return Places.overlap(mine, theirs)
    }
    guard let mine = try settings(), let theirs = try other.settings() else { return false }
    return (endpoint, mine.bucket, mine.prefix) == (other.endpoint, theirs.bucket, theirs.prefix)
  }

  /// Throws where the second repository is this one.
  func refuse(second other: Environment) throws {
    guard try isSame(as: other) else { return }
    throw UsageError(
      "\(other.configuration.repository ?? "") is the repository itself, or lies in it: name another",
      command: arguments.command.name)
  }

  /// Where the credentials for a server come from. Who names variables or a profile means these and no others.
  func credentials(for settings: S3Settings) throws(UsageError) -> any CredentialsProvider {
    let surroundings = CredentialsSurroundings(variables: variables)
    let named = (configuration.accessKeyVariable, configuration.secretKeyVariable)
    guard (named.0 == nil) == (named.1 == nil) else {
      throw UsageError(
        "access_key_variable and secret_key_variable go together, and the configuration file has one of them")
    }
    if let access = named.0, let secret = named.1 {
      return RenewingCredentials(
        EnvironmentCredentials(
          environment: variables, accessKey: access, secretKey: secret,
          sessionToken: configuration.sessionTokenVariable))
    }
    if let profile = configuration.profile {
      return RenewingCredentials(
        ProfileCredentials(profile: profile, region: settings.region, surroundings))
    }
    return RenewingCredentials(
      CredentialsChain.standard(for: settings.cloud, region: settings.region, surroundings))
  }

  private var cacheRoot: String? {
    if let cache = configuration.cache { return cache }
    if let base = variables["XDG_CACHE_HOME"], base.hasPrefix("/") { return "\(base)/ckbackup" }
    return variables["HOME"].map { "\($0)/.cache/ckbackup" }
  }
}

/// What was wrong with a repository that another option than `--repo` names.
struct SecondPlaceError: Error {
  let error: any Error
  /// The option with its dashes.
  let option: String
  /// What was given for it.
  let place: String
}

extension Arguments {
  /// Whether a second repository is named that is a bucket.
  fileprivate var namesSecondBucket: Bool {
    ["to", "from"].contains { strings($0).contains { $0.hasPrefix("s3://") } }
  }
}
