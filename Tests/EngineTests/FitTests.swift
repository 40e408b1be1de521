import Checkpoints
import Testing

@testable import Engine

@Suite("Fit") struct FitTests {
  private func facts(_ layout: String = "hf_trainer", world: Int? = nil) -> TrainingFacts {
    var facts = TrainingFacts()
    facts.layout = layout
    facts.parallelism.world = world
    return facts
  }

  private func place(world: Int? = nil) -> TrainingPlace {
    var place = TrainingPlace()
    place.worldSize = world
    place.worldSizeSource = "WORLD_SIZE"
    return place
  }

  @Test("nothing is said of what is unknown on either side, or is the same")
  func unknown() {
    for layout in ["hf_trainer", "hf_trainer+deepspeed", "hf_trainer+fsdp", "megatron", "plain", ""] {
      #expect(FitWarning.all(of: facts(layout), in: place(world: 8), part: .all) == [])
      #expect(FitWarning.all(of: facts(layout, world: 8), in: place(), part: .all) == [])
      #expect(FitWarning.all(of: facts(layout, world: 8), in: place(world: 8), part: .all) == [])
    }
  }

  @Test("ZeRO needs its number of data-parallel processes, which pipelines and tensor parallelism divide")
  func zero() {
    #expect(
      FitWarning.all(of: facts("hf_trainer+deepspeed", world: 8), in: place(world: 4), part: .all)
        == [.zero(saved: 8, here: 4, source: "WORLD_SIZE")])
    var cut = facts("deepspeed", world: 8)
    (cut.parallelism.tensor, cut.parallelism.data) = (2, 4)
    #expect(FitWarning.all(of: cut, in: place(world: 8), part: .all) == [])
    #expect(
      FitWarning.all(of: cut, in: place(world: 4), part: .training)
        == [.zero(saved: 4, here: 2, source: "WORLD_SIZE")])
  }

  @Test("shards of FSDP load anywhere, and a Trainer's checkpoint goes on with other random numbers")
  func others() {
    for layout in ["hf_trainer+fsdp", "dcp"] {
      #expect(
        FitWarning.all(of: facts(layout, world: 2), in: place(world: 4), part: .all)
          == [.sharded(saved: 2, here: 4, source: "WORLD_SIZE")])
    }
    #expect(
      FitWarning.all(of: facts(world: 2), in: place(world: 4), part: .all)
        == [.worldSize(saved: 2, here: 4, source: "WORLD_SIZE")])
  }

  @Test("Megatron's older format needs a multiple of its tensor and pipeline parallelism")
  func megatron() {
    var facts = facts("megatron", world: 8)
    (facts.parallelism.tensor, facts.parallelism.pipeline) = (4, 2)
    #expect(
      FitWarning.all(of: facts, in: place(world: 12), part: .all)
        == [.megatron(tensor: 4, pipeline: 2, here: 12, source: "WORLD_SIZE")])
    #expect(
      FitWarning.all(of: facts, in: place(world: 16), part: .all)
        == [.worldSize(saved: 8, here: 16, source: "WORLD_SIZE")])
  }

  @Test("hostile sizes are no division by zero and no overflow")
  func hostile() {
    for (world, tensor, pipeline) in [(0, 0, 0), (-1, -5, 3), (Int.max, Int.max, Int.max), (1, 1 << 40, 2)] {
      var facts = facts("megatron+deepspeed", world: world)
      (facts.parallelism.tensor, facts.parallelism.pipeline) = (tensor, pipeline)
      _ = FitWarning.all(of: facts, in: place(world: 4), part: .all).map(\.sentence)
    }
  }

  @Test(
    "another major version is told, and below 1.0 an older minor one",
    arguments: [
      ("torch", "2.9.1+cu128", "1.13.1", true), ("torch", "2.9.1", "2.4.0", false),
      ("transformers", "4.57.0", "5.23.0", true), ("peft", "0.18.0", "0.15.2", true),
      ("peft", "0.15.2", "0.18.0", false), ("deepspeed", "0.18.2", "1.0", true),
      ("torch", "odd", "2.4", false),
      ("torch", "3", "2", true), ("numpy", "2.0", "1.0", false),
    ])
  func versions(_ package: String, _ saved: String, _ here: String, _ isTold: Bool) {
    var (facts, place) = (facts(), place())
    facts.versions[package] = saved
    place.versions[package] = here
    let expected = isTold ? [FitWarning.version(package: package, saved: saved, here: here)] : []
    #expect(FitWarning.all(of: facts, in: place, part: .weights) == expected)
  }

  @Test("other code is told, a shortened commit of the same is not")
  func commit() {
    var (facts, place) = (facts(), place())
    facts.commit = "0123abcd"
    place.commit = "0123abcd99"
    #expect(FitWarning.all(of: facts, in: place, part: .all) == [])
    place.commit = "ffff"
    #expect(FitWarning.all(of: facts, in: place, part: .all) == [.commit(saved: "0123abcd", here: "ffff")])
  }

  @Test("processors of another kind are told")
  func device() {
    var (facts, place) = (facts(), place())
    (facts.device, place.device) = (.npu, .cuda)
    #expect(FitWarning.all(of: facts, in: place, part: .weights) == [.device(saved: .npu, here: .cuda)])
  }

  @Test("an adapter's base model is missed where it is written as a path, not where it has a name")
  func baseModel() {
    var (facts, place) = (facts("hf_trainer+peft"), place())
    place.exists = { $0 == "/models/here" }
    for (base, isMissed) in [("/models/gone", true), ("/models/here", false), ("Qwen/Qwen3-8B", false)] {
      facts.baseModel = base
      let expected = isMissed ? [FitWarning.baseModel(path: base)] : []
      #expect(FitWarning.all(of: facts, in: place, part: .all) == expected)
    }
  }

  @Test("weights alone do not depend on the number of processes or the code, and a record on nothing")
  func parts() {
    var (facts, place) = (facts("hf_trainer+deepspeed", world: 8), place(world: 4))
    (facts.commit, place.commit) = ("aaaa", "bbbb")
    facts.versions["torch"] = "2.9"
    place.versions["torch"] = "1.9"
    #expect(
      FitWarning.all(of: facts, in: place, part: .weights)
        == [.version(package: "torch", saved: "2.9", here: "1.9")])
    #expect(FitWarning.all(of: facts, in: place, part: .record) == [])
    #expect(FitWarning.all(of: facts, in: place, part: .training).count == 3)
  }

  @Test("facts are read from records that lack them, have more, or have them in another form")
  func lenient() throws {
    func read(_ text: String) -> TrainingFacts? { TrainingFacts.decode(Array(text.utf8)) }
    #expect(read("{}") == TrainingFacts())
    #expect(read("[1]") == nil && read("torn") == nil)
    let odd =
      #"{"layout": 3, "versions": [1], "world_size": "8", "provenance": 5, "parallelism": {"tensor": []}}"#
    #expect(read(odd) == TrainingFacts())
    let full = try #require(
      read(
        #"""
        {"layout": "dcp", "world_size": 8, "parallelism": {"tensor": 2, "new": 1}, "versions": {"torch": "2.9.1+cu128"},
        "provenance": {"path": "/a/b", "code": {"commit": "abc", "dirty": true}},
        "hyperparameters": {"adapter_config.json": {"base_model_name_or_path": "/m"}}}
        """#))
    #expect(full.layout == "dcp" && full.parallelism.world == 8 && full.parallelism.tensor == 2)
    #expect(full.path == "/a/b" && full.commit == "abc" && full.baseModel == "/m" && full.device == .cuda)
    #expect(read(#"{"environment": {"device": "Ascend 910B"}}"#)?.device == .npu)
  }

  @Test("every sentence says what to do")
  func sentences() {
    let all: [FitWarning] = [
      .noRecord, .thinned, .zero(saved: 8, here: 4, source: "WORLD_SIZE"),
      .megatron(tensor: 2, pipeline: 2, here: 3, source: "--for-world-size"),
      .sharded(saved: 1, here: 2, source: "WORLD_SIZE"), .worldSize(saved: 1, here: 2, source: "WORLD_SIZE"),
      .version(package: "torch", saved: "2.9.1+cu128", here: "1.0"), .commit(saved: "a", here: "b"),
      .device(saved: .npu, here: .cuda), .baseModel(path: "/m"),
    ]
    for warning in all {
      #expect(warning.sentence.contains { ":,;".contains($0) } && warning.sentence.count > 60)
    }
    #expect(all[6].sentence.contains("install torch 2.9.1 "))
  }
}
