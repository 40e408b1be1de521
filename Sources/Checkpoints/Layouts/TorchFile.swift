import Platform

/// A file that torch.save wrote, or a directory of such files with at most some text beside them. Known by their first bytes.
struct TorchFile: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    let files = checkpoint.tree.files.filter { file in !Self.text.contains { file.path.name.hasSuffix($0) } }
    return !files.isEmpty && files.allSatisfy { isTorch($0.path, checkpoint) }
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    Findings(layout: "torch_file", step: checkpoint.place.step)
  }

  private func isTorch(_ path: RelativePath, _ checkpoint: CheckpointReader) -> Bool {
    guard Self.extensions.contains(where: path.name.hasSuffix),
      let file = try? checkpoint.tree.root.open(path), let format = try? TorchFormat(of: file)
    else { return false }
    return format == .zip || format == .legacy
  }

  private static let extensions = [".pt", ".pth", ".bin", ".ckpt"]
  private static let text = [
    ".json", ".jsonl", ".yaml", ".yml", ".toml", ".txt", ".md", ".csv", ".log", ".py",
  ]
}
