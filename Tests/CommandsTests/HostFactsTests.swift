import Checkpoints
import Engine
import Glibc
import TestSupport
import Testing

@testable import Commands

private let commit = String(repeating: "a1", count: 20)
private let other = String(repeating: "b2", count: 20)

/// A Git directory without any object.
private func makeTree(_ scratch: Scratch, head: String = "ref: refs/heads/main\n") throws {
  try scratch.write("code/.git/HEAD", head)
  try scratch.write(
    "code/.git/packed-refs", "# pack-refs\n\(other) refs/heads/old\n\(commit) refs/heads/main\n")
  try scratch.write(
    "code/.git/config",
    "[core]\n\turl = no\n[remote \"origin\"]\n\turl = https://me:SECRET@git.example/a.git\n")
  try scratch.write("code/out/checkpoint-1/x", "")
}

private func gather(_ scratch: Scratch, _ variables: [String: String] = [:]) -> TrainingEnvironment {
  HostFacts(variables: variables, root: scratch.path, patience: 0)
    .gather(near: scratch.path + "/code/out/checkpoint-1")
}

@Test func theCommitIsReadFromGitsFilesWithoutGit() throws {
  let scratch = try Scratch()
  try makeTree(scratch)
  let code = try #require(gather(scratch).code)
  #expect(code.commit == commit && code.branch == "main" && code.dirty == nil)
  #expect(code.directory.hasSuffix("/code") && code.remote == "https://***@git.example/a.git")
  try scratch.write("code/.git/refs/heads/main", other + "\n")
  #expect(gather(scratch).code?.commit == other, "a loose reference beats a packed one")
  try scratch.write("code/.git/HEAD", commit + "\n")
  #expect(gather(scratch).code?.commit == commit && gather(scratch).code?.branch == nil)
}

@Test func aLinkedWorkingTreeHasItsOwnHeadAndTheCommonBranches() throws {
  let scratch = try Scratch()
  try scratch.write("main/.git/refs/heads/side", commit)
  try scratch.write("main/.git/worktrees/code/HEAD", "ref: refs/heads/side")
  try scratch.write("main/.git/worktrees/code/commondir", "../..\n")
  try scratch.write("code/.git", "gitdir: \(scratch.path)/main/.git/worktrees/code\n")
  try scratch.write("code/out/checkpoint-1/x", "")
  #expect(gather(scratch).code?.commit == commit)
}

@Test func aReferenceThatLeavesTheGitDirectoryIsNotFollowed() throws {
  let scratch = try Scratch()
  try scratch.write("secret", commit)
  try makeTree(scratch, head: "ref: refs/../../../secret\n")
  #expect(gather(scratch).code?.directory.hasSuffix("/code") != true)
}

@Test func aChangedFileMakesTheTreeDirtyAndAnUnknownOneDoesNot() throws {
  let scratch = try Scratch()
  try scratch.write("code/train.py", "1")
  let git = "git -C \(scratch.path)/code -c user.name=x -c user.email=x@example.org"
  guard system("\(git) init -q && \(git) add . && \(git) commit -qm one") == 0 else { return }
  func code() -> TrainingEnvironment.Code? {
    HostFacts(variables: ["PATH": "/usr/local/bin:/usr/bin:/bin"], root: scratch.path, patience: 20)
      .gather(near: scratch.path + "/code").code
  }
  try scratch.write("code/model.pt", "1")
  #expect(code()?.dirty == false)
  try scratch.write("code/train.py", "2")
  #expect(code()?.dirty == true)
}

@Test func packagesAreThoseOfTheEnvironmentThatIsSwitchedOn() throws {
  let scratch = try Scratch()
  for name in [
    "torch-2.9.0+cu128.dist-info", "ms_swift-4.6.0.dist-info", "Zope-1.egg-info", "no version.dist-info",
  ] {
    try scratch.write("venv/lib/python3.12/site-packages/\(name)/METADATA", "")
  }
  try scratch.write("venv/lib/python3.9/site-packages/torch-1.0.dist-info/METADATA", "")
  let found = gather(scratch, ["VIRTUAL_ENV": scratch.path + "/venv"])
  #expect(found.requirements == ["ms_swift==4.6.0", "torch==2.9.0+cu128", "Zope==1"])
  #expect(found.packages == ["ms_swift": "4.6.0", "torch": "2.9.0+cu128"])
}

@Test func acceleratorsAreCountedByModel() throws {
  let scratch = try Scratch()
  for bus in 0..<2 {
    try scratch.write(
      "proc/driver/nvidia/gpus/0000:0\(bus):00.0/information", "Model: \t\t NVIDIA H100 80GB\nIRQ: 1\n")
  }
  for name in ["davinci0", "davinci1", "davinci2", "davinci_manager"] { try scratch.write("dev/\(name)", "") }
  #expect(
    gather(scratch).devices == [
      .init(name: "Ascend NPU", count: 3), .init(name: "NVIDIA H100 80GB", count: 2),
    ])
}

@Test func onlyTellingVariablesAreKeptAndSecretsInThemAreMasked() throws {
  let variables = gather(
    try Scratch(),
    [
      "WORLD_SIZE": "8", "NCCL_DEBUG": "INFO", "HOME": "/home/me", "AWS_SECRET_ACCESS_KEY": "SECRET",
      "NCCL_API_KEY": "SECRET", "ASCEND_PROXY": "http://me:SECRET@proxy:80/", "CUDA_EMPTY": "",
    ]
  ).variables
  #expect(
    variables == [
      "WORLD_SIZE": "8", "NCCL_DEBUG": "INFO", "NCCL_API_KEY": "***", "ASCEND_PROXY": "http://***@proxy:80/",
    ])
}

@Test func aTextIsBrokenAtSpacesAndLongWordsStayWhole() {
  #expect(wrapped("one two three four five six", width: 20) == ["one two three four", "five six"])
  let word = String(repeating: "x", count: 30)
  #expect(wrapped("a \(word) b", width: 20) == ["a", word, "b"] && wrapped("a b", width: 5) == ["a b"])
}
