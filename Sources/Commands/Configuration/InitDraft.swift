import Glibc
import Platform

/// What `init --interactive` was told, as a configuration and as a file of one.
struct InitDraft: Sendable {
  /// Kinds of store.
  enum Kind: Sendable {
    case amazon, other, alibaba, directory
  }

  let kind: Kind
  var repository = ""
  var endpoint: String?
  var region: String?
  var caFile: String?
  var profile: String?
  /// The names of the variables that hold the credentials, by their keys in the file.
  var variables: [(key: String, name: String)] = []

  /// An empty draft of a kind.
  init(kind: Kind) { self.kind = kind }

  /// Makes a configuration the one that the written file will give, so that nothing is tried or made that the file does not say. Who asks
  /// stays as it is unless a profile was named.
  func apply(_ configuration: inout Configuration) {
    var new = Configuration()
    new.repository = repository
    new.endpoint = endpoint
    new.region = region
    new.caFile = caFile
    new.memory = configuration.memory
    new.profile = profile ?? configuration.profile
    if profile == nil {
      new.accessKeyVariable = configuration.accessKeyVariable
      new.secretKeyVariable = configuration.secretKeyVariable
      new.sessionTokenVariable = configuration.sessionTokenVariable
    }
    configuration = new
  }

  /// A configuration file, each line of which says what it means.
  var document: String {
    var text = """
      # Configuration of ckbackup. config.example.toml explains every setting. It holds no secret.

      # Where the repository is.  [--repo, CKBACKUP_REPO]
      repository = \(quoted(repository))

      """
    func add(_ key: String, _ value: String?, _ meaning: String) {
      if let value { text += "\n# \(meaning)\n\(key) = \(quoted(value))\n" }
    }
    add("endpoint", endpoint, "The S3 server.  [--endpoint, CKBACKUP_ENDPOINT]")
    add("region", region, "The region that requests are signed for.  [--region, AWS_REGION]")
    add("ca_file", caFile, "Certificates that the server's is held to, instead of the system's.  [--ca-file]")
    if kind != .directory {
      add(
        "profile", profile,
        "The profile of ~/.aws/credentials and ~/.aws/config that has the credentials.  [--profile]")
      for (key, name) in variables { add(key, name, "The environment variable that holds it.") }
      if profile == nil, variables.isEmpty {
        text += """

          # Credentials are looked for where AWS's tools look (docs/credentials.md). A profile of ~/.aws would be named here:
          # profile = "backup"

          """
      }
    }
    return text + """

      # What prune keeps; one rule is enough to keep a snapshot. Without them prune refuses.
      # [prune]
      # keep_last = 3
      # keep_best = "2:eval_loss:min"

      """
  }

  /// A text as TOML writes it.
  private func quoted(_ text: String) -> String {
    let inner = text.unicodeScalars.map { scalar in
      switch scalar {
      case "\"", "\\": "\\\(scalar)"
      case _ where scalar.value < 32 || scalar.value == 127:
        "\\u00" + hex([UInt8(scalar.value)])
      default: "\(scalar)"
      }
    }
    return "\"\(inner.joined())\""
  }
}

/// Files that people name, each written whole.
enum NewFile {
  /// Writes a text; a file that stands there is replaced only where that is said. Throws `SystemError`.
  static func write(_ text: String, to path: String, replacing: Bool) throws(SystemError) {
    let temporary = replacing ? "\(path).new" : path
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .last("open", temporary) }
    defer { close(descriptor) }
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        let error = SystemError.last("write", temporary)
        unlink(temporary)
        throw error
      }
      bytes = bytes.dropFirst(count)
    }
    guard replacing else { return }
    guard rename(temporary, path) == 0 else {
      let error = SystemError.last("rename", temporary)
      unlink(temporary)
      throw error
    }
  }
}
