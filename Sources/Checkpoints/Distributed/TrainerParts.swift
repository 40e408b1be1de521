import Platform

/// The parts of DeepSpeed and FSDP that lie in a checkpoint of transformers' Trainer.
///
/// Facts from accelerate/utils/fsdp_utils.py (1.15): `pytorch_model_fsdp_0/` and `optimizer_0/` are DCP directories each, or each process
/// writes a `pytorch_model_fsdp_rankK.bin`.
struct TrainerParts {
  let reader: CheckpointReader

  /// Adds what they tell and what they lack.
  func add(to findings: inout Findings) {
    for directory in DeepSpeed.tags(reader) {
      let parts = DeepSpeedParts(reader, in: directory)
      let spread = parts.parallelism
      findings.parallelism.world = findings.parallelism.world ?? spread.world
      findings.parallelism.data = spread.data
      findings.parallelism.tensor = spread.tensor
      findings.parallelism.pipeline = spread.pipeline
      findings.parallelism.zeroStage = spread.zeroStage
      findings.versions["deepspeed"] = parts.settings?.value["ds_version"]?.text
      findings.defects += parts.defects()
    }
    if !DeepSpeed.tags(reader).isEmpty { findings.defects += DeepSpeed.markerDefects(reader) }
    for name in reader.topDirectories
    where isNumbered(name, "pytorch_model_fsdp_") || isNumbered(name, "optimizer_") {
      let parts = DistributedParts(reader, in: try? RelativePath(name))
      findings.parallelism.world = findings.parallelism.world ?? parts.processes
      findings.defects += parts.defects
      findings.notices += parts.notices
    }
    findings.defects += localDefects()
  }

  private func localDefects() -> [Defect] {
    let prefix = "pytorch_model_fsdp_rank"
    let ranks = Set(
      reader.topFiles.filter { $0.hasSuffix(".bin") && isNumbered(String($0.dropLast(4)), prefix) }
        .compactMap { Int($0.dropFirst(prefix.count).dropLast(4)) }.filter { $0 < 1 << 20 })
    guard let highest = ranks.max() else { return [] }
    return (0..<highest).lazy.filter { !ranks.contains($0) }.prefix(16).map {
      Defect(try? RelativePath("\(prefix)\($0).bin"), .rankFileMissing(count: highest + 1))
    }
  }
}
