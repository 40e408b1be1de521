import Engine
import ObjectStore

/// Everything that can be set: defaults, then the file, then the environment, then flags, each beating the one before.
package struct Configuration: Sendable {
  /// The repository: an `s3://` URL, a `file://` URL or a path.
  package var repository: String?
  /// The S3 server; nil for Amazon's of the region.
  var endpoint: String?
  /// The region that requests are signed for; nil for the profile's, or else us-east-1.
  var region: String?
  var addressing = S3Settings.Addressing.auto
  var signPayload = false
  var caFile: String?
  var verifyTLS = true
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

  /// The defaults.
  package init() {}
}
