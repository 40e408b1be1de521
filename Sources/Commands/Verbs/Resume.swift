import Checkpoints
import Engine
import Glibc
import Platform
import Repository

/// `ckbackup resume`
enum ResumeCommand: Command {
  static let spec = CommandSpec(
    name: "resume", summary: "Print the newest complete checkpoint of a run, restored where need be.",
    operands: "DIR", operandCount: 1...1,
    options: [
      OptionSpec("run", "NAME", "The run in the repository; by default the one that DIR's path suggests.")
    ] + CommandSpec.thawing,
    details: """
      Standard output has the checkpoint's path and nothing else; warnings go to standard error. Checkpoints in DIR are looked at as
      check does; where the repository has a newer snapshot of the run than the newest that is complete, it is restored into DIR,
      under the name that it had. Nothing is deleted: what stands in the way gets a hidden name. Where no checkpoint is complete
      anywhere, nothing is printed and the exit code is 4. Where the repository cannot be reached, a local checkpoint is used.
      Several callers on one machine are served by one restore. What will not fit here is told as restore does.
      """,
    examples: [
      "ckpt=$(ckbackup resume out --run llama-sft)",
      "python train.py ${ckpt:+--resume_from_checkpoint \"$ckpt\"}",
    ],
    whenInterrupted: "what was restored so far is kept: run the same command again to go on")

  private struct Document: Encodable {
    let path: String
    let step: Int
    let source: String
    let snapshot: String?
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    let directory = arguments.operands[0]
    guard !directory.isEmpty else { throw UsageError("DIR is empty", command: spec.name) }
    let run =
      arguments.string("run") ?? environment.configuration.run
      ?? Place("/" + (Places.components(directory) + ["checkpoint-0"]).joined(separator: "/"), isFile: false)
      .run
    try environment.refuseOverlap(directory)
    let console = environment.console
    let resume = Resume(
      run, in: directory, progress: environment.progress, thaw: try environment.thawWish(),
      willRestore: { snapshot, repository in
        for warning in try await environment.misfits(of: snapshot, .all, in: repository) {
          console.warn(warning.sentence)
        }
      }, notify: { console.warn($0.sentence(in: directory)) })
    let report = try await resume.run {
      let repository = try await environment.repository()
      return (repository, try environment.resources(for: repository))
    }
    if !console.isJSON { Console.write(report.path + "\n", to: STDOUT_FILENO) }
    try console.json(
      Document(
        path: report.path, step: report.step, source: report.snapshot == nil ? "local" : "restored",
        snapshot: report.snapshot?.id))
    return .done
  }
}

extension Resume.Notice {
  /// The words for people.
  fileprivate func sentence(in directory: String) -> String {
    switch self {
    case .ignored(let path, .defect(let sentence)): "\(path) is not used, since it is not whole: \(sentence)"
    case .ignored(let path, .unknownLayout):
      "\(path) is not used: no known layout tells whether it is whole, and no snapshot of the run is the same"
    case .ignored(let path, .saving(let sign)):
      "\(path) is not used: it is still being written (\(sign.words))"
    case .ignored(let path, .weightsOnly): "\(path) is not used: it has weights alone"
    case .ignored(let path, .unreadable(let error)):
      "\(path) is not used, since it cannot be read: \(error.reason)"
    case .offline(let error):
      "the repository cannot be used, so a newer checkpoint there is not known of: \(ErrorText(error).sentences.joined(separator: " "))"
    case .lost(let snapshot, let error):
      "\(snapshot.label) cannot be restored, so an older checkpoint is looked for: \(ErrorText(error).sentences.joined(separator: " "))"
    case .unreadable(let error): ErrorText(error).sentences.joined(separator: " ")
    case .waiting: "another process brings a checkpoint to \(directory); waiting for it"
    case .movedAside(let from, let to): "\(from) was in the way and not complete: it is now \(to)"
    }
  }
}
