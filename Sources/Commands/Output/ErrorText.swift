import Checkpoints
import Engine
import Glibc
import HTTP
import ObjectStore
import Platform
import Repository

/// An error as the user sees it: the one place where errors become words and exit codes.
struct ErrorText: Sendable {
  /// What happened, to what, and what to do: sentences, each on a line of its own.
  let sentences: [String]
  let code: ExitCode

  init(_ sentences: String..., code: ExitCode) {
    self.sentences = sentences
    self.code = code
  }

  private init(lines: [String], code: ExitCode) {
    sentences = lines
    self.code = code
  }

  /// Describes any error that a command throws.
  init(_ error: any Error) {
    switch error {
    case let error as UsageError: self = .usage(error)
    case let error as ConfigurationError: self = .configuration(error)
    case let error as EngineError: self = .engine(error)
    case let error as SecondPlaceError: self = .second(error)
    case let error as FormatError: self = .format(error)
    case let error as StoreError: self = .store(error)
    case let error as LifecycleError: self = .lifecycle(error)
    case let error as CredentialsError: self = .credentials(error)
    case let error as S3Settings.Invalid: self = .settings(error)
    case let error as SystemError: self = .system(error)
    case let error as Advice: self = error.text
    case let error as ExportError: self.init("\(error.sentence)", code: .failed)
    case let error as InterruptedError: self.init("interrupted; \(error.rest)", code: .interrupted)
    case is CancellationError: self.init("interrupted; run the same command again", code: .interrupted)
    default: self.init("\(error)", code: .failed)
    }
  }

  /// Describes an error of a repository that `push --to` names, by its name in the configuration file or by its place.
  init(_ error: any Error, at place: String, isNamed: Bool) {
    var options = Options()
    options.repository = "--to"
    if isNamed {
      options.endpoint = "the endpoint in [repositories.\(place)]"
      options.region = "the region in [repositories.\(place)] to"
    }
    switch error {
    case let error as FormatError: self = .format(error, options)
    case let error as StoreError: self = .store(error, options)
    default: self.init(error)
    }
  }

  private static func usage(_ error: UsageError) -> ErrorText {
    let help = error.command.map { "ckbackup \($0) --help" } ?? "ckbackup --help"
    return ErrorText(
      "\(error.message)\(error.message.hasSuffix("?") ? "" : ".") See \(help).", code: .wrongUse)
  }

  /// The same error with the options that name the second repository instead of those of the first.
  private static func second(_ error: SecondPlaceError) -> ErrorText {
    let option = error.option
    let text =
      switch error.error {
      case let inner as FormatError: ErrorText.format(inner, Options(of: option))
      case let inner as StoreError: ErrorText.store(inner, Options(of: option))
      default: ErrorText(error.error)
      }
    guard let first = text.sentences.first, !first.contains(option) else { return text }
    return ErrorText(
      lines: ["\(option) \(error.place): \(first)"] + text.sentences.dropFirst(), code: text.code)
  }

  /// The options that say where a repository is and how it is reached, as a hint names them.
  private struct Options {
    var repository = "--repo"
    var endpoint = "--endpoint"
    var region = "--region"

    init() {}

    /// A piece of advice with these options instead of those of the first repository.
    func naming(_ advice: String) -> String {
      repository == "--repo"
        ? advice
        : advice.replacing("--repo", with: repository).replacing("--endpoint", with: endpoint)
          .replacing("--region to", with: region)
    }

    /// Those of a second repository, which `option` names.
    init(of option: String) {
      repository = option
      endpoint = "the endpoint in \(option)-config"
      region = "the region in \(option)-config to"
    }
  }

  private static func configuration(_ error: ConfigurationError) -> ErrorText {
    switch error {
    case .unreadable(let error):
      ErrorText("the configuration file \(error.path) cannot be read: \(error.reason)", code: .wrongUse)
    case .invalid(let file, let line, let message):
      ErrorText("\(file), line \(line): \(message)", code: .wrongUse)
    case .environment(let variable, let message): ErrorText("\(variable) \(message)", code: .wrongUse)
    }
  }

