/// An option that a command takes, as its help shows it.
struct OptionSpec: Sendable {
  /// The name without dashes, for example `keep-last`.
  let name: String
  /// What its value is called, or nil for a flag without one.
  let value: String?
  /// Whether the value may be left out.
  let isValueOptional: Bool
  /// One sentence.
  let help: String
  /// Whether it may be given several times.
  let repeats: Bool

  /// A flag without a value.
  init(_ name: String, _ help: String) {
    self.name = name
    value = nil
    isValueOptional = false
    self.help = help
    repeats = false
  }

  /// An option with a value.
  init(_ name: String, _ value: String, repeats: Bool = false, _ help: String) {
    self.name = name
    self.value = value
    isValueOptional = false
    self.repeats = repeats
    self.help = help
  }

  /// An option whose value, a time, may be left out: `--name`, `--name 10m` or `--name=10m`.
  init(_ name: String, orTime value: String, _ help: String) {
    self.name = name
    self.value = value
    isValueOptional = true
    self.help = help
    repeats = false
  }
}

/// A command as its help shows it.
struct CommandSpec: Sendable {
  /// The word after `ckbackup`.
  let name: String
  /// What it does, in one line.
  let summary: String
  /// Its operands, for example `SNAPSHOT TARGET`; empty where it takes none.
  var operands = ""
  /// How many operands it takes.
  var operandCount = 0...0
  /// Its own options; the common ones are added.
  var options: [OptionSpec] = []
  /// More about it: paragraphs.
  var details = ""
  /// Command lines that show how it is used.
  var examples: [String] = []
  /// What is kept when it is interrupted, and what running it again does: one sentence.
  var whenInterrupted = "run the same command again"
  /// Whether an operand may begin with `-`: `tag` removes a label by `-LABEL`.
  var takesDashedOperands = false

  /// The options that every command takes.
  static let common: [OptionSpec] = [
    OptionSpec(
      "repo", "URL", "The repository: s3://BUCKET/PREFIX, a directory, or a name of the configuration."),
    OptionSpec("endpoint", "URL", "The S3 server, for example https://minio.example:9000."),
    OptionSpec("region", "NAME", "The S3 region, for example us-east-1."),
    OptionSpec("profile", "NAME", "The profile of ~/.aws/credentials and ~/.aws/config to use."),
    OptionSpec("ca-file", "FILE", "Certificates (PEM) to trust instead of the system's."),
    OptionSpec("config", "FILE", "The configuration file."),
    OptionSpec("memory", "SIZE", "The most memory to use, for example 512MiB."),
    OptionSpec("threads", "N", "How many threads make digests; 0 for one a processor."),
    OptionSpec("limit-upload", "RATE", "The most bytes to send in a second, for example 20MiB."),
    OptionSpec("limit-download", "RATE", "The most bytes to receive in a second."),
    OptionSpec("json", "Print one JSON document to standard output."),
    OptionSpec("quiet", "Print errors and warnings only."),
    OptionSpec("progress", "HOW", "auto, live, plain or none: how progress is shown on standard error."),
    OptionSpec("help", "Show this help."),
  ]

  var allOptions: [OptionSpec] { options + Self.common }
}
