import Engine
import Repository

/// Which of many processes this one is, as options or a launcher's environment tell.
enum Ranks {
  static let options = [
    OptionSpec("rank", "R", "This process's number, from 0, where many push one checkpoint together."),
    OptionSpec("world-size", "W", "How many processes there are."),
    OptionSpec(
      "distributed", "Take rank and world size from torchrun's, Slurm's, Open MPI's or Kubernetes' variables."
    ),
    OptionSpec(
      "group", "NAME", "What the processes of this job have in common; the launcher's job id by default."),
    OptionSpec(
      "rank-wait", "TIME", "How long to wait for the others to tell which files they see; 60s by default."),
  ]

  /// The variables that launchers set: PyTorch's elastic launcher (docs: torch.distributed.run), Slurm (srun manual), Open MPI (mpirun
  /// manual), and Kubernetes' indexed jobs, which do not tell how many there are.
  /// Open MPI before Slurm: below an mpirun in a Slurm job, Slurm's variables are those of the daemon that mpirun starts on each node.
  private static let launchers = [
    ("RANK", "WORLD_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"), ("JOB_COMPLETION_INDEX", "WORLD_SIZE"),
  ]
  /// Variables that are the same for all processes of a job.
  private static let jobs = ["TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "PMIX_NAMESPACE", "JOB_NAME"]

  /// Which half of a pair of variables is set without the other, in words.
  private static func half(_ variables: [String: String]) -> String {
    func isSet(_ name: String) -> Bool { variables[name]?.isEmpty == false }
    guard let (rank, size) = launchers.first(where: { isSet($0.0) != isSet($0.1) }) else { return "" }
    return isSet(rank) ? " (\(rank) is set, \(size) is not)" : " (\(size) is set, \(rank) is not)"
  }

  /// Nil where the command line does not speak of ranks.
  static func find(_ arguments: Arguments, _ variables: [String: String]) throws(UsageError) -> Push.Rank? {
    let command = arguments.command.name
    var rank = try arguments.integer("rank")
    var worldSize = try arguments.integer("world-size", atLeast: 1, atMost: RankShare.largestWorld)
    if arguments.has("distributed"), rank == nil || worldSize == nil {
      guard
        let (first, second) = launchers.first(where: {
          [$0.0, $0.1].allSatisfy { variables[$0]?.isEmpty == false }
        })
      else {
        let pairs = launchers.map { "\($0.0) with \($0.1)" }.joined(separator: ", ")
        throw UsageError(
          "--distributed finds neither rank nor size: none of these pairs is set: \(pairs)\(half(variables)). Start it by srun, torchrun or mpirun, or give --rank and --world-size",
          command: command)
      }
      guard let found = variables[first].flatMap({ Int($0) }),
        let size = variables[second].flatMap({ Int($0) })
      else { throw UsageError("\(first) and \(second) are no numbers", command: command) }
      rank = rank ?? found
      worldSize = worldSize ?? size
    }
    guard rank != nil || worldSize != nil else {
      if let stray = ["group", "rank-wait"].first(where: arguments.has) {
        throw UsageError("--\(stray) goes with --rank and --world-size, or --distributed", command: command)
      }
      return nil
    }
    guard let rank, let worldSize else {
      throw UsageError("--rank and --world-size go together", command: command)
    }
    guard RankShare.isValid(rank: rank, worldSize: worldSize) else {
      throw UsageError("rank \(rank) is none of \(worldSize) processes, which count from 0", command: command)
    }
    if arguments.string("group") == "" {
      throw UsageError(
        "--group takes a name, such as the job's id: leave it out for the launcher's", command: command)
    }
    // torchrun names every job "none" that was not named.
    var job = jobs.lazy.compactMap { variables[$0] }.first { !$0.isEmpty && $0 != "none" }
    // A job that Slurm starts again keeps its id, and what it saves then is another save.
    if let id = variables["SLURM_JOB_ID"], job == id, let count = variables["SLURM_RESTART_COUNT"] {
      job = "\(id).\(count)"
    }
    return Push.Rank(
      rank, of: worldSize, group: arguments.string("group") ?? job ?? "",
      patience: try arguments.seconds("rank-wait") ?? 60)
  }
}