  private static func engine(_ error: EngineError) -> ErrorText {
    switch error {
    case .incomplete(let path, let defects):
      return ErrorText(
        lines: defects + [
          "\(path) is not a complete checkpoint, so nothing was pushed. Push an earlier step, or pass --allow-incomplete."
        ], code: .damage)
    case .stillBeingWritten(let path, let defects, let sign):
      return ErrorText(
        lines: defects + [
          "\(path) is still being written (\(sign.words)); wait for the save to end or pass --wait. Nothing was pushed."
        ], code: .damage)
    case .nameInUse(let path, let sign):
      return ErrorText(
        "\(path) is still being written (\(sign.words)), and the snapshot to go on from has its name: wait for that process, or end it.",
        code: .damage)
    case .skipped(let path, let entries):
      return ErrorText(
        lines: entries + ["\(path) has entries that cannot be kept, and --strict was given."], code: .failed)
    case .changedWhileRead(let path):
      return ErrorText(
        "\(path) changed while it was read: the save is not finished, or something writes to it. Push again when it is.",
        code: .failed)
    case .vanished(let path):
      return ErrorText(
        "\(path) disappeared while it was read: the checkpoint was rotated away, which is no damage. Take another step.",
        code: .failed)
    case .nothingToPush(let path): return ErrorText("\(path) holds no file to push", code: .failed)
    case .notJSON(let path):
      return ErrorText(
        "\(path) is called JSON and is none, so that secrets in it cannot be found: mend it, or give it another name to keep it as it is. Nothing was pushed.",
        code: .wrongUse)
    case .tooLargeForRecord(let path, let size, let limit):
      return ErrorText(
        "\(path) has \(Quantity.format(bytes: size)), and a file of the archive record may have \(Quantity.format(bytes: limit)). Nothing was pushed.",
        code: .failed)
    case .cannotLock(let place):
      return ErrorText(
        "\(place) has no object lock, so --lock-for cannot be kept and nothing was pushed. Make a bucket with object lock, or push without it.",
        code: .wrongUse)
    case .notLocked(let snapshot, let locked, let failures):
      let keys = failures.keys.sorted()
      let why = keys.first.flatMap { failures[$0] }.map { store($0).sentences } ?? []
      return ErrorText(
        lines: [
          "\(snapshot) is pushed and whole, but not all of it is locked: \(Quantity.count(locked, "object")) of \(locked + keys.count) are."
        ] + keys.prefix(100).map { "  not locked: \($0)" }
          + (keys.count > 100 ? ["  and \(keys.count - 100) more"] : []) + why + [
            "The same push, run again, locks the rest."
          ],
        code: failures.values.contains { if case .denied = $0 { true } else { false } } ? .refused : .failed)
    case .badRun(let run):
      return ErrorText(
        "\(run.debugDescription) cannot be a run's name: it takes 1 to \(ObjectKey.longestRun) characters, of other alphabets fewer (200 bytes when percent-encoded), and no control characters. Give another with --run.",
        code: .wrongUse)
    case .notFound(let address, let hint):
      return ErrorText("there is no snapshot \(address): \(hint)", code: .nothingMatched)
    case .ambiguous(let address, let ids):
      return ErrorText(
        "\(address) means \(ids.count) snapshots: \(ids.joined(separator: ", ")). Name one by \(address.contains("@") ? "its id" : "RUN@STEP").",
        code: .wrongUse)
    case .badAddress(let text):
      return ErrorText(
        "\(text.debugDescription) names no snapshot: write \(text.contains("@") || text.isEmpty ? "" : "\(text)@latest, ")RUN@STEP, RUN@latest, RUN@best, RUN@TAG, or 4 or more digits of an id",
        code: .wrongUse)
    case .damaged(let damages):
      return ErrorText(lines: damages.flatMap(\.sentences) + Damage.cure(of: damages), code: .damage)
    case .frozen(let report): return ErrorText(report.sentence, code: .failed)
    case .targetExists(let path):
      return ErrorText(
        "\(path) is there already. Choose another target (restore also takes --overwrite).", code: .failed)
    case .badTarget(let path):
      return ErrorText(
        "\(path.debugDescription) cannot be a target: name a directory or file to make, for example ./restored",
        code: .wrongUse)
    case .targetIsMountPoint(let path):
      return ErrorText(
        "\(path) is a mount point, and nothing can be renamed to it: restore to a directory in it, for example \(path)/restored",
        code: .failed)
    case .targetBusy(let path):
      return ErrorText(
        "another restore is working on \(path). Wait for it, or choose another target.", code: .failed)
    case .noRoom(let path, let needed, let free):
      return ErrorText(
        "\(path) needs \(Quantity.format(bytes: needed)), and its file system has \(Quantity.format(bytes: free)) free. Nothing was written.",
        code: .failed)
    case .noSuchRank(let rank, let worldSize):
      return ErrorText(
        "the snapshot has files of \(Quantity.count(worldSize, "rank")), counted from 0, and --rank is \(rank). Give \(worldSize == 1 ? "0" : "one from 0 to \(worldSize - 1)").",
        code: .wrongUse)
    case .nothingSelected:
      return ErrorText(
        "no file of the snapshot is selected; ckbackup show --files lists them", code: .nothingMatched)
    case .nothingToResume(let directory, let run, let hint):
      return ErrorText(
        "there is no complete checkpoint in \(directory), nor one of the run \(run) in the repository: \(hint)",
        code: .nothingMatched)
    case .unfit(let warnings):
      return ErrorText(
        lines: warnings.map(\.sentence) + ["Nothing was fetched, since --strict was given."], code: .failed)
    case .ranksDisagree(let path, let ranks):
      let who = ranks.map(String.init).joined(separator: " and ")
      return ErrorText(
        "ranks \(who) have different content in \(path), so they do not belong to one save; push again from one save, or name it with --group",
        code: .damage)
    case .keptCondemned:
      return ErrorText(
        "packs that this command relied on disappeared again and again: a prune is running with too short a grace period. Run it again.",
        code: .failed)
    case .chunksTooLong(let size, let limit):
      return ErrorText(
        "the target takes chunks of \(Quantity.format(bytes: limit)) at most, and the source has up to \(Quantity.format(bytes: size)). Copy to a repository that was made with ckbackup init --chunk-size \(Quantity.format(bytes: size).filter { $0 != " " }).",
        code: .wrongUse)
    case .unsafeToDelete(let reason):
      return ErrorText(
        "nothing was deleted: \(reason). While that is so nobody knows what is still needed. Run ckbackup verify.",
        code: .damage)
    case .shortListing(let key):
      return ErrorText(
        "a listing of the store lacks \(key), which is there: it may lack more, so nothing else was deleted. Run the command again; if that stays so, the store or what stands before it loses keys of listings.",
        code: .failed)
    }
  }

