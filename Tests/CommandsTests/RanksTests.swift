import Engine
import Testing

@testable import Commands

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
