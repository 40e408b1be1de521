import Engine
import FoundationEssentials
import Testing

@testable import Commands

/// A configuration file for one test.
private func load(_ text: String) throws -> Configuration {
  let path = FileManager.default.temporaryDirectory.path() + "/ckbackup-\(UUID().uuidString).toml"
  try Data(text.utf8).write(to: URL(filePath: path))
  defer { try? FileManager.default.removeItem(atPath: path) }
  var configuration = Configuration()
  try ConfigurationFile.load(named: path, environment: [:], into: &configuration)
  return configuration
}

private func message(_ text: String) -> (line: Int, message: String)? {
  do {
    _ = try load(text)
    return nil
  } catch ConfigurationError.invalid(_, let line, let message) {
    return (line, message)
  } catch {
    return (-1, "\(error)")
  }
}

private let example =
  #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/config.example.toml"

@Test func theExampleNamesEveryKeyAndItsValuesAreTheDefaults() throws {
  let text = try String(contentsOfFile: example, encoding: .utf8)
  #expect(message(text) == nil)
  let configuration = try load(text)
  #expect("\(configuration)" == "\(Configuration())")
  for key in ConfigurationKey.all {
    let name = key.name.split(separator: ".").last.map(String.init) ?? key.name
    #expect(text.contains("\(name) = "), "\(key.name) is not explained")
  }
}

@Test func whatTheExampleOnlyShowsIsValidToo() throws {
  let lines = try String(contentsOfFile: example, encoding: .utf8).split(separator: "\n")
  let uncommented = lines.map { line in
    let body = line.hasPrefix("# ") ? line.dropFirst(2) : line
    return (body.contains(" = ") && !body.contains(": ")) || body == "[prune]"
      || body.hasPrefix("[repositories.")
      ? String(body) : ""
  }
  let configuration = try load(uncommented.joined(separator: "\n"))
  #expect(configuration.policy.last == 3 && configuration.policy.tags == ["paper", "release"])
  #expect(configuration.best == Ranking(metric: "eval_accuracy", direction: .max))
  #expect(configuration.repositories.keys.sorted() == ["nas", "oss-hz"])
}

@Test func anUnknownKeyIsNamedWithItsLineAndTheNearestKey() throws {
  let error = try #require(message("region = \"x\"\n\nconections = 4\n"))
  #expect(error.line == 3 && error.message.contains("did you mean connections?"))
}

@Test(arguments: [
  ("connections = \"many\"", "connections takes a whole number from 1 to 256"),
  ("connections = 0", "from 1 to 256"),
  ("memory = \"1MiB\"", "at least 128 MiB"), ("verify_tls = 1", "true or false"),
  ("addressing = \"best\"", "virtual"),
  ("[prune]\nkeep_last = 0", "at least 1"), ("[prune]\nkeep_tags = [\"a b\"]", "labels"), ("region = ", ""),
])
func aWrongValueIsNamedWithWhatTheKeyTakes(_ text: String, _ expected: String) throws {
  let error = try #require(message(text))
  #expect(error.line >= 1 && error.message.contains(expected))
}

@Test func theEnvironmentBeatsTheFileAndFlagsBeatBoth() throws {
  var configuration = try load("repository = \"file\"\nregion = \"file\"\nendpoint = \"http://file\"")
  let variables = ["CKBACKUP_REPO": "variable", "AWS_REGION": "variable", "CKBACKUP_ENDPOINT": ""]
  let flags = try Arguments(["--repo", "flag"], for: ListCommand.spec)
  try configuration.choose(flags: flags, environment: variables)
  try configuration.adopt(environment: variables)
  try configuration.adopt(flags: flags)
  #expect(configuration.repository == "flag")
  #expect(configuration.region == "variable")
  #expect(configuration.endpoint == "http://file")
}

@Test func aProfileOfTheCommandLineBeatsVariablesThatTheFileNames() throws {
  var configuration = try load("access_key_variable = \"A\"\nsecret_key_variable = \"B\"\nprofile = \"c\"")
  #expect(configuration.accessKeyVariable == "A")
  try configuration.adopt(flags: Arguments(["--profile", "d"], for: ListCommand.spec))
  #expect(configuration.accessKeyVariable == nil && configuration.profile == "d")
}

@Test func halfOfTheNamesOfVariablesIsWrongUse() async throws {
  let path = FileManager.default.temporaryDirectory.path() + "/ckbackup-\(UUID().uuidString).toml"
  try Data("repository = \"s3://b/p\"\naccess_key_variable = \"A\"\n".utf8).write(to: URL(filePath: path))
  defer { try? FileManager.default.removeItem(atPath: path) }
  #expect(await CommandLine.run(["list", "--config", path], variables: ["HOME": "/nowhere"]) == 2)
}

@Test func awsEndpointsAreIgnoredWhereThatIsSaid() throws {
  let aws = ["AWS_ENDPOINT_URL_S3": "http://s3", "AWS_ENDPOINT_URL": "http://all"]
  var configuration = Configuration()
  try configuration.adopt(environment: aws)
  #expect(configuration.endpoint == "http://s3")
  configuration = Configuration()
  try configuration.adopt(environment: aws.merging(["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"]) { $1 })
  #expect(configuration.endpoint == nil)
}

@Test func aFileThatIsNamedMustBeThere() {
  var configuration = Configuration()
  #expect(throws: ConfigurationError.self) {
    try ConfigurationFile.load(named: "/nowhere/ckbackup.toml", environment: [:], into: &configuration)
  }
}

@Test(arguments: ["[[[x", "[[[[[]]]]]", "a = 1\n[[[", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]keep_within = \"1d\""])
func bracketsThatAreNoTOMLAreRefusedAndDoNotEndTheProgram(_ text: String) throws {
  #expect(try #require(message(text)).line >= 1)
}
