import Testing

@testable import Commands
@testable import Engine

private let spec = CommandSpec(
  name: "sample", summary: "A command for tests.", operands: "PATH", operandCount: 0...1,
  options: Ranks.options)

@Test func belowMPIRunInASlurmJobTheRankIsMPIs() throws {
  let variables = [
    "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "77", "OMPI_COMM_WORLD_RANK": "5",
    "OMPI_COMM_WORLD_SIZE": "8",
  ]
  let found = try Ranks.find(try Arguments(["--distributed"], for: spec), variables)
  #expect(found == Push.Rank(5, of: 8, group: "77"))
}

@Test func belowTorchrunInASlurmJobTheRankIsTorchruns() throws {
  let variables = [
    "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "77", "RANK": "5", "WORLD_SIZE": "8",
    "TORCHELASTIC_RUN_ID": "none",
  ]
  let found = try Ranks.find(try Arguments(["--distributed"], for: spec), variables)
  #expect(found == Push.Rank(5, of: 8, group: "77"))
}

@Test func aJobThatSlurmStartsAgainIsAnotherGroup() throws {
  let variables = [
    "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "77", "SLURM_RESTART_COUNT": "3",
  ]
  let found = try Ranks.find(try Arguments(["--distributed"], for: spec), variables)
  #expect(found == Push.Rank(1, of: 2, group: "77.3"))
}

@Test func withoutALaunchersVariablesTheErrorNamesThoseThatWereLookedFor() throws {
  let arguments = try Arguments(["--distributed"], for: spec)
  do throws(UsageError) {
    _ = try Ranks.find(arguments, ["WORLD_SIZE": "8"])
    Issue.record("a rank was found")
  } catch {
    for name in [
      "RANK with WORLD_SIZE", "OMPI_COMM_WORLD_RANK with OMPI_COMM_WORLD_SIZE",
      "SLURM_PROCID with SLURM_NTASKS",
      "JOB_COMPLETION_INDEX with WORLD_SIZE", "WORLD_SIZE is set, RANK is not",
    ] { #expect(error.message.contains(name), "\(error.message)") }
  }
}

@Test func aGroupWithoutANameIsRefused() throws {
  let arguments = try Arguments(["--rank", "0", "--world-size", "2", "--group", ""], for: spec)
  #expect(throws: UsageError.self) { try Ranks.find(arguments, [:]) }
}

@Test func theRanksThatAreAwaitedAreNamedAndFitTheLine() {
  var state = Progress.State()
  state.phase = .wait
  state.awaited = [3, 5, 6, 7]
  state.worldSize = 8
  #expect(
    ProgressDisplay.line(state, 0, since: 120, width: 80) == "waiting for ranks 3, 5-7 of 8 (2m 00s)")
  state.awaited = Array(stride(from: 1, to: 5000, by: 2))
  state.worldSize = 5000
  let line = ProgressDisplay.line(state, 0, since: 5, width: .max)
  #expect(line == "waiting for ranks 1, 3, 5, 7, 9, 11, 13, 15 and 2492 more of 5000 (5s)")
  #expect(ProgressDisplay.line(state, 0, since: 5, width: 40).count == 40)
}
