import Engine
import FoundationEssentials
import Glibc
import Platform
import Repository

extension Environment {
  /// What of a snapshot will not fit a training here.
  ///
  /// - Parameters:
  ///   - part: what of it is wanted.
  ///   - worldSize: the processes that will train, where `--for-world-size` tells.
  func misfits(
    of snapshot: Snapshot, _ part: Selection.Part, in repository: Repository, worldSize: Int? = nil
  ) async throws -> [FitWarning] {
    if part == .record { return [] }
    var warnings = [FitWarning.noRecord]
    if let facts = try await TrainingFacts.read(of: snapshot, from: repository) {
      var place = try await BlockingPool(threads: 1).run { [variables] in
        TrainingPlace.here(for: facts, variables: variables)
      }
      if let worldSize { (place.worldSize, place.worldSizeSource) = (worldSize, "--for-world-size") }
      warnings = FitWarning.all(of: facts, in: place, part: part)
    }
    if snapshot.isThinned, part != .weights { warnings.append(.thinned) }
    return warnings
  }
}

extension TrainingPlace {
  /// How long a program that is asked may take, in seconds: importing nothing but metadata takes Python far less, and a file system
  /// that hangs must not keep a restore from its work.
  private static let patience = 5.0

  /// What this machine tells of itself: the packages of the `python3` in PATH, the commit of the working directory, devices. What
  /// cannot be found out stays unknown. Blocks its caller for some seconds at most.
  ///
  /// - Parameters:
  ///   - facts: only what can be compared with these is looked for.
  ///   - variables: the environment, in which launchers tell the number of processes.
  static func here(for facts: TrainingFacts, variables: [String: String]) -> TrainingPlace {
    var place = TrainingPlace()
    // In the order in which `push --distributed` believes launchers.
    for name in ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"] {
      guard let size = variables[name].flatMap({ Int($0) }), size > 0 else { continue }
      (place.worldSize, place.worldSizeSource) = (size, name)
      break
    }
    let home = variables["HOME"] ?? ""
    place.exists = { path in
      access(path.hasPrefix("~/") ? home + path.dropFirst() : path, F_OK) == 0 || errno == EACCES
    }
    if FitWarning.packages.contains(where: { facts.versions[$0] != nil }) { place.versions = packages() }
    if facts.commit != nil { place.commit = GitTree(around: ".")?.commit }
    if facts.device != nil { place.device = device() }
    return place
  }

  /// Asks Python for versions without importing a package, and without what lies in the working directory.
  private static func packages() -> [String: String] {
    let program = """
      import sys
      sys.path[:] = [path for path in sys.path if path]
      import json
      from importlib import metadata
      found = {}
      for name in sys.argv[1:]:
          try:
              found[name] = metadata.version(name)
          except metadata.PackageNotFoundError:
              pass
      print(json.dumps(found))
      """
    let words = ["python3", "-c", program] + FitWarning.packages
    guard let output = programOutput(words, seconds: patience, limit: 1 << 16) else { return [:] }
    return (try? JSONDecoder().decode([String: String].self, from: Data(output))) ?? [:]
  }

  /// Unknown where the machine has neither kind, or both.
  private static func device() -> TrainingFacts.Device? {
    let names = Accelerators(root: "").devices.map(\.name)
    let hasNPU = names.contains(TrainingFacts.Device.npu.rawValue)
    let hasGPU = names.contains { $0 != TrainingFacts.Device.npu.rawValue }
    return hasNPU == hasGPU ? nil : hasNPU ? .npu : .cuda
  }
}
