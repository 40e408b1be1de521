import Repository

/// `ckbackup init`
enum InitCommand: Command {
  static let spec = CommandSpec(
    name: "init", summary: "Create a repository.",
    options: [
      OptionSpec(
        "chunk-size", "SIZE", "Cut files into chunks of at most SIZE: 64KiB to 64MiB, 16MiB by default."),
      OptionSpec(
        "recreate",
        "Write a lost or damaged ckbackup.json anew, with --chunk-size where it was not the default."),
    ],
    details: """
      The place must be empty: a prefix of an existing bucket, or a directory, which is made (mode 0700) where it does not exist.
      A README and a restore script that needs nothing but Python are put there too.
      """,
    examples: [
      "ckbackup init --repo s3://backups/llama --endpoint https://minio.example:9000",
      "ckbackup init --repo /mnt/nas/checkpoints",
    ])

  private struct Result: Encodable {
    let repository: String
    let id: String
    let chunkSize: Int
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let chunkSize = try environment.arguments.bytes("chunk-size") ?? RepositoryInfo.defaultChunkSize
    guard RepositoryInfo.chunkSizes.contains(chunkSize), chunkSize % 4096 == 0 else {
      throw UsageError("--chunk-size takes 64KiB to 64MiB, in whole 4KiB", command: spec.name)
    }
    let store = try environment.store(create: true)
    let info = try await Repository.create(
      in: store, chunkSize: chunkSize, surroundings: .system, recreate: environment.arguments.has("recreate"))
    environment.console.show("created repository \(info.id.prefix(8)) at \(store.name)")
    try environment.console.json(Result(repository: store.name, id: info.id, chunkSize: chunkSize))
    return .done
  }
}
