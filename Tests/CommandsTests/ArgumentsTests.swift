import Testing

@testable import Commands

private let spec = CommandSpec(
  name: "sample", summary: "A command for tests.", operands: "PATH", operandCount: 1...2,
  options: [
    OptionSpec("keep-last", "N", "A number."), OptionSpec("tag", "LABEL", repeats: true, "Labels."),
    OptionSpec("force", "A flag."), OptionSpec("wait", orTime: "TIME", "How long to wait."),
  ])

@Test func anOptionTakesItsValueFromTheNextWordOrBehindAnEqualsSign() throws {
  let spaced = try Arguments(["--keep-last", "3", "path"], for: spec)
  let joined = try Arguments(["path", "--keep-last=3"], for: spec)
  #expect(try spaced.integer("keep-last") == 3)
  #expect(try joined.integer("keep-last") == 3)
  #expect(spaced.operands == ["path"] && joined.operands == ["path"])
}

@Test func twoDashesEndTheOptions() throws {
  #expect(try Arguments(["--", "--force"], for: spec).operands == ["--force"])
}

@Test func onlyRepeatableOptionsMayBeGivenTwice() throws {
  #expect(try Arguments(["--tag", "a", "--tag=b", "p"], for: spec).strings("tag") == ["a", "b"])
  #expect(throws: UsageError.self) {
    try Arguments(["--keep-last", "1", "--keep-last", "2", "p"], for: spec)
  }
}

@Test(arguments: [
  (["--keep-lst", "3", "p"], "did you mean --keep-last?"), (["--force=yes", "p"], "takes no value"),
  (["p", "--keep-last"], "needs a value"), ([], "needs PATH"), (["a", "b", "c"], "takes PATH"),
  (["-x", "p"], "has no option -x"),
])
func aWrongLineIsNamed(_ words: [String], _ expected: String) {
  let error = #expect(throws: UsageError.self) { try Arguments(words, for: spec) }
  #expect(error?.message.contains(expected) == true)
}

@Test func numbersHaveALeastValue() throws {
  let arguments = try Arguments(["--keep-last", "0", "p"], for: spec)
  #expect(throws: UsageError.self) { try arguments.integer("keep-last", atLeast: 1) }
}

@Test func commonOptionsMayStandBeforeTheCommand() async {
  #expect(await CommandLine.run(["--repo", "/nowhere/at/all", "--quiet", "list"], variables: [:]) == 1)
  #expect(await CommandLine.run(["--repo=/nowhere/at/all", "list"], variables: [:]) == 1)
}

@Test func pathsAreComparedWhereTheyLead() {
  #expect(Places.holds("/usr", "/usr/bin/../lib/x") && !Places.holds("/usr/bin", "/usr"))
  #expect(Places.holds("/", "/nowhere/at/all") && Places.overlap("/usr/", "/usr"))
  #expect(!Places.overlap("/usr/lib", "/usr/libexec"))
  #expect(Places.components("/proc/self/../self/cwd") == Places.components("."))
}

@Test func everyCommandHasHelpThatNamesItsOptionsAndFitsATerminal() {
  for spec in CommandLine.specs {
    let help = Help.text(for: spec)
    for option in spec.allOptions {
      #expect(help.contains("--\(option.name)"), "\(spec.name) \(option.name)")
    }
    #expect(!spec.examples.isEmpty, "\(spec.name) has no example")
  }
}

@Test func aTimeThatMayBeLeftOutIsTakenOnlyFromWhatIsOne() throws {
  func seconds(_ words: String...) throws -> Double? {
    let arguments = try Arguments(words, for: spec)
    #expect(arguments.operands == ["path"])
    return try arguments.seconds("wait", absent: 1800)
  }
  #expect(try seconds("path") == nil)
  #expect(try seconds("--wait", "path") == 1800)
  #expect(try seconds("path", "--wait") == 1800)
  #expect(try seconds("--wait", "10m", "path") == 600)
  #expect(try seconds("--wait=90s", "path") == 90)
  #expect(throws: UsageError.self) { try seconds("--wait=soon", "path") }
}
