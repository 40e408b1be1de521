import Checkpoints
import Engine
import Glibc
import Platform

/// Finds out what a training's machine and code were, for the archive record: small files, and at most one short process.
struct HostFacts: Sendable {
  /// The process's environment variables.
  let variables: [String: String]
  /// What stands before `/proc`, `/dev` and the places of Python packages; empty but in tests.
  var root = ""
  /// How long `git status` may take, in seconds; 0 for not asking.
  var patience = 2.0

  /// What is found; what is not is left out. `path` is the checkpoint, near which the code may lie. Blocks for at most `patience`
  /// and the time of reading a few small files.
  func gather(near path: String) -> TrainingEnvironment {
    let requirements = InstalledPackages(variables: variables, root: root).lines
    return TrainingEnvironment(
      system: system, code: code(near: path), devices: Accelerators(root: root).devices,
      variables: telling, packages: InstalledPackages.telling(requirements), requirements: requirements)
  }

  private var system: String? {
    var name = utsname()
    guard uname(&name) == 0 else { return nil }
    func text<Field>(_ field: Field) -> String {
      withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    return "\(text(name.sysname)) \(text(name.release)) \(text(name.machine))"
  }

  /// The working tree that the checkpoint lies in, else the one that the program was started in.
  private func code(near path: String) -> TrainingEnvironment.Code? {
    for place in [path, "."] {
      guard let tree = GitTree(around: place), let commit = tree.commit else { continue }
      return .init(
        directory: tree.directory, commit: commit, branch: tree.branch, remote: tree.remote,
        dirty: patience > 0 ? tree.isDirty(searchPath: variables["PATH"], patience: patience) : nil)
    }
    return nil
  }

  private static let names: Set<String> = [
    "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "NNODES", "NPROC_PER_NODE",
    "OMP_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NPU_ALLOC_CONF", "PYTORCH_ALLOC_CONF",
    "SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_JOB_NODELIST", "SLURM_NNODES",
    "SLURM_NTASKS", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "VIRTUAL_ENV", "CONDA_DEFAULT_ENV",
    "WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_NAME", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME",
  ]
  private static let prefixes = ["CUDA_", "NCCL_", "ASCEND_", "HCCL_"]

  /// The variables that tell of a training. Secrets are masked, and long values are cut.
  private var telling: [String: String] {
    let chosen = variables.filter { name, value in
      !value.isEmpty && (Self.names.contains(name) || Self.prefixes.contains(where: name.hasPrefix))
    }.sorted { $0.key < $1.key }.prefix(128)
    let values = chosen.map { ($0.key, JSONValue.string(withoutCredentials(String($0.value.prefix(1024))))) }
    let object = JSONValue.object(Dictionary(values, uniquingKeysWith: { first, _ in first }))
    return (object.masked.members ?? [:]).compactMapValues(\.text)
  }
}

/// A text in which the user and password, and the query, of every URL are replaced by `JSONValue.mask`.
func withoutCredentials(_ text: String) -> String {
  guard let scheme = text.firstRange(of: "://") else { return text }
  let rest = text[scheme.upperBound...]
  var url = rest.prefix { !$0.isWhitespace && $0 != "," && $0 != ";" }
  let others = rest[url.endIndex...]
  var clean = ""
  // A password may hold any character, a slash or another `@` too.
  if let at = url.lastIndex(of: "@") {
    clean = JSONValue.mask
    url = url[at...]
  }
  if let query = url.firstIndex(of: "?") { url = url[..<query] + "?" + JSONValue.mask }
  return text[..<scheme.upperBound] + clean + url + withoutCredentials(String(others))
}

/// The text of a small file; nil where it cannot be read, or is longer than `limit` bytes.
func smallFile(_ path: String, limit: Int = 1 << 20) -> String? {
  guard let file = try? OpenFile(path) else { return nil }
  // Files of /proc have no size, so what is read counts.
  var bytes = [UInt8](repeating: 0, count: file.size > 0 ? min(file.size, limit + 1) : 1 << 16)
  let count = bytes.withUnsafeMutableBytes { target in (try? file.read(at: 0, into: target)) ?? 0 }
  return count <= limit ? String(decoding: bytes.prefix(count), as: UTF8.self) : nil
}
