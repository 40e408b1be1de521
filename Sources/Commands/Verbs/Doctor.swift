/// `ckbackup doctor`
enum DoctorCommand: Command {
  static let spec = CommandSpec(
    name: "doctor", summary: "Try everything that a repository's place must offer, and say what to change.",
    options: [
      OptionSpec(
        "for", "COMMAND", repeats: true,
        "push, restore, verify or prune: what must be allowed; all but prune by default."),
      OptionSpec("no-throughput", "Do not measure the speed of uploads and downloads."),
    ],
    details: """
      Configuration, network, certificate, clock, credentials, addressing, region, bucket, permissions and the store's behaviour, each
      on a line of its own; then a verdict and the lines to change. It stores some objects below doctor/ and removes them.
      Exit codes: 0 all that is needed works, 5 the credentials were refused, or something that they must be allowed to do; 1 anything
      else.
      """,
    examples: [
      "ckbackup doctor", "ckbackup doctor --repo s3://backups/llama --endpoint https://minio.example:9000",
      "ckbackup doctor --for restore --no-throughput", "ckbackup doctor --json",
    ],
    whenInterrupted: "what it stored is removed")

  static func run(_ environment: Environment) async throws -> ExitCode {
    let wanted = environment.arguments.strings("for")
    if let other = wanted.first(where: { name in !CommandNeeds.all.contains { $0.name == name } }) {
      throw UsageError("--for takes push, restore, verify or prune, not \(other)", command: spec.name)
    }
    var examination = Examination(environment)
    try await examination.run()
    let report = examination.report
    let code = report.failure ?? .done
    report.conclude(file: environment.configurationFile) { environment.origin(of: $0) }
    try environment.console.json(
      DoctorDocument(
        report, repository: environment.configuration.repository ?? "",
        endpoint: try environment.settings()?.endpointURL, file: environment.configurationFile, code: code))
    if let cause = report.cause {
      Console.write("error: ckbackup does not work with this place: see \(cause.name)\n", to: 2)
    }
    return code
  }
}
