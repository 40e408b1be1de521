/// One word of `ckbackup WORD`: a file of its own each.
protocol Command: Sendable {
  /// Name, options, help.
  static var spec: CommandSpec { get }

  /// Does the work and gives the exit code. Errors are thrown; whoever runs the command makes their sentences.
  static func run(_ environment: Environment) async throws -> ExitCode
}

/// How the program ends.
enum ExitCode: Int32, Sendable {
  case done = 0
  case failed = 1
  case wrongUse = 2
  /// Damage or an incomplete checkpoint was found.
  case damage = 3
  case nothingMatched = 4
  /// The server refused credentials or permission.
  case refused = 5
  case interrupted = 130
}
