import Engine
import ObjectStore
import Platform
import Repository
import Testing

@testable import Commands

@Test(arguments: [
  (StoreError.credentials(code: "SignatureDoesNotMatch", message: "no"), ExitCode.refused),
  (.denied(operation: "put", key: "k", message: "no"), .refused), (.noBucket(name: "s3://x"), .failed),
  (.unreachable(endpoint: "http://127.0.0.1:1", reason: "refused"), .failed),
  (.missing(key: "packs/x"), .damage),
  (.clockSkew(seconds: 4000), .refused),
])
func aStoresErrorHasItsExitCode(_ error: StoreError, _ code: ExitCode) {
  let text = ErrorText(error)
  #expect(text.code == code)
  #expect(text.sentences.count >= 1 && text.sentences.allSatisfy { !$0.isEmpty })
}

@Test func aStoreThatWasGivenUpSaysHowOftenAndHowLongItWasTried() {
  let silent = StoreError.unreachable(endpoint: "http://nas:9000", reason: "refused.")
  let text = ErrorText(StoreError.gaveUp(silent, tries: 3, seconds: 70))
  #expect(text.code == .failed)
  #expect(
    text.sentences == [
      "http://nas:9000 cannot be reached: refused, tried 3 times in 1m 10s. Check the endpoint and the network."
    ])
}

@Test func enginesErrorsHaveTheirExitCodes() {
  #expect(ErrorText(EngineError.incomplete(path: "p", defects: ["x is torn."])).code == .damage)
  #expect(ErrorText(EngineError.notFound(address: "a@1", hint: "h")).code == .nothingMatched)
  #expect(ErrorText(EngineError.badAddress("?")).code == .wrongUse)
  #expect(ErrorText(UsageError("no")).code == .wrongUse)
  #expect(ErrorText(CancellationError()).code == .interrupted)
  #expect(ErrorText(FormatError.newerFormat(object: "o", format: 9)).code == .failed)
  #expect(ErrorText(SystemError(operation: "open", path: "/x", code: 13)).code == .failed)
}

@Test func aNameCannotSmuggleControlCharactersToTheTerminal() {
  #expect(Console.clean("a\u{1b}[31mb\nc") == "a\u{fffd}[31mb\u{fffd}c")
}

@Test func anUnknownCommandIsWrongUse() async {
  #expect(await CommandLine.run(["psuh"], variables: [:]) == 2)
  #expect(await CommandLine.run(["list", "--config", "/nowhere"], variables: [:]) == 2)
  #expect(await CommandLine.run(["list"], variables: ["HOME": "/nowhere"]) == 2)
}
