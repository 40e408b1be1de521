import FoundationEssentials
import ObjectStore
import TestSupport
import Testing

@testable import Commands

/// Several repositories in one file.
struct NamedRepositoryTests {
  private static let file = """
    repository = "minio"
    endpoint = "http://top:9000"
    region = "top-1"
    profile = "top"
    sse = "AES256"
    [repositories.minio]
    repository = "s3://b/p"
    endpoint = "http://minio:9000"
    [repositories.oss-hz]
    repository = "s3://c"
    endpoint = "https://s3.oss-cn-hangzhou.aliyuncs.com"
    region = "cn-hangzhou"
    access_key_variable = "A"
    secret_key_variable = "B"
    limit_upload = "1MiB"
    sse = "aws:kms"
    [repositories.nas]
    repository = "/mnt/nas"
    [repositories.empty]
    region = "x"
    """

  private func environment(
    _ words: [String], _ variables: [String: String] = [:], spec: CommandSpec = CopyCommand.spec,
    file: String = Self.file
  ) throws -> Environment {
    let scratch = try Scratch()
    let path = "\(scratch.path)/c.toml"
    try Data(file.utf8).write(to: URL(filePath: path))
    return try Environment(Arguments(words + ["--config", path], for: spec), variables: variables)
  }

  @Test func aNameStandsForItsTableWhoeverSaysIt() throws {
    let ways: [([String], [String: String])] = [
      (["--repo", "oss-hz"], [:]), ([], ["CKBACKUP_REPO": "oss-hz"]),
      (["--repo", "oss-hz"], ["CKBACKUP_REPO": "nas"]),
    ]
    for (words, variables) in ways {
      let configuration = try environment(words, variables).configuration
      #expect(configuration.repository == "s3://c" && configuration.region == "cn-hangzhou")
      #expect(configuration.accessKeyVariable == "A" && configuration.profile == nil)
      #expect(configuration.uploadLimit == 1 << 20 && configuration.encryption == .kms)
    }
    let usual = try environment([]).configuration
    #expect(usual.repository == "s3://b/p" && usual.endpoint == "http://minio:9000")
    #expect(usual.region == "top-1" && usual.profile == "top" && usual.encryption == .managed)
  }

  @Test func awsVariablesDoNotBeatATableAndFlagsDo() throws {
    let aws = [
      "AWS_ENDPOINT_URL": "http://aws", "AWS_REGION": "aws-1", "AWS_CA_BUNDLE": "/aws.pem",
      "AWS_ENDPOINT_URL_S3": "http://s3",
    ]
    let named = try environment(["--repo", "oss-hz"], aws).configuration
    #expect(named.endpoint == "https://s3.oss-cn-hangzhou.aliyuncs.com" && named.region == "cn-hangzhou")
    #expect(named.caFile == "/aws.pem")
    let beaten = try environment(
      ["--repo", "oss-hz", "--endpoint", "http://flag", "--region", "flag-1", "--ca-file", "/flag.pem"],
      aws.merging(["CKBACKUP_ENDPOINT": "http://own"]) { $1 }
    ).configuration
    #expect(beaten.endpoint == "http://flag" && beaten.region == "flag-1" && beaten.caFile == "/flag.pem")
    let own = try environment(["--repo", "oss-hz"], ["CKBACKUP_ENDPOINT": "http://own"]).configuration
    #expect(own.endpoint == "http://own")
    let unnamed = try environment(["--repo", "s3://x"], aws).configuration
    #expect(unnamed.endpoint == "http://s3" && unnamed.region == "aws-1")
  }

  @Test func aTableWithoutARegionHasThatOfItsEndpointAndThenTheEnvironments() throws {
    let file = """
      [repositories.a]
      repository = "s3://b"
      endpoint = "https://s3.eu-central-1.amazonaws.com"
      [repositories.b]
      repository = "s3://b"
      """
    let variables = ["AWS_REGION": "aws-1", "AWS_ENDPOINT_URL": "http://aws"]
    #expect(try environment(["--repo", "a"], variables, file: file).configuration.region == "eu-central-1")
    let other = try environment(["--repo", "b"], variables, file: file).configuration
    #expect(other.region == "aws-1" && other.endpoint == nil)
  }

  @Test func halfOfAnothersCredentialsOrKeysGoesToNoServer() throws {
    let file = """
      repository = "s3://top"
      access_key_variable = "TOP"
      secret_key_variable = "TOPSECRET"
      session_token_variable = "TOPTOKEN"
      sse = "aws:kms"
      sse_kms_key_id = "arn:top"
      client_certificate = "/top.pem"
      client_key = "/top.key"
      [repositories.minio]
      repository = "s3://b"
      endpoint = "http://minio:9000"
      access_key_variable = "A"
      secret_key_variable = "B"
      sse = "AES256"
      client_certificate = "/own.pem"
      [repositories.half]
      repository = "s3://c"
      secret_key_variable = "B"
      """
    for configuration in [
      try environment(["--repo", "minio"], file: file).configuration,
      try environment(["--to", "minio"], file: file).second("to").configuration,
    ] {
      #expect(configuration.accessKeyVariable == "A" && configuration.secretKeyVariable == "B")
      #expect(configuration.sessionTokenVariable == nil && configuration.kmsKeyID == nil)
      #expect(configuration.clientKey == nil && configuration.encryption == .managed)
    }
    let half = try environment(["--repo", "half"], file: file).configuration
    #expect(half.accessKeyVariable == nil && half.sessionTokenVariable == nil)
  }

