import Engine
import ObjectStore

/// Everything that can be set: defaults, then the file, then the environment, then flags, each beating the one before.
package struct Configuration: Sendable {
  /// The repository: an `s3://` URL, a `file://` URL or a path.
  package var repository: String?
  /// The repository's name in the file, where it was chosen by that.
  var name: String?
  /// What the file's tables `[repositories.NAME]` say, by name.
  var repositories: [String: [NamedSetting]] = [:]
  /// The S3 server; nil for Amazon's of the region.
  var endpoint: String?
  /// The region that requests are signed for; nil for the one that the endpoint's name tells, the profile's, or
  /// else us-east-1.
  var region: String?
  var addressing = S3Settings.Addressing.auto
  var signPayload = false
  var caFile: String?
  var verifyTLS = true
  /// Files with the certificate and the key that prove to the server who this is.
  var clientCertificate: String?
  var clientKey: String?
  /// How the server encrypts, by which key of KMS, or the file of a key that only its owner keeps.
  var encryption: ServerEncryption?
  var kmsKeyID: String?
  var customerKeyFile: String?
  /// The storage class of packs; nil for the bucket's usual one.
  var storageClass: String?
  var requesterPays = false
  /// The profile of `~/.aws/credentials` and `~/.aws/config`.
  var profile: String?
  /// Names of the environment variables that hold credentials of this repository alone.
  var accessKeyVariable: String?
  var secretKeyVariable: String?
  var sessionTokenVariable: String?
  /// Requests at once.
  var connections = 8
  /// Bytes a second at most in each direction; nil for as many as go.
  var uploadLimit: Int?
  var downloadLimit: Int?
  /// Bytes of memory at most.
  var memory = 512 << 20
  /// Threads that make digests; 0 for one a processor.
  var threads = 0
  /// Bytes of a pack.
  var packSize = 1 << 30
  /// Where local caches are; nil for `$XDG_CACHE_HOME/ckbackup` or `~/.cache/ckbackup`.
  var cache: String?
  /// The run that pushes go to.
  var run: String?
  /// Whether a push records code, machine, variables and packages.
  var recordsEnvironment = true
  /// What `RUN@best` compares by.
  var best = Ranking()
  /// How long a prune waits before it removes what it condemned, in seconds.
  var grace = 86_400.0
  /// What `prune` keeps where no flag says it.
  var policy = RetentionPolicy()

  /// The metrics that snapshots are compared by.
  var comparedMetrics: Set<String> {
    Set(([best] + policy.best.map(\.ranking)).compactMap(\.metric))
  }

  /// The names of the variables that hold the credentials, by their keys in the file.
  var credentialVariables: [(key: String, name: String)] {
    [
      ("access_key_variable", accessKeyVariable), ("secret_key_variable", secretKeyVariable),
      ("session_token_variable", sessionTokenVariable),
    ].compactMap { key, name in name.map { (key, $0) } }
  }

  /// The defaults.
  package init() {}
}
