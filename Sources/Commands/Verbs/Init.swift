import ObjectStore
import Repository

/// `ckbackup init`
enum InitCommand: Command {
  static let spec = CommandSpec(
    name: "init", summary: "Create a repository.",
    options: [
      OptionSpec("create-bucket", "Make the bucket first where there is none."),
      OptionSpec("interactive", "Ask for everything, try it, and write a configuration file."),
      OptionSpec(
        "chunk-size", "SIZE", "Cut files into chunks of at most SIZE: 64KiB to 64MiB, 16MiB by default."),
      OptionSpec(
        "recreate",
        "Write a lost or damaged ckbackup.json anew, with --chunk-size where it was not the default."),
    ],
    details: """
      The place must be empty: a prefix of a bucket, or a directory, which is made (mode 0700) where it does not exist.
      A README and a restore script that needs nothing but Python are put there too.
      --create-bucket makes the bucket in the region of --region with the service's defaults: turn on versioning and set who may read it
      there. --interactive asks on a terminal, never for a secret; it replaces no file without asking.
      """,
    examples: [
      "ckbackup init --interactive",
      "ckbackup init --repo s3://backups/llama --endpoint https://minio.example:9000",
      "ckbackup init --repo s3://backups/llama --region eu-central-1 --create-bucket",
      "ckbackup init --repo /mnt/nas/checkpoints",
    ])

  private struct Result: Encodable {
    let repository: String
    let id: String
    let chunkSize: Int
  }

  static func run(_ environment: Environment) async throws -> ExitCode {
    let arguments = environment.arguments
    let chunkSize = try arguments.bytes("chunk-size") ?? RepositoryInfo.defaultChunkSize
    guard RepositoryInfo.chunkSizes.contains(chunkSize), chunkSize % 4096 == 0 else {
      throw UsageError("--chunk-size takes 64KiB to 64MiB, in whole 4KiB", command: spec.name)
    }
    if arguments.has("interactive") {
      guard !arguments.has("json"), !arguments.has("recreate"), let terminal = Terminal() else {
        throw UsageError(
          "--interactive asks on a terminal: run it on one, without --json and --recreate, or say everything by options",
          command: spec.name)
      }
      return try await InitQuestions(environment, terminal, chunkSize: chunkSize).run()
    }
    let store = try environment.store(create: true)
    if arguments.has("create-bucket") { try await createBucket(environment) }
    let info: RepositoryInfo
    do {
      info = try await Repository.create(
        in: store, chunkSize: chunkSize, surroundings: .system, recreate: arguments.has("recreate"))
    } catch StoreError.noBucket(let name) {
      guard let settings = try environment.settings() else { throw StoreError.noBucket(name: name) }
      let words = (["init", "--create-bucket"] + arguments.words).map(quoted).joined(separator: " ")
      throw Advice(
        text: ErrorText(
          "there is no bucket \(name) at \(settings.server). Check its name and the endpoint, or make it: ckbackup \(words)",
          code: .failed))
    }
    environment.console.show("created repository \(info.id.prefix(8)) at \(store.name)")
    try environment.console.json(Result(repository: store.name, id: info.id, chunkSize: chunkSize))
    return .done
  }

  /// Makes the configuration's bucket where there is none.
  static func createBucket(_ environment: Environment) async throws {
    guard let settings = try environment.settings() else {
      throw UsageError("--create-bucket goes with s3://BUCKET/PREFIX", command: spec.name)
    }
    do {
      let isNew = try await environment.bucketStore(settings).createBucket()
      environment.console.show(
        isNew ? "created bucket \(settings.bucket)" : "there is a bucket \(settings.bucket)")
    } catch StoreError.refused(_, _, _, code: "BucketAlreadyExists", _) {
      throw Advice(
        text: ErrorText(
          "the bucket \(settings.bucket) belongs to somebody else: all users of a service share the names of buckets. Choose another name.",
          code: .failed))
    }
  }

  /// A word as a shell reads it.
  private static func quoted(_ word: String) -> String {
    let isPlain = word.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
      default: "-_./:=,@+".utf8.contains(byte)
      }
    }
    return isPlain && !word.isEmpty
      ? word : "'\(word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''"))'"
  }
}
