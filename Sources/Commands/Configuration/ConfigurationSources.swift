import Engine
import ObjectStore

extension Configuration {
  /// Takes over the environment's variables.
  mutating func adopt(environment: [String: String]) throws(ConfigurationError) {
    func value(_ names: String...) -> String? { names.compactMap { environment[$0] }.first { !$0.isEmpty } }
    adopt(awsVariables: environment)
    endpoint = value("CKBACKUP_ENDPOINT") ?? endpoint
    if let text = value("CKBACKUP_MEMORY") {
      guard let bytes = Quantity.bytes(text), bytes >= Resources.leastMemory else {
        throw .environment(
          variable: "CKBACKUP_MEMORY",
          message: "takes a size of at least \(Quantity.format(bytes: Resources.leastMemory)), not \(text)")
      }
      memory = bytes
    }
  }

  /// Takes over what AWS's tools read. A repository that was chosen by its name is where the file says, and not where the environment
  /// has other tools look: for it the endpoint counts not at all, and the rest where the file says nothing.
  mutating func adopt(awsVariables environment: [String: String]) {
    func value(_ names: String...) -> String? { names.compactMap { environment[$0] }.first { !$0.isEmpty } }
    let (place, bundle) = (value("AWS_REGION", "AWS_DEFAULT_REGION"), value("AWS_CA_BUNDLE"))
    guard name == nil else {
      // An endpoint's name tells its region better than the environment does.
      region = region ?? endpoint.flatMap(S3Settings.region(ofEndpoint:)) ?? place
      caFile = caFile ?? bundle
      return
    }
    let isIgnored = environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]?.lowercased() == "true"
    endpoint = (isIgnored ? nil : value("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")) ?? endpoint
    region = place ?? region
    caFile = bundle ?? caFile
  }

  /// Takes over the flags that every command has.
  mutating func adopt(flags: Arguments) throws(UsageError) {
    caFile = flags.string("ca-file") ?? caFile
    endpoint = flags.string("endpoint") ?? endpoint
    region = flags.string("region") ?? region
    if let named = flags.string("profile") {
      profile = named
      (accessKeyVariable, secretKeyVariable, sessionTokenVariable) = (nil, nil, nil)
    }
    if let bytes = try flags.bytes("memory") {
      guard bytes >= Resources.leastMemory else {
        throw UsageError(
          "--memory takes at least \(Quantity.format(bytes: Resources.leastMemory))",
          command: flags.command.name)
      }
      memory = bytes
    }
    if let count = try flags.integer("threads", atLeast: 0) {
      guard count <= 256 else { throw UsageError("--threads takes at most 256", command: flags.command.name) }
      threads = count
    }
    try adopt(limits: flags)
  }

  /// Takes over the flags that bound what is sent and received, whichever repository it concerns.
  mutating func adopt(limits flags: Arguments) throws(UsageError) {
    uploadLimit = try flags.rate("limit-upload") ?? uploadLimit
    downloadLimit = try flags.rate("limit-download") ?? downloadLimit
  }
}
