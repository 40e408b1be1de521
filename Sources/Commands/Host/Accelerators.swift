import Engine
import Platform

/// The machine's GPUs and NPUs, by what their drivers show as files.
struct Accelerators {
  /// What stands before `/proc` and `/dev`.
  let root: String

  /// The accelerators by model, in order; none where no driver shows any.
  var devices: [TrainingEnvironment.Device] {
    var counts: [String: Int] = [:]
    for name in nvidia { counts[name, default: 0] += 1 }
    // Huawei's driver makes a device file for each NPU, `davinci0` and so on.
    let npus = names("/dev").filter { name in
      name.hasPrefix("davinci") && name.utf8.count > 7 && name.dropFirst(7).allSatisfy(\.isNumber)
    }
    if !npus.isEmpty { counts[TrainingFacts.Device.npu.rawValue] = npus.count }
    return counts.sorted { $0.key < $1.key }.map { .init(name: $0.key, count: $0.value) }
  }

  /// The line `Model:` of each GPU's `information` (NVIDIA driver's README, "Proc Filesystem Interface").
  private var nvidia: [String] {
    let folder = "/proc/driver/nvidia/gpus"
    return names(folder).sorted().prefix(64).compactMap { name in
      let text = smallFile("\(root)\(folder)/\(name)/information") ?? ""
      guard let line = text.split(whereSeparator: \.isNewline).first(where: { $0.hasPrefix("Model:") }) else {
        return nil
      }
      return line.dropFirst("Model:".count).split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
  }

  private func names(_ directory: String) -> [String] {
    ((try? OpenDirectory(root + directory).names()) ?? []).map { String(decoding: $0, as: UTF8.self) }
  }
}