  @Test func whereAProfileOfTheEnvironmentLeadsHasNoSayInARepositoryWithItsOwnName() throws {
    let home = try Scratch()
    try home.write(".aws/config", "[profile minio]\nendpoint_url = http://minio:9000\nregion = home-1\n")
    let variables = ["HOME": home.path, "AWS_PROFILE": "minio"]
    let file = """
      [repositories.aws]
      repository = "s3://b"
      region = "eu-central-1"
      access_key_variable = "A"
      secret_key_variable = "B"
      """
    #expect(try environment(["--repo", "aws"], variables, file: file).endpoint == nil)
    #expect(try environment(["--repo", "s3://b"], variables, file: file).endpoint == "http://minio:9000")
  }

  @Test func aSecondRepositoryByNameIsReachedByItsTableAlone() throws {
    let first = try environment([
      "--repo", "oss-hz", "--endpoint", "http://flag", "--to", "minio", "--limit-upload", "2MiB",
    ])
    let second = try first.second("to").configuration
    #expect(second.repository == "s3://b/p" && second.endpoint == "http://minio:9000")
    #expect(second.accessKeyVariable == nil && second.profile == "top" && second.uploadLimit == 2 << 20)
    #expect(try environment(["--to", "nas"]).second("to").repositoryDirectory == "/mnt/nas")
    #expect(try environment(["--to", "./nas"]).second("to").repositoryDirectory == "./nas")
  }

  @Test func anUnknownNameListsTheKnownOnesAndPathsStayPaths() throws {
    for words in [["--repo", "os-hz"], ["--to", "os-hz"]] {
      let error = try #require(throws: UsageError.self) {
        let environment = try environment(words)
        _ = try environment.second("to")
      }
      #expect(error.message.contains("os-hz; it has empty, minio, nas, oss-hz"), "\(error.message)")
    }
    #expect(try environment(["--repo", "./oss-hz"]).repositoryDirectory == "./oss-hz")
    #expect(try environment(["--repo", "some/path"]).repositoryDirectory == "some/path")
    #expect(try environment(["--repo", "word"], file: "").repositoryDirectory == "word")
    #expect(throws: UsageError.self) { try environment(["--repo", "empty"]) }
  }

  @Test(arguments: [
    ("[repositories.a]\nrun = \"x\"", "repositories.a.run"),
    ("[repositories.a]\nregon = \"x\"", "did you mean region?"),
    ("[repositories.a]\nregion = 1", "takes a region's name"),
    ("[repositories.\"a.b\"]\nregion = \"x\"", "no key"),
    ("[repositories.a.b]\nregion = \"x\"", "no key"), ("storage_class = \"DEEP_ARCHIVE\"", "read at once"),
    ("storage_class = \"a b\"", "read at once"), ("sse = \"none\"", "aws:kms:dsse"),
  ])
  func aTableIsCheckedWhenItIsRead(_ text: String, _ words: String) throws {
    let error = #expect(throws: ConfigurationError.self) {
      try environment(["--repo", "s3://b"], file: text)
    }
    guard case .invalid(_, let line, let message) = try #require(error) else { return #expect(Bool(false)) }
    #expect(line >= 1 && message.contains(words), "\(message)")
  }

  @Test func settingsThatContradictEachOtherAreWrongUse() throws {
    let scratch = try Scratch()
    let key = "\(scratch.path)/key"
    try Data((0..<32).map { UInt8($0) }).write(to: URL(filePath: key))
    let short = "\(scratch.path)/short"
    try Data([1]).write(to: URL(filePath: short))
    let base = "repository = \"s3://b\"\nendpoint = \"https://h\"\n"
    for (text, words) in [
      ("sse_kms_key_id = \"k\"", "goes with sse"), ("client_key = \"\(key)\"", "client_certificate"),
      ("sse = \"AES256\"\nsse_customer_key_file = \"\(key)\"", "exclude each other"),
      ("sse_customer_key_file = \"\(short)\"", "32 bytes"),
      ("ca_file = \"/nowhere\"", "/nowhere, which cannot be read"),
      ("client_certificate = \"/nowhere\"", "cannot be read"),
    ] {
      let error = #expect(throws: UsageError.self) { try environment([], file: base + text).settings() }
      #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
    let good = try environment([], file: base + "sse_customer_key_file = \"\(key)\"").settings()
    #expect(good != nil)
    let clear = "repository = \"s3://b\"\nendpoint = \"http://h\"\nsse_customer_key_file = \"\(key)\""
    #expect(throws: S3Settings.Invalid.customerKeyWithoutTLS("http://h")) {
      try environment([], file: clear).settings()
    }
  }

  @Test(
    "of several targets a named one is reached as its table says, and a flag's limit is for all of them together"
  )
  func targets() throws {
    let environment = try environment(
      ["checkpoint", "--to", "minio", "--to", "s3://d/e", "--limit-upload", "8MiB"],
      ["CKBACKUP_REPO": "typo", "CKBACKUP_ENDPOINT": "http://variable:1"], spec: PushCommand.spec)
    let (named, other) = (
      try environment.target("minio", ofSeveral: 2), try environment.target("s3://d/e", ofSeveral: 2)
    )
    #expect(named.endpoint == "http://minio:9000" && other.endpoint == "http://variable:1")
    #expect([named, other].allSatisfy { $0.configuration.uploadLimit == 4 << 20 })
    #expect(try !named.isSame(as: other) && other.isSame(as: environment.target("s3://d/e/", ofSeveral: 2)))
  }
}