  private static func format(_ error: FormatError, _ options: Options = Options()) -> ErrorText {
    switch error {
    case .noRepository(let place):
      ErrorText(
        "there is no repository at \(place). Create one with ckbackup init, or check \(options.repository).",
        code: .failed)
    case .occupied(let place, let example):
      ErrorText(
        "\(place) is not empty: it holds \(example.debugDescription), for example. Choose a prefix or directory of its own.",
        code: .failed)
    case .exists(let place): ErrorText("there is a repository at \(place) already", code: .failed)
    case .newerFormat(let object, let format):
      ErrorText(
        "\(object) has format \(format), and this ckbackup knows formats up to \(repositoryFormat). Use a newer ckbackup.",
        code: .failed)
    case .missing(ObjectKey.repository), .invalid(ObjectKey.repository, _):
      ErrorText(
        "\(ObjectKey.repository) is missing or damaged, and everything else may be whole. Write it anew with ckbackup init --recreate.",
        code: .damage)
    case .digestMismatch(let object):
      damage(object, "is damaged: its bytes do not match its digest")
    case .missing(let object):
      damage(object, "is missing from the repository")
    case .invalid(let object, let detail):
      damage(object, "cannot be used: \(detail)")
    case .tooLarge(let object, let detail):
      ErrorText("\(object) was not written, since nothing could read it again: \(detail)", code: .failed)
    }
  }

  private static func damage(_ object: String, _ fault: String) -> ErrorText {
    ErrorText(lines: ["\(object) \(fault)"] + Damage.cure([object]), code: .damage)
  }

