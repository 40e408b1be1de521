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

@Test func aHostThatHasNoAddressOnlyWithTheBucketBeforeItIsToldFromOneThatHasNone() {
  func words(_ host: String) -> String {
    let reason = "Could not resolve host: \(host)"
    return ErrorText(StoreError.unreachable(endpoint: "https://nas.lan:9000", reason: reason)).sentences
      .joined()
  }
  #expect(words("bucket.nas.lan").contains("addressing = \"path\""))
  #expect(!words("nas.lan").contains("addressing"))
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

@Test(arguments: [
  StoreError.noBucket(name: "/missing") as any Error, StoreError.noBucket(name: "bucket"),
  FormatError.noRepository(place: "/missing"), StoreError.notS3(endpoint: "http://nas", detail: "no"),
  StoreError.wrongRegion(expected: "eu"),
  StoreError.credentials(code: "SignatureDoesNotMatch", message: "no"),
  UsageError("no"),
])
func anErrorOfASecondRepositoryNamesItsOption(_ error: any Error) {
  let text = ErrorText(SecondPlaceError(error: error, option: "--to", place: "/missing"))
  #expect(text.code == ErrorText(error).code)
  let words = text.sentences.joined(separator: " ")
  #expect(words.contains("--to") && !words.contains("--repo") && !words.contains("--endpoint"), "\(words)")
}

@Test(arguments: [
  (
    CredentialsError.missing(looked: ["AWS_ACCESS_KEY_ID", "the profile [default] of /a"]),
    "no credentials were found; looked at AWS_ACCESS_KEY_ID, the profile [default] of /a. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what docs/credentials.md names."
  ),
  (
    .incomplete(place: "the profile [a] of /b", lacking: "aws_secret_access_key"),
    "half of the credentials is missing from the profile [a] of /b: aws_secret_access_key is not there or empty. Set it."
  ),
  (
    .unreadable(path: "/a", reason: "Permission denied"),
    "/a, which credentials depend on, cannot be read: Permission denied. Check the file and who may read it."
  ),
  (
    .failed(
      place: "the single sign-on of the profile [p] of /a", reason: "the login has expired",
      cure: "Run aws sso login --profile p"),
    "no credentials from the single sign-on of the profile [p] of /a: the login has expired. Run aws sso login --profile p."
  ),
])
func credentialsThatAreNotHadNameThePlaceAndTheCure(_ error: CredentialsError, _ sentence: String) {
  let text = ErrorText(error)
  #expect(text.code == .refused && text.sentences == [sentence])
}

@Test func theAdviceFitsWhatIsDamaged() {
  let (pack, manifest) = ("packs/weights/aa/x", "manifests/demo/x.json.gz")
  func advice(_ objects: [String], repaired: Bool = false) -> String {
    Damage.cure(objects, repaired: repaired).joined(separator: " ")
  }
  #expect(advice([pack]).contains("ckbackup repair --from") && !advice([pack]).contains("ckbackup copy"))
  #expect(advice([manifest]).contains("ckbackup copy") && !advice([manifest]).contains("ckbackup repair"))
  #expect(advice([pack, manifest]).contains("ckbackup repair --from"))
  #expect(advice([pack], repaired: true).contains("from a place that has more"))
  #expect(ErrorText(FormatError.missing(object: manifest)).sentences.joined().contains("ckbackup copy"))
}

@Test func anInterruptedCommandSaysWhatIsKept() {
  let text = ErrorText(InterruptedError(rest: PushCommand.spec.whenInterrupted))
  #expect(text.code == .interrupted)
  #expect(text.sentences.joined().contains("finished packs are kept, the unfinished one is not"))
}

@Test func aGracePeriodThatAPushMayOutlastIsWarnedOf() {
  #expect(PruneCommand.hasty(0, pushes: 86_400) != nil)
  #expect(PruneCommand.hasty(3599, pushes: 60) != nil)
  #expect(PruneCommand.hasty(3600, pushes: 60) == nil)
  #expect(
    PruneCommand.hasty(11 * 3600, pushes: 86_400) != nil,
    "a push looks half of its grace period before it commits")
  #expect(PruneCommand.hasty(86_400, pushes: 86_400) == nil)
}

@Test func aPasswordInAnEndpointIsNotShown() {
  let words = ErrorText(S3Settings.Invalid.endpoint("https://user:secret@host")).sentences.joined()
  #expect(words.contains("is no endpoint") && words.contains("host") && !words.contains("secret"))
}
