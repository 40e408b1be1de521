import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Classes of files") struct ClassifierTests {
  /// The files of class `training` among `names`, which lie in one checkpoint.
  private func training(_ names: [String]) throws -> Set<String> {
    let scratch = try Scratch()
    for name in names {
      try scratch.write(
        name, [UInt8](name.hasSuffix(".safetensors") ? Self.safetensors(elements: 1) : Array("x".utf8)))
    }
    let tree = try Tree.scan(scratch.path)
    let classifier = Classifier(tree)
    return Set(tree.files.map(\.path).filter { classifier.fileClass(of: $0) == .training }.map(\.display))
  }

  /// A file with one tensor of so many elements of a byte.
  private static func safetensors(elements: Int) -> [UInt8] {
    let header = #"{"a":{"dtype":"U8","shape":[\#(elements)],"data_offsets":[0,\#(elements)]}}"#
    return [UInt8(header.utf8.count)] + [UInt8](repeating: 0, count: 7) + Array(header.utf8)
      + [UInt8](repeating: 7, count: elements)
  }

  @Test("a file with a weights' name and no weights in it does not make DeepSpeed's partitions dispensable")
  func emptyGathering() throws {
    let partitions = [
      "global_step4/zero_pp_rank_0_mp_rank_00_model_states.pt",
      "global_step4/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
    ]
    for (content, isGathered) in [
      (Self.safetensors(elements: 0), false), (Self.safetensors(elements: 1), true),
    ] {
      let scratch = try Scratch()
      for name in partitions { try scratch.write(name, "x") }
      try scratch.write("adapter_model.safetensors", content)
      let classifier = Classifier(try Tree.scan(scratch.path))
      for name in partitions {
        #expect((classifier.fileClass(of: try RelativePath(name)) == .training) == isGathered)
      }
    }
  }

  @Test("names that only begin like a state's are of unknown use, so that nothing lets them go")
  func lookalikes() throws {
    #expect(
      try training(["scaler.pkl", "scheduler.pkl", "sampler.pt", "optimizer_config.bin", "scalers.pt"]) == [])
    #expect(try training(["optimizer_1.bin", "scheduler_2.bin", "sampler_1.bin"]).count == 3)
  }

  @Test("what only resuming needs is training; weights, settings, tokenizers and the unknown are weights")
  func trainer() throws {
    let state = [
      "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state.pth", "rng_state_3.pth",
      "random_states_0.pkl", "custom_checkpoint_1.pkl", "dl_state_dict.bin", "sampler.bin",
      "trainer_state.json", "training_args.bin",
      "events.out.tfevents.1.host", "runs/a/events.out.tfevents.2.host", "optimizer_0/__0_0.distcp",
    ]
    let rest = [
      "model.safetensors", "pytorch_model.bin", "adapter_model.safetensors", "config.json", "tokenizer.json",
      "README.md", "optimizer.md", "scheduler_config.json", "notes", "pytorch_model_fsdp_0/__0_0.distcp",
    ]
    #expect(try training(state + rest) == Set(state))
  }

  @Test("DeepSpeed's optimizer files are training, except in stage 3, where they hold the weights")
  func deepSpeed() throws {
    let optimizer = "global_step4/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"
    #expect(try training(["global_step4/mp_rank_00_model_states.pt", optimizer]) == [optimizer])
    let stage3 = "global_step4/zero_pp_rank_0_mp_rank_00_model_states.pt"
    #expect(try training([stage3, optimizer]) == [])
    #expect(try training([stage3, optimizer, "model.safetensors"]) == [stage3, optimizer])
  }

  @Test(
    "names of weights are those of transformers, PEFT and diffusers",
    arguments: [
      ("model.safetensors", true), ("model-00001-of-00002.safetensors", true), ("pytorch_model.bin", true),
      ("adapter_model.bin", true), ("diffusion_pytorch_model.safetensors", true), ("model.pt", false),
      ("model.safetensors.index.json", false), ("optimizer.bin", false), ("modeling.bin", false),
    ])
  func weights(_ name: String, _ isWeights: Bool) { #expect(isModelWeights(name) == isWeights) }
}
