"""What an export writes is what the frameworks themselves load."""

import sys
import types

import pytest
import torch
import torch.distributed.checkpoint.format_utils as dcp
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def same(a, b):
    """Bit for bit, NaN or not."""
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(
        a.contiguous().view(torch.uint8) if a.dim() else a.reshape(1).view(torch.uint8),
        b.contiguous().view(torch.uint8) if b.dim() else b.reshape(1).view(torch.uint8))


def exported(ck, source, tmp_path, *options):
    ck("push", source, "--run", "run", "--step", "1", *(["--allow-incomplete"] if "fsdp2_parts" in str(source) else []))
    snapshot = ck("list", "run", "--json").json["snapshots"][0]["id"]
    ck("export", snapshot, tmp_path / "model", *options)
    return tmp_path / "model"


def logits(path):
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    with torch.no_grad():
        return model(torch.arange(12).reshape(1, 12)).logits


@pytest.mark.parametrize("options", [[], ["--max-shard-size", "10KiB"]])
@pytest.mark.parametrize("name", ["hf_full/checkpoint-10", "hf_sharded/checkpoint-4", "hf_ds_zero2/checkpoint-4"])
def test_an_exported_model_gives_the_same_logits(ck, fixtures, tmp_path, name, options):
    model = exported(ck, fixtures / name, tmp_path, *options)
    assert torch.equal(logits(model), logits(fixtures / name))
    assert not [path.name for path in model.iterdir() if path.name.startswith(("optimizer", "scheduler", "rng", "train"))]


def test_bf16_is_rounded_as_torch_rounds(ck, fixtures, tmp_path):
    model = exported(ck, fixtures / "hf_full/checkpoint-10", tmp_path, "--dtype", "bf16")
    before = load_file(fixtures / "hf_full/checkpoint-10/model.safetensors")
    after = load_file(model / "model.safetensors")
    assert all(same(after[name], before[name].to(torch.bfloat16)) for name in before)
    assert AutoModelForCausalLM.from_pretrained(model).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "name", ["ckpt_step_000012.pt", "ckpt_legacy.pt", "state_dict_bf16.pth", "state_dict_only.pt", "views.pt"])
def test_torch_files_become_the_tensors_that_torch_loads(ck, fixtures, tmp_path, name):
    loaded = torch.load(fixtures / "plain_torch" / name, weights_only=False)
    loaded = next((loaded[key] for key in ("model_state_dict", "model") if key in loaded), loaded)
    written = load_file(exported(ck, fixtures / "plain_torch" / name, tmp_path) / "model.safetensors")
    assert written.keys() == {key for key, value in loaded.items() if isinstance(value, torch.Tensor)}
    assert all(same(written[key], loaded[key]) for key in written)


@pytest.mark.parametrize(
    "name, inner", [
        ("dcp_fsdp2/step-3", ""), ("megatron_torch_dist/iter_0001000", ""),
        ("hf_fsdp2_parts/checkpoint-3", "pytorch_model_fsdp_0")])
def test_distributed_checkpoints_become_what_dcp_to_torch_save_gives(ck, fixtures, tmp_path, name, inner):
    dcp.dcp_to_torch_save(fixtures / name / inner, tmp_path / "whole.pt")
    whole = torch.load(tmp_path / "whole.pt", weights_only=False)
    expected = {key: value for key, value in whole.get("model", whole).items() if isinstance(value, torch.Tensor)}
    written = load_file(exported(ck, fixtures / name, tmp_path) / "model.safetensors")
    assert written.keys() == expected.keys()
    assert all(same(written[key], expected[key]) for key in written)


class Ignored:
    """Stands for DeepSpeed's own classes, which the weights do not need."""

    def __init__(self, *_):
        pass

    def __setstate__(self, _):
        pass


@pytest.fixture
def deepspeed_names(monkeypatch):
    for name in ("deepspeed", "deepspeed.runtime", "deepspeed.runtime.zero", "deepspeed.runtime.zero.config",
                 "deepspeed.runtime.fp16", "deepspeed.runtime.fp16.loss_scaler", "deepspeed.utils",
                 "deepspeed.utils.tensor_fragment"):
        module = types.ModuleType(name)
        module.__path__ = []
        module.__getattr__ = lambda name: type(name, (Ignored,), {}) if not name.startswith("__") else None
        monkeypatch.setitem(sys.modules, name, module)


def gathered(folder):
    """The parameters in full precision, gathered as DeepSpeed's zero_to_fp32 describes it: with torch, all in memory."""
    ranks = [torch.load(file, weights_only=False)["optimizer_state_dict"]
             for file in sorted(folder.glob("*_optim_states.pt"))]
    model = torch.load(min(folder.glob("*_model_states.pt")), weights_only=False)
    whole = {}
    if "fp32_flat_groups" in ranks[0]:
        rows, start = [torch.cat(rank["fp32_flat_groups"]) for rank in ranks], 0
        for name, shape in ((n, s) for group in model["param_shapes"] for n, s in group.items()):
            share = -(-shape.numel() // len(rows))
            whole[name] = torch.cat([row[start:start + share] for row in rows])[:shape.numel()].view(shape)
            start += share
        return whole
    for index, group in enumerate(model["param_shapes"]):
        row, start = torch.cat([rank["single_partition_of_fp32_groups"][index] for rank in ranks]), 0
        for name, shape in group.items():
            whole[name] = row[start:start + shape.numel()].view(shape)
            start += shape.numel()
    return whole


@pytest.mark.parametrize("whole_run", [False, True])
@pytest.mark.parametrize("name", ["ds_zero1_bf16", "ds_zero3_bf16"])
def test_partitions_of_zero_become_the_weights_in_full_precision(
        ck, fixtures, tmp_path, deepspeed_names, name, whole_run):
    folder = fixtures / name / "global_step4"
    written = load_file(exported(ck, folder.parent if whole_run else folder, tmp_path) / "model.safetensors")
    expected = gathered(folder)
    assert written.keys() == expected.keys()
    assert all(same(written[key], expected[key]) for key in written)