  /// `tried` follows the reason: how often and how long it was tried.
  private static func store(_ error: StoreError, _ options: Options = Options(), tried: String = "")
    -> ErrorText
  {
    switch error {
    case .gaveUp(let error, let tries, let seconds):
      let times = tries == 1 ? "once" : "\(tries) times"
      return store(error, options, tried: ", tried \(times) in \(Quantity.format(seconds: seconds))")
    case .missing(let key):
      return ErrorText("the object \(key) is missing from the repository", code: .damage)
    case .tooLarge(let key, let limit):
      return ErrorText(
        "the object \(key) is larger than the \(Quantity.format(bytes: limit)) that it may have",
        code: .damage)
    case .short(let key, let expected, let received):
      return ErrorText("the object \(key) ended after \(received) of \(expected) bytes", code: .damage)
    case .unreachable(let endpoint, let reason):
      return ErrorText(
        "\(endpoint) cannot be reached: \(clause(reason))\(tried). \(cure(ofSilence: reason, endpoint))",
        code: .failed)
    case .untrusted(let endpoint, let reason):
      return ErrorText(
        "\(endpoint) was not spoken to: \(clause(reason)). \(CertificateText.cure(of: reason)).",
        code: .failed)
    case .credentials(let code, let message):
      let advice = ServerAdvice(code: code, words: message)
      return ErrorText(
        "the server refused the credentials (\(code)): \(said(message, advice)). \(options.naming(advice?.cure ?? "Check the access key, the secret key and the session token."))",
        code: .refused)
    case .denied(let operation, let key, let message):
      let advice = ServerAdvice(code: "AccessDenied", words: message)
      return ErrorText(
        "the credentials may not \(words(for: operation)) \(key): \(said(message, advice)). \(options.naming(advice?.cure ?? "Ask for that permission, or use other credentials."))",
        code: .refused)
    case .noBucket(let name):
      return name.contains("/") || name.hasPrefix(".")
        ? ErrorText(
          "there is no repository at \(name): no such directory. Create it with ckbackup init, or check \(options.repository).",
          code: .failed)
        : ErrorText(
          "there is no bucket \(name) at this endpoint. Create the bucket first, or check \(options.repository) and \(options.endpoint).",
          code: .failed)
    case .clockSkew(let seconds):
      let words =
        "this machine's clock is \(Quantity.format(seconds: Double(abs(seconds)))) \(seconds > 0 ? "ahead of" : "behind") the server's"
      return ErrorText(
        "\(words), and the server refuses requests signed at that time. Set the clock.", code: .refused)
    case .wrongRegion(let expected):
      return ErrorText(
        "the bucket is in region \(expected). Set \(options.region) \(expected).", code: .failed)
    case .notS3(let endpoint, let detail):
      return ErrorText(
        "\(endpoint) does not answer as an S3 server does: \(detail). Check \(options.endpoint), and whether a proxy or a sign-in page of the network answers in its place.",
        code: .failed)
    case .transient(let operation, let detail, _):
      return ErrorText(
        "the server kept failing at \(operation): \(clause(detail))\(tried). What was finished is kept; run the same command again to go on.",
        code: .failed)
    case .corruptedInTransit(let key):
      return ErrorText(
        "the bytes of \(key) arrived changed at the server\(tried): check the network and this machine's memory",
        code: .failed)
    case .noUpload(let key):
      return ErrorText("the server has lost the upload of \(key). Run the same command again.", code: .failed)
    case .full(let detail):
      return ErrorText(
        "the store is full: \(clause(detail)). Free space or raise the quota, then run the same command again.",
        code: .failed)
    case .refused(let operation, let key, let status, let code, let message):
      let advice = ServerAdvice(code: code, words: message)
      let sentence =
        "the server refused to \(words(for: operation)) \(key): \(code) (\(status)), \(said(message, advice))."
      return ErrorText(
        advice.map { "\(sentence) \(options.naming($0.cure))" } ?? sentence,
        code: status == 401 || status == 403 ? .refused : .failed)
    case .partial(let failures):
      let example = failures.min { $0.key < $1.key }.map { "\($0.key): \($0.value)" } ?? ""
      return ErrorText(
        "\(failures.count) objects could not be deleted, for example \(example)", code: .failed)
    case .system(let error): return system(error)
    case .unsupported(let operation):
      return ErrorText(
        "this server does not know how to \(words(for: operation)), which is needed here. Check \(options.endpoint); docs/stores.md lists servers that do.",
        code: .failed)
    }
  }

  /// What goes wrong with a store while requests are tried again, in a few words.
  static func trouble(_ error: StoreError) -> String {
    switch error {
    case .unreachable(let endpoint, let reason): "\(endpoint) cannot be reached (\(clause(reason)))"
    case .transient(let operation, let detail, _): "the server fails at \(operation) (\(clause(detail)))"
    case .corruptedInTransit(let key): "the bytes of \(key) arrived changed"
    default: store(error).sentences.first ?? ""
    }
  }

