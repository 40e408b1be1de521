import Checkpoints
import Platform
import Testing

@Suite("Files of one process") struct RankFileTests {
  @Test(
    "a name tells whose file it is, and most files are for all",
    arguments: [
      ("rng_state_3.pth", 3), ("rng_state.pth", nil), ("random_states_12.pkl", 12),
      ("global_step4/zero_pp_rank_1_mp_rank_00_optim_states.pt", 1),
      ("global_step4/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", 0),
      ("global_step4/zero_pp_rank_7_mp_rank_00_model_states.pt", 7),
      ("global_step4/mp_rank_00_model_states.pt", nil), ("pytorch_model_fsdp_rank2.bin", 2),
      ("pytorch_model_fsdp_0/__1_0.distcp", nil), ("model-00001-of-00003.safetensors", nil),
      ("rng_state_x.pth", nil), ("rng_state_99999999999999999999.pth", nil), ("rng_state_1", nil),
    ] as [(String, Int?)])
  func names(_ path: String, _ rank: Int?) throws {
    #expect(RankFiles([]).rank(of: try RelativePath(path)) == rank)
  }

  @Test(
    "where the model is cut too, DeepSpeed's partitions are for all, since their numbers are no processes'")
  func cutModel() throws {
    let paths = try [
      "mp_rank_00_model_states.pt", "mp_rank_01_model_states.pt", "zero_pp_rank_1_mp_rank_00_optim_states.pt",
      "zero_pp_rank_1_mp_rank_01_optim_states.pt", "rng_state_3.pth",
    ].map { try RelativePath($0) }
    #expect(paths.map(RankFiles(paths).rank) == [nil, nil, nil, nil, 3])
  }
}
