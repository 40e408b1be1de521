import Engine
import FoundationEssentials
import Glibc
import Platform

/// The program: finds the command, runs it, and is the only owner of the exit code.
public enum CommandLine {
  static let version = "0.1.0"
  static let commands: [any Command.Type] = [
    InitCommand.self, PushCommand.self, ListCommand.self, ShowCommand.self, DiffCommand.self,
    VerifyCommand.self, RestoreCommand.self, ResumeCommand.self, ExportCommand.self,
    CopyCommand.self, RepairCommand.self, PruneCommand.self, CheckCommand.self, TagCommand.self,
    RemoveCommand.self, LifecycleCommand.self, DoctorCommand.self,
  ]

  static let specs = commands.map { $0.spec }

  /// Runs the words after the program's name in an environment and gives the exit code.
  public static func run(_ words: [String], variables: [String: String]) async -> Int32 {
    // A reader that goes away must not end the program in mid-push.
    signal(SIGPIPE, SIG_IGN)
    do {
      let code = try await dispatch(words, variables)
      if let failure = Console.failure { throw failure }
      return code.rawValue
    } catch {
      let text = ErrorText(error)
      if words.contains("--json") {
        let document = ErrorDocument(error: text.sentences, exitCode: text.code.rawValue)
        if let json = try? Console.encode(document) { Console.write(json + "\n", to: STDOUT_FILENO) }
      }
      for sentence in text.sentences {
        Console.write("error: \(Console.clean(sentence))\n", to: STDERR_FILENO)
      }
      return text.code.rawValue
    }
  }

  private struct ErrorDocument: Encodable {
    let error: [String]
    let exitCode: Int32
  }

  private static func dispatch(_ words: [String], _ variables: [String: String]) async throws -> ExitCode {
    let words = commandFirst(words)
    guard let name = words.first else {
      Console.write(Help.overview, to: STDERR_FILENO)
      return .wrongUse
    }
    switch name {
    case "--version", "version":
      Console.write("ckbackup \(version)\n", to: STDOUT_FILENO)
      return .done
    case "--help", "-h", "help":
      let topic = specs.first { $0.name == words.dropFirst().first }
      Console.write(topic.map(Help.text) ?? Help.overview, to: STDOUT_FILENO)
      return .done
    default: break
    }
    guard let index = specs.firstIndex(where: { $0.name == name }) else {
      let near = nearest(name, among: specs.map(\.name)).map { "; did you mean \($0)?" } ?? ""
      throw UsageError("there is no command \(name)\(near)")
    }
    let arguments = try Arguments(Array(words.dropFirst()), for: specs[index])
    if arguments.has("help") {
      Console.write(Help.text(for: specs[index]), to: STDOUT_FILENO)
      return .done
    }
    return try await run(commands[index], Environment(arguments, variables: variables))
  }

  /// The words with the command in front of the options that every command takes: `--repo R list` is `list --repo R`.
  private static func commandFirst(_ words: [String]) -> [String] {
    var index = 0
    while index < words.count, words[index].hasPrefix("--") {
      let name = words[index].dropFirst(2)
      guard let option = CommandSpec.common.first(where: { name == $0.name || name.hasPrefix($0.name + "=") })
      else { return words }
      index += option.value != nil && name == option.name ? 2 : 1
    }
    guard index > 0, index < words.count else { return words }
    return [words[index]] + words[..<index] + words[(index + 1)...]
  }

  private static func run(_ command: any Command.Type, _ environment: Environment) async throws -> ExitCode {
    // Whoever is asked on the terminal must not have the question wiped away.
    let asks = environment.arguments.has("interactive")
    let how = asks ? "none" : environment.arguments.string("progress") ?? "auto"
    guard let display = ProgressDisplay(environment.progress, how: how, isQuiet: environment.console.isQuiet)
    else {
      throw UsageError("--progress takes auto, live, plain or none, not \(how)", command: command.spec.name)
    }
    do {
      return try await Interruption.cancelling {
        try await display.during { try await command.run(environment) }
      }
    } catch is CancellationError {
      throw InterruptedError(rest: command.spec.whenInterrupted)
    }
  }
}
