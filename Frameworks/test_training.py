"""A training that lost its node goes on as if nothing had happened."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
from safetensors.torch import load_file
from transformers import (
    LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments, set_seed)

from harness.cli import BINARY
from process_end import exit_without_teardown


class Numbers(torch.utils.data.Dataset):
    """Sequences that are the same in every run."""

    def __len__(self):
        return 32

    def __getitem__(self, index):
        tokens = torch.randint(0, 64, (16,), generator=torch.Generator().manual_seed(index))
        return {"input_ids": tokens, "labels": tokens}


def train(output, until, resume=None):
    """Trains a tiny Llama with dropout up to a step; gives the losses by step and the weights."""
    set_seed(7)
    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        attention_dropout=0.1)
    arguments = TrainingArguments(
        output_dir=str(output), max_steps=12, save_steps=4, logging_steps=1, per_device_train_batch_size=2,
        learning_rate=1e-2, lr_scheduler_type="cosine", report_to=[], disable_tqdm=True, use_cpu=True, seed=7)
    trainer = Trainer(model=LlamaForCausalLM(config), args=arguments, train_dataset=Numbers())
    if until < 12:
        trainer.add_callback(StopAt(until))
    trainer.train(resume_from_checkpoint=resume)
    losses = {row["step"]: row["loss"] for row in trainer.state.log_history if "loss" in row}
    return losses, {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step >= self.step


def test_a_trainer_run_goes_on_to_the_same_losses_and_weights(ck, tmp_path):
    losses, weights = train(tmp_path / "straight", 12)
    output = tmp_path / "out"
    train(output, 8)
    for step in (4, 8):
        ck("push", output / f"checkpoint-{step}", "--run", "llama")
    shutil.rmtree(output)

    found = ck("resume", output, "--run", "llama").out.strip()
    assert found.endswith("checkpoint-8")
    later, restored = train(output, 12, resume=found)
    assert {step: loss for step, loss in later.items() if step > 8} == {
        step: loss for step, loss in losses.items() if step > 8}
    assert all(torch.equal(weights[name], restored[name]) for name in weights)


def sharded(rank, world, port, folder, steps, load):
    """Trains a model whose tensors are sharded over processes, and saves or loads it by DCP."""
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    start = 0
    if load:
        state = dict(zip(("model", "optim"), get_state_dict(model, optimizer)))
        dcp.load(state, checkpoint_id=load)
        set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optim"])
        start = 3
    for step in range(start, steps):
        inputs = torch.randn(4, 8, generator=torch.Generator().manual_seed(100 * step + rank))
        model(inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    state = dict(zip(("model", "optim"), get_state_dict(model, optimizer)))
    dcp.save(state, checkpoint_id=folder)
    dist.destroy_process_group()
    exit_without_teardown()


def run(port, *arguments):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=sharded, args=(rank, 2, port, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_sharded_run_of_two_processes_goes_on_to_the_same_weights(ck, tmp_path):
    run(free_port(), str(tmp_path / "straight/step-6"), 6, None)
    run(free_port(), str(tmp_path / "first/step-3"), 3, None)
    ck("push", tmp_path / "first/step-3", "--run", "sharded")
    shutil.rmtree(tmp_path / "first")
    ck("restore", "sharded@3", tmp_path / "back")
    run(free_port(), str(tmp_path / "second/step-6"), 6, str(tmp_path / "back"))

    for name, folder in (("a", "straight"), ("b", "second")):
        ck("push", tmp_path / folder / "step-6", "--run", name)
        ck("export", f"{name}@6", tmp_path / name)
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def deepspeed(stage, folder, steps, load=None):
    """Two processes of a DeepSpeed training; gives the losses of each by step."""
    port, script = str(free_port()), Path(__file__).with_name("deepspeed_training.py")
    # DeepSpeed compiles its communication at the first start, with the ninja of this environment.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    folder.parent.mkdir(exist_ok=True)
    processes = [
        subprocess.Popen(
            [sys.executable, script, rank, port, str(stage), folder, str(steps), *([load] if load else [])],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in "01"]
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return [json.loads((folder.parent / f"losses-{rank}.json").read_text()) for rank in "01"]


@pytest.mark.parametrize("stage", [1, 3])
def test_a_deepspeed_run_of_two_processes_goes_on_to_the_same_losses_and_weights(ck, tmp_path, stage):
    straight = deepspeed(stage, tmp_path / "straight/out", 6)
    deepspeed(stage, tmp_path / "first/out", 3)
    ck("push", tmp_path / "first/out", "--run", "zero")
    shutil.rmtree(tmp_path / "first")
    ck("restore", "zero@3", tmp_path / "back")
    later = deepspeed(stage, tmp_path / "second/out", 6, tmp_path / "back")
    assert later == [{step: loss for step, loss in losses.items() if int(step) >= 3} for losses in straight]

    for name in ("straight", "second"):
        ck("push", tmp_path / name / "out", "--run", name)
        ck("export", f"{name}@6", tmp_path / f"{name}-weights")
    a, b = (load_file(tmp_path / f"{name}-weights/model.safetensors") for name in ("straight", "second"))
    # DeepSpeed's own gathering of what was restored and trained on.
    expected = get_fp32_state_dict_from_zero_checkpoint(str(tmp_path / "second/out"))
    assert a.keys() == b.keys() == expected.keys()
    assert all(torch.equal(a[key], b[key]) and torch.equal(b[key], expected[key]) for key in a)


def test_a_launcher_gets_an_empty_argument_where_there_is_nothing_to_resume(ck, tmp_path):
    line = f'printf "[%s]" "$({BINARY} resume {tmp_path}/none --run nothing --repo {tmp_path}/repository)"'
    assert subprocess.run(["sh", "-c", line], capture_output=True, text=True).stdout == "[]"
