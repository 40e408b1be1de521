import Platform
import Testing

@Suite("Programs' output") struct ProgramOutputTests {
  @Test("what a program writes to standard output comes back, and what it says of errors does not")
  func output() {
    let words = ["sh", "-c", "echo to nobody >&2; printf '%s' \"$1\"; cat", "sh", "a b"]
    #expect(programOutput(words, seconds: 10, limit: 100) == Array("a b".utf8))
  }

  @Test("a program that fails, is not there, or writes too much gives nothing")
  func failure() {
    #expect(programOutput(["sh", "-c", "echo a; exit 3"], seconds: 10, limit: 100) == nil)
    #expect(programOutput(["no program has this name"], seconds: 10, limit: 100) == nil)
    #expect(programOutput([], seconds: 10, limit: 100) == nil)
    #expect(
      programOutput(["sh", "-c", "while :; do echo aaaaaaaaaaaaaaaa; done"], seconds: 10, limit: 100) == nil)
  }

  @Test("a program that takes too long is ended with what it started")
  func slow() {
    let begin = Timestamp.now()
    #expect(programOutput(["sh", "-c", "sleep 600 & sleep 600"], seconds: 0.3, limit: 100) == nil)
    #expect(
      programOutput(["sh", "-c", "exec >&-; exec sleep 600"], seconds: 0.3, limit: 100) == nil,
      "the end of the output is not the end")
    #expect(Timestamp.now().seconds(since: begin) < 10)
  }

  @Test("a program gets the variables that it is given, and no others")
  func variables() {
    let output = programOutput(["/usr/bin/env"], variables: ["A": "b"], seconds: 10, limit: 100)
    #expect(output == Array("A=b\n".utf8))
  }
}
