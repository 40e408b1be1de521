import Glibc
import ObjectStore
import Repository

/// `ckbackup init --interactive`: from questions to a repository and a configuration file that tells of it.
struct InitQuestions: Sendable {
  private let base: Environment
  private let terminal: Terminal
  private let chunkSize: Int

  /// Questions on a terminal about a repository with chunks of a size; what an environment says already is offered.
  init(_ environment: Environment, _ terminal: Terminal, chunkSize: Int) {
    base = environment
    self.terminal = terminal
    self.chunkSize = chunkSize
  }

  /// Asks, tries, makes and writes. Throws `CancellationError` where the answers end.
  func run() async throws -> ExitCode {
    terminal.say("Where shall checkpoints go? Enter takes what stands in [brackets], Ctrl-C leaves.")
    while true {
      do {
        let draft = try await place()
        let environment = base.with(draft.apply)
        var chosen = draft
        if draft.kind != .directory { chosen.profile = try await profile(environment) }
        if chosen.profile == nil { chosen.variables = base.configuration.credentialVariables }
        guard try await make(base.with(chosen.apply)) else { continue }
        try await write(chosen)
        return .done
      } catch is CancellationError {
        throw CancellationError()
      } catch {
        for sentence in ErrorText(error).sentences { terminal.say("error: \(sentence)") }
        guard try await terminal.confirm("Begin again?", usual: true) else { throw error }
      }
    }
  }

  /// Asks where the repository shall be.
  private func place() async throws -> InitDraft {
    let kinds: [InitDraft.Kind] = [.amazon, .other, .alibaba, .directory]
    let kind = kinds[
      try await terminal.choose(
        "Kind of store",
        ["AWS S3", "MinIO or another S3 server", "Alibaba Cloud OSS", "a directory: a NAS or a disk"])]
    var draft = InitDraft(kind: kind)
    let known = base.configuration
    switch kind {
    case .directory:
      draft.repository = try await terminal.ask("Directory", usual: base.repositoryDirectory)
      return draft
    case .amazon:
      draft.region = try await terminal.ask("Region of the bucket", usual: known.region ?? "us-east-1")
    case .alibaba:
      let region = try await terminal.ask("Region", usual: "cn-hangzhou")
      terminal.say("  (on an ECS instance of that region: https://s3.oss-\(region)-internal.aliyuncs.com)")
      draft.region = region
      draft.endpoint = try await terminal.ask("Endpoint", usual: "https://s3.oss-\(region).aliyuncs.com")
    case .other:
      let endpoint = try await terminal.ask(
        "Endpoint, for example https://minio.example:9000", usual: known.endpoint)
      draft.endpoint = endpoint
      draft.region = try await terminal.ask("Region", usual: known.region ?? "us-east-1")
      if endpoint.hasPrefix("https://") {
        let file = try await terminal.ask(
          "File with its authority's certificate, where the system does not trust it",
          usual: known.caFile ?? "")
        draft.caFile = file.isEmpty ? nil : file
      }
    }
    let bucket = try await terminal.ask("Bucket")
    let prefix = try await terminal.ask("Prefix in the bucket", usual: "ckbackup")
    draft.repository = "s3://\(bucket)/\(prefix)"
    // Whatever is wrong with these is said now.
    _ = try base.with(draft.apply).settings()
    return draft
  }

  /// Shows which credentials were found and asks whether they are meant. Gives the profile that was named, nil for the usual places.
  private func profile(_ environment: Environment) async throws -> String? {
    var profile = environment.configuration.profile
    while true {
      let asking = environment.with { configuration in
        guard let profile else { return }
        configuration.clearCredentials()
        configuration.profile = profile
      }
      var isFound = false
      do {
        guard let settings = try asking.settings() else { return profile }
        let provider = try asking.credentials(for: settings)
        let found = try await provider.credentials()
        terminal.say("Credentials: \(found.maskedAccessKey) from \(try await provider.origin())")
        isFound = true
      } catch let error as CredentialsError {
        for sentence in ErrorText(error).sentences { terminal.say(sentence) }
        terminal.say(
          "ckbackup asks for no secret here. In another terminal put them into ~/.aws/credentials (aws configure --profile NAME),",
          "or leave, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and come back; docs/credentials.md names every place."
        )
      }
      let answer = try await terminal.ask(
        isFound
          ? "Enter to use these, or the name of a profile" : "Enter to look again, or the name of a profile",
        usual: "")
      if answer.isEmpty, isFound { return profile }
      if !answer.isEmpty { profile = answer }
    }
  }

  /// Tries the connection and makes the repository; false where the place is to be told anew.
  private func make(_ environment: Environment) async throws -> Bool {
    let store = try environment.store(create: true)
    terminal.say("Trying \(store.name) …")
    do {
      _ = try await store.list("")
    } catch StoreError.noBucket(let bucket) {
      guard try await terminal.confirm("There is no bucket \(bucket). Make it?", usual: true) else {
        return false
      }
      try await InitCommand.createBucket(environment)
    }
    do {
      let info = try await Repository.create(in: store, chunkSize: chunkSize, surroundings: .system)
      terminal.say("created repository \(info.id.prefix(8)) at \(store.name)")
    } catch FormatError.exists {
      return try await terminal.confirm(
        "There is a repository at \(store.name) already. Use it?", usual: true)
    }
    return true
  }

  private func write(_ draft: InitDraft) async throws {
    while true {
      let path = try await terminal.ask("Write the configuration to", usual: "./ckbackup.toml")
      let isThere = access(path, F_OK) == 0
      if isThere {
        guard try await terminal.confirm("\(path) is there already. Replace it?", usual: false) else {
          continue
        }
      }
      do {
        try NewFile.write(draft.document, to: path, replacing: isThere)
      } catch {
        for sentence in ErrorText(error).sentences { terminal.say("error: \(sentence)") }
        continue
      }
      let option = path == "./ckbackup.toml" || path == "ckbackup.toml" ? "" : " --config \(path)"
      terminal.say("wrote \(path). Next: ckbackup push\(option) out/llama-sft/checkpoint-1000")
      return
    }
  }
}
