import Platform

/// `checkpoint-N` of ms-swift: a checkpoint of transformers' Trainer with `args.json`, which tells ms-swift's version, every argument and
/// the number of processes (swift/arguments/base_args, 4.6).
struct MSSwift: Layout {
  func recognises(_ checkpoint: CheckpointReader) -> Bool {
    !checkpoint.tree.isSingleFile && checkpoint.value("args.json")?["swift_version"] != nil
      && HuggingFaceTrainer().recognises(checkpoint)
  }

  func inspect(_ checkpoint: CheckpointReader) -> Findings {
    let arguments = checkpoint.value("args.json")
    let world = arguments?["global_world_size"]?.integer.flatMap { (1...1 << 20).contains($0) ? $0 : nil }
    var findings = HuggingFaceTrainer(world: world).inspect(checkpoint)
    let variants = findings.layout.split(separator: "+").dropFirst().filter {
      $0 == "deepspeed" || $0 == "fsdp"
    }
    findings.layout = (["ms_swift"] + variants.map(String.init)).joined(separator: "+")
    findings.versions["swift"] = arguments?["swift_version"]?.text
    return findings
  }
}
