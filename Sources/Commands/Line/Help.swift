/// The help texts, made from the commands' specifications.
enum Help {
  /// What `ckbackup` and `ckbackup --help` show.
  static var overview: String {
    let width = CommandLine.specs.map(\.name.count).max() ?? 0
    let commands = CommandLine.specs.map { spec in
      "  \(pad(spec.name, width))  \(spec.summary)"
    }
    return """
      ckbackup \(CommandLine.version): backups of training checkpoints in object storage

      Usage: ckbackup COMMAND [options]

      \(commands.joined(separator: "\n"))

      ckbackup COMMAND --help tells more about each. A snapshot is named RUN@STEP, RUN@latest, RUN@best, RUN@TAG, or by
      the beginning of its id.
      Exit codes: 0 done, 1 failed, 2 wrong use, 3 damage or an incomplete checkpoint, 4 nothing matched, 5 refused by the
      server, 130 interrupted.

      """
  }

  /// What `ckbackup COMMAND --help` shows.
  static func text(for command: CommandSpec) -> String {
    var text = "\(command.summary)\n\nUsage: ckbackup \(command.name)"
    if !command.operands.isEmpty { text += " \(command.operands)" }
    text += " [options]\n"
    if !command.details.isEmpty { text += "\n\(command.details)\n" }
    if !command.options.isEmpty { text += "\nOptions:\n" + list(command.options) }
    text += "\nCommon options:\n" + list(CommandSpec.common)
    if !command.examples.isEmpty {
      text += "\nExamples:\n" + command.examples.map { "  \($0)\n" }.joined()
    }
    return text
  }

  private static func list(_ options: [OptionSpec]) -> String {
    let heads = options.map { option in
      "--\(option.name)" + (option.value.map { option.isValueOptional ? "[=\($0)]" : " \($0)" } ?? "")
    }
    let width = min(28, heads.map(\.count).max() ?? 0)
    return zip(heads, options).map { head, option in
      head.count <= width
        ? "  \(pad(head, width))  \(option.help)\n" : "  \(head)\n  \(pad("", width))  \(option.help)\n"
    }.joined()
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
