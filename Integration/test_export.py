"""Directories for inference, as a user gets them; `make frameworks` holds their content to the frameworks."""

import json
import os
import signal
import struct
import time

import pytest

from harness.trees import assert_nothing_but, copy_fixture, make_checkpoint


def header(file):
    """The tensors of a safetensors file by name; each must lie within the file."""
    content = file.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    tensors = {name: entry for name, entry in json.loads(content[8:8 + length]).items() if name != "__metadata__"}
    assert max(entry["data_offsets"][1] for entry in tensors.values()) + 8 + length == len(content)
    return tensors


@pytest.mark.parametrize("name, tensors", [
    ("hf_sharded/checkpoint-4", 21), ("dcp_fsdp2/step-3", 21), ("ds_zero1_bf16/global_step4", 21),
    ("ds_zero3_bf16/global_step4", 21), ("megatron_torch_dist/iter_0001000", 17),
    ("plain_torch/ckpt_step_000012.pt", 4)])
def test_what_was_saved_in_pieces_or_pickles_becomes_whole_safetensors(repository, tmp_path, name, tensors):
    ck = repository.ck
    source = copy_fixture(name, tmp_path)
    ck("push", source, "--run", "r", "--step", "1")
    answer = ck("export", "r@1", tmp_path / "model", "--json").json
    assert answer["tensors"] == tensors == len(header(tmp_path / "model/model.safetensors"))
    # Nothing of the work stays beside it.
    assert_nothing_but(tmp_path, "model", source.name)
    # A target that is there is not touched.
    before = (tmp_path / "model/model.safetensors").read_bytes()
    ck("export", "r@1", tmp_path / "model", "--dtype", "fp16", expect=1)
    assert (tmp_path / "model/model.safetensors").read_bytes() == before


def test_an_export_that_was_killed_is_finished_by_the_same_command(directory_repository, tmp_path):
    ck = directory_repository.ck
    source = make_checkpoint(tmp_path / "checkpoint-7", size=48, step=7)
    ck("push", source, "--run", "r")
    snapshot = ck("list", "r", "--json").json["snapshots"][0]["id"]
    for delay in (0.02, 0.08, 0.15, 0.3):
        process = ck.start("export", snapshot, tmp_path / "model")
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    if not (tmp_path / "model").exists():
        ck("export", snapshot, tmp_path / "model")
    weights = [file for file in source.iterdir() if file.suffix == ".safetensors"]
    expected = {name for file in weights for name in header(file)}
    assert set(header(tmp_path / "model/model.safetensors")) == expected
    assert not [name for name in os.listdir(tmp_path) if name.endswith("-files")]


def test_nothing_is_taken_from_a_directory_that_somebody_else_put_in_the_way(directory_repository, tmp_path):
    ck = directory_repository.ck
    ck("push", copy_fixture("hf_full/checkpoint-10", tmp_path), "--run", "r")
    snapshot = ck("list", "r", "--json").json["snapshots"][0]["id"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.symlink(elsewhere, tmp_path / f".model.ckbackup-{snapshot}-files")
    refused = ck("export", snapshot, tmp_path / "model", expect=1)
    assert "ckbackup-" in refused.err and not (tmp_path / "model").exists() and not list(elsewhere.iterdir())


def test_words_that_are_none_are_refused(directory_repository, tmp_path):
    ck = directory_repository.ck
    ck("push", copy_fixture("hf_full/checkpoint-10", tmp_path), "--run", "r")
    for words in (["--dtype", "int8"], ["--max-shard-size", "many"]):
        ck("export", "r@10", tmp_path / "model", *words, expect=2)
    ck("export", "r@11", tmp_path / "model", expect=4)
    assert not (tmp_path / "model").exists()
