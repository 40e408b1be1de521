import Platform

/// The Python packages that are installed, by the names of their metadata's directories (packaging.python.org, "Recording installed
/// projects"): `torch-2.9.0.dist-info`. No Python runs.
struct InstalledPackages {
  /// The process's environment variables: an environment that is switched on, or the first `python3` of the search path, tells where.
  let variables: [String: String]
  /// What stands before the places of the system's own Python.
  let root: String

  /// Lines `NAME==VERSION` in order; none where no Python is found.
  var lines: [String] {
    var found: [String: String] = [:]
    for directory in places.flatMap(Self.packageDirectories) {
      guard let names = try? OpenDirectory(directory).names() else { continue }
      let packages = names.compactMap(Self.package).sorted { ($0.name, $0.version) < ($1.name, $1.version) }
      for (name, version) in packages where found.count < Self.maximum {
        // What comes first in Python's search path counts.
        found[name] = found[name] ?? version
      }
    }
    return found.sorted { ($0.key.lowercased(), $0.key) < ($1.key.lowercased(), $1.key) }
      .map { "\($0.key)==\($0.value)" }
  }

  private static let maximum = 10_000

  /// The prefixes of the Python installation.
  private var places: [String] {
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
      if let place = variables[name], place.hasPrefix("/") { return [place] }
    }
    let prefix = executable("python3", in: variables["PATH"])?.split(separator: "/").dropLast(2)
      .joined(separator: "/")
    guard let prefix = prefix.map({ "/" + $0 }) else { return [] }
    return ["/usr", "/usr/local", "/"].contains(prefix) ? [root + "/usr/local", root + "/usr"] : [prefix]
  }

  /// `lib/python3.12/site-packages` and its like, of the newest Python first.
  private static func packageDirectories(_ prefix: String) -> [String] {
    let lib = prefix + "/lib"
    let names = ((try? OpenDirectory(lib).names()) ?? []).map { String(decoding: $0, as: UTF8.self) }
    return names.filter { $0.hasPrefix("python3") }.sorted { ($0.count, $0) > ($1.count, $1) }.prefix(8)
      .flatMap { ["\(lib)/\($0)/site-packages", "\(lib)/\($0)/dist-packages"] }
  }

  private static func package(_ entry: [UInt8]) -> (name: String, version: String)? {
    let text = String(decoding: entry, as: UTF8.self)
    guard let ending = [".dist-info", ".egg-info"].first(where: text.hasSuffix) else { return nil }
    let parts = text.dropLast(ending.count).split(separator: "-")
    guard parts.count >= 2, text.utf8.count < 256,
      text.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "._+!-".contains($0)) })
    else { return nil }
    return (String(parts[0]), String(parts[1]))
  }

  /// The packages that decide how a training goes.
  private static let telling: Set<String> = [
    "torch", "torch_npu", "torchvision", "transformers", "accelerate", "deepspeed", "peft", "trl", "ms_swift",
    "llamafactory", "megatron_core", "lightning", "pytorch_lightning", "datasets", "tokenizers",
    "safetensors",
    "numpy", "flash_attn", "bitsandbytes", "xformers", "triton", "vllm", "jax", "jaxlib", "flax",
    "orbax_checkpoint",
    "tensorflow", "keras", "liger_kernel", "transformer_engine", "qwen_vl_utils", "mindspore",
  ]

  /// Those of the lines that decide how a training goes, by name.
  static func telling(_ lines: [String]) -> [String: String] {
    var versions: [String: String] = [:]
    for line in lines {
      guard let range = line.firstRange(of: "==") else { continue }
      let name = line[..<range.lowerBound].lowercased()
      let key = String(name.map { $0 == "-" || $0 == "." ? "_" : $0 })
      if telling.contains(key) { versions[name] = String(line[range.upperBound...]) }
    }
    return versions
  }
}