  private static func lifecycle(_ error: LifecycleError) -> ErrorText {
    switch error {
    case .unsupported(let answer):
      ErrorText(
        "this server has no lifecycle rules (\(clause(answer))), so nothing was set: prune ends unfinished uploads.",
        code: .failed)
    case .changed:
      ErrorText(
        "somebody changed the bucket's rules meanwhile, so nothing was written. Run the same command again.",
        code: .failed)
    }
  }

  private static func credentials(_ error: CredentialsError) -> ErrorText {
    switch error {
    case .missing(let looked):
      ErrorText(
        "no credentials were found; looked at \(looked.joined(separator: ", ")). Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what docs/credentials.md names.",
        code: .refused)
    case .incomplete(let place, let lacking):
      ErrorText(
        "half of the credentials is missing from \(place): \(lacking) is not there or empty. Set it.",
        code: .refused)
    case .unreadable(let path, let reason):
      ErrorText(
        "\(path), which credentials depend on, cannot be read: \(reason). Check the file and who may read it.",
        code: .refused)
    case .failed(let place, let reason, let cure):
      ErrorText("no credentials from \(place): \(reason). \(cure).", code: .refused)
    }
  }

  private static func settings(_ error: S3Settings.Invalid) -> ErrorText {
    switch error {
    case .endpoint(let text):
      ErrorText(
        "\(withoutCredentials(text).debugDescription) is no endpoint: it must be http[s]://HOST[:PORT]",
        code: .wrongUse)
    case .bucket(let text):
      ErrorText(
        "\(text.debugDescription) is no bucket's name; a repository is s3://BUCKET/PREFIX", code: .wrongUse)
    case .prefix(let text):
      ErrorText("\(text.debugDescription) is no prefix; a repository is s3://BUCKET/PREFIX", code: .wrongUse)
    case .region(let text): ErrorText("\(text.debugDescription) is no region's name", code: .wrongUse)
    case .directoryBucket(let bucket):
      ErrorText(
        "\(bucket) is a directory bucket of S3 Express One Zone, which ckbackup cannot use: take a general purpose bucket",
        code: .wrongUse)
    case .customerKeyWithoutTLS(let endpoint):
      ErrorText(
        "sse_customer_key_file needs an https:// endpoint: \(endpoint) would get the key in clear",
        code: .wrongUse)
    }
  }

  /// What to do about a server that cannot be reached.
  private static func cure(ofSilence reason: String, _ endpoint: String) -> String {
    if reason.contains("wrong version number") { return "It speaks plain HTTP: try http://." }
    let host = endpoint.split(separator: "/").last?.split(separator: ":").first ?? ""
    return reason.contains("resolve") && reason.contains(".\(host)")
      ? "The bucket stands in the host's name: set addressing = \"path\" where the server does not ask for that, or check the bucket's name."
      : "Check the endpoint and the network."
  }

  /// What a refusal means and the server's own words, of which either may be missing.
  private static func said(_ message: String, _ advice: ServerAdvice?) -> String {
    let parts = [advice?.cause ?? "", String(clause(message))].filter { !$0.isEmpty }
    return parts.isEmpty ? "it does not say why" : parts.count == 1 ? parts[0] : "\(parts[0]) (\(parts[1]))"
  }

  /// What a request does, as a person says it.
  private static func words(for operation: String) -> String {
    [
      "put": "write", "get": "read", "head": "read", "uploadPart": "write", "beginMultipart": "write",
      "complete": "write", "copyPart": "copy", "lifecycle": "read the lifecycle rules of",
      "setLifecycle": "change the lifecycle rules of", "thaw": "bring back from the archive",
      "listUploads": "list uploads of",
      "abort": "end the upload of",
      "retention": "read the lock of",
    ][
      operation] ?? operation
  }

  /// A server's sentence without its full stop, to be put into one of ours.
  private static func clause(_ text: String) -> Substring {
    text.prefix(text.count - text.reversed().prefix { $0 == "." || $0 == " " }.count)
  }

  private static func system(_ error: SystemError) -> ErrorText {
    if error.isNoSpace {
      return ErrorText(
        "the disk is full at \(error.path). Free space, then run the same command again to go on.",
        code: .failed)
    }
    if error.operation == "open", error.code == EINVAL {
      return ErrorText("\(error.path) is neither a file nor a directory that can be read", code: .failed)
    }
    return ErrorText("cannot \(error.operation) \(error.path): \(error.reason)", code: .failed)
  }
}
