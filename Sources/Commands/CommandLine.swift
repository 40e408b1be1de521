import Engine
import FoundationEssentials
import Glibc
import Platform

/// The program: finds the command, runs it, and is the only owner of the exit code.
public enum CommandLine {
  static let version = "0.1.0"
  static let commands: [any Command.Type] = [
    InitCommand.self, PushCommand.self, ListCommand.self, ShowCommand.self, VerifyCommand.self, RestoreCommand.self,
    PruneCommand.self, CheckCommand.self, TagCommand.self,
  ]

  /// Runs the words after the program's name in an environment and gives the exit code.
  public static func run(_ words: [String], variables: [String: String]) async -> Int32 {
    // A reader that goes away must not end the program in mid-push.
    signal(SIGPIPE, SIG_IGN)
    do {
      return try await dispatch(words, variables).rawValue
    } catch {
      let text = ErrorText(error)
      if words.contains("--json") {
        let document = ErrorDocument(error: text.sentences, exitCode: text.code.rawValue)
        if let json = try? Console.encode(document) { Console.write(json + "\n", to: STDOUT_FILENO) }
      }
      for sentence in text.sentences { Console.write("error: \(Console.clean(sentence))\n", to: STDERR_FILENO) }
      return text.code.rawValue
    }
  }

  private struct ErrorDocument: Encodable {
    let error: [String]
    let exitCode: Int32
  }

  private static func dispatch(_ words: [String], _ variables: [String: String]) async throws -> ExitCode {
    guard let name = words.first else {
      Console.write(Help.overview, to: STDERR_FILENO)
      return .wrongUse
    }
    switch name {
    case "--version", "version":
      Console.write("ckbackup \(version)\n", to: STDOUT_FILENO)
      return .done
    case "--help", "-h", "help":
      let topic = words.dropFirst().first.flatMap { word in commands.first { $0.spec.name == word } }
      Console.write(topic.map { Help.text(for: $0.spec) } ?? Help.overview, to: STDOUT_FILENO)
      return .done
    default: break
    }
    guard let command = commands.first(where: { $0.spec.name == name }) else {
      let near = nearest(name, among: commands.map(\.spec.name)).map { "; did you mean \($0)?" } ?? ""
      throw UsageError("there is no command \(name)\(near)")
    }
    let arguments = try Arguments(Array(words.dropFirst()), for: command.spec)
    if arguments.has("help") {
      Console.write(Help.text(for: command.spec), to: STDOUT_FILENO)
      return .done
    }
    let environment = try Environment(arguments, variables: variables)
    let how = arguments.string("progress") ?? "auto"
    guard let display = ProgressDisplay(environment.progress, how: how, isQuiet: environment.console.isQuiet) else {
      throw UsageError("--progress takes auto, live, plain or none, not \(how)", command: name)
    }
    return try await Interruption.cancelling {
      try await display.during { try await command.run(environment) }
    }
  }
}
