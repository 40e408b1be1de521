"""One process of a tiny DeepSpeed training on CPUs: RANK PORT STAGE FOLDER STEPS [LOAD]."""

import json
import os
import sys

os.environ["DS_ACCELERATOR"] = "cpu"

import deepspeed  # noqa: E402
import torch  # noqa: E402

from process_end import exit_without_teardown  # noqa: E402


def main(rank, port, stage, folder, steps, load=None):
    os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    deepspeed.init_distributed("gloo")
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2), config={
            "train_micro_batch_size_per_gpu": 4, "zero_optimization": {"stage": int(stage)},
            "zero_allow_untested_optimizer": True, "bf16": {"enabled": True}})
    if load:
        assert engine.load_checkpoint(load)[0], "nothing was loaded"
    losses = {}
    for step in range(engine.global_steps, int(steps)):
        inputs = torch.randn(4, 8, generator=torch.Generator().manual_seed(100 * step + int(rank)))
        loss = engine(inputs.bfloat16()).square().mean()
        engine.backward(loss)
        engine.step()
        losses[step] = loss.item()
    engine.save_checkpoint(folder)
    with open(f"{folder}/../losses-{rank}.json", "w") as file:
        json.dump(losses, file)
    torch.distributed.destroy_process_group()
    exit_without_teardown()


main(*sys.argv[1:])
