extension FitWarning {
  /// What will not fit, and what to do.
  ///
  /// DeepSpeed refuses another data-parallel size ("Automatic adjustment of ZeRO's optimizer state partitioning … is not currently
  /// supported", runtime/zero/stage_1_and_2.py); its universal format is made by checkpoint/ds_to_universal.py and loaded with
  /// `load_universal` (runtime/constants.py).
  public var sentence: String {
    switch self {
    case .noRecord:
      "the snapshot's record is missing, so nobody can tell whether it fits here: compare versions and the number of processes yourself"
    case .thinned:
      "a prune has thinned the snapshot to its weights, so training cannot go on from it as it was: take a newer one or a milestone, or start from the weights with a new optimizer"
    case .zero(let saved, let here, let source):
      "DeepSpeed ZeRO was saved by \(saved) data-parallel \(Self.processes(saved)), and \(source) makes it \(here): DeepSpeed loads it with \(saved) only. Start as many, or convert it by deepspeed/checkpoint/ds_to_universal.py and set \"checkpoint\": {\"load_universal\": true}"
    case .megatron(let tensor, let pipeline, let here, let source):
      "the Megatron checkpoint is cut by tensor parallelism \(tensor) and pipeline parallelism \(pipeline), and \(source) says \(here) \(Self.processes(here)): start a multiple of \(tensor * pipeline) with the same two sizes, or convert it with Megatron's tools/checkpoint/convert.py"
    case .sharded(let saved, let here, let source):
      "the checkpoint has shards of \(saved) \(Self.processes(saved)), and \(source) says \(here): torch.distributed.checkpoint, and FSDP through it, deal them anew, but the order of data and random numbers will differ; a loader of single files needs ckbackup export"
    case .worldSize(let saved, let here, let source):
      "\(saved) \(Self.processes(saved)) trained, and \(source) says \(here): it loads, but the order of data, random numbers and the batch of all processes together will differ; adjust gradient accumulation, or start \(saved)"
    case .version(let package, let saved, let here):
      "it was written with \(package) \(saved), and \(here) is installed here: install \(package) \(Self.release(saved)) where it does not load"
    case .commit(let saved, let here):
      "the training's code was at commit \(saved.prefix(12)), and \(here.prefix(12)) is checked out here: check out \(saved.prefix(12)) to go on with the same code"
    case .device(let saved, let here):
      "it was trained on \(saved.rawValue), and this machine has \(here.rawValue): load it with map_location=\"cpu\", and expect random states and fused optimizers not to carry over"
    case .baseModel(let path):
      "the adapter's base model \(path) is not here: put it there, or set base_model_name_or_path in adapter_config.json"
    }
  }

  private static func processes(_ count: Int) -> String { count == 1 ? "process" : "processes" }

  /// A version without what it says of its build: `2.9.1+cu128` is 2.9.1.
  private static func release(_ version: String) -> Substring { version.prefix { $0 != "+" } }
}
