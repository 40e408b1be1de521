"""The way back into training: what a launcher gets from `resume`, and what `restore` says will not fit before it fetches."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.trees import assert_nothing_but, assert_same, copy_fixture, describe

RUN = ("--run", "llama-sft")


@pytest.fixture
def out(tmp_path):
    """The output directory of a training that saved twice."""
    for step in (10, 20):
        copy_fixture(f"hf_full/checkpoint-{step}", tmp_path / "out")
    return tmp_path / "out"


def tear(checkpoint):
    file = checkpoint / "model.safetensors"
    os.truncate(file, file.stat().st_size // 2)


def push(ck, out, *steps):
    for step in steps:
        ck("push", out / f"checkpoint-{step}", *RUN)


def test_a_fresh_node_gets_the_newest_checkpoint_back(repository, out):
    ck = repository.ck
    push(ck, out, 10, 20)
    original = describe(out / "checkpoint-20")
    shutil.rmtree(out)
    first = ck("resume", out, *RUN)
    assert first.out == f"{out}/checkpoint-20\n" and first.err == ""
    assert_same(out / "checkpoint-20", original)
    assert_nothing_but(out, "checkpoint-20")
    again = ck("resume", out, *RUN, "--json").json
    assert again == {"path": f"{out}/checkpoint-20", "step": 20, "source": "local"}
    shutil.rmtree(out)
    restored = ck("resume", out, *RUN, "--json").json
    assert restored["source"] == "restored" and repository.objects.snapshot(restored["snapshot"])


def test_the_run_is_found_in_the_path(directory_repository, tmp_path):
    ck = directory_repository.ck
    source = copy_fixture("hf_full/checkpoint-10", tmp_path / "my-run")
    ck("push", source)
    shutil.rmtree(tmp_path / "my-run")
    assert ck("resume", "my-run", cwd=tmp_path).out == "my-run/checkpoint-10\n"


def test_a_torn_newest_checkpoint_gives_way_to_an_older_whole_one(directory_repository, out):
    ck = directory_repository.ck
    push(ck, out, 10)
    tear(out / "checkpoint-20")
    torn = describe(out / "checkpoint-20")
    said = ck("resume", out, *RUN)
    assert said.out == f"{out}/checkpoint-10\n"
    assert "checkpoint-20 is not used" in said.err and "model.safetensors" in said.err
    assert_same(out / "checkpoint-20", torn)
    assert_nothing_but(out, "checkpoint-10", "checkpoint-20")


def test_a_torn_newest_checkpoint_is_replaced_from_the_repository_and_kept_aside(directory_repository, out):
    ck = directory_repository.ck
    push(ck, out, 10, 20)
    original = describe(out / "checkpoint-20")
    tear(out / "checkpoint-20")
    torn = describe(out / "checkpoint-20")
    said = ck("resume", out, *RUN)
    assert said.out == f"{out}/checkpoint-20\n"
    assert_same(out / "checkpoint-20", original)
    [aside] = [name for name in os.listdir(out) if name.startswith(".")]
    assert f"{out}/{aside}" in said.err
    assert_same(out / aside, torn)


def test_what_another_process_writes_to_is_neither_used_nor_moved(directory_repository, out):
    ck = directory_repository.ck
    push(ck, out, 20)
    tear(out / "checkpoint-20")
    before = describe(out / "checkpoint-20")
    with open(out / "checkpoint-20/model.safetensors", "ab"):
        refused = ck("resume", out, *RUN, expect=3)
    assert refused.out == "" and "still being written" in refused.err and "wait for that process" in refused.err
    assert_same(out / "checkpoint-20", before)
    # Once nobody writes to it, the torn one gives way.
    assert ck("resume", out, *RUN).out == f"{out}/checkpoint-20\n"


def test_callers_at_once_get_one_restore_and_the_same_path(repository, out):
    ck = repository.ck
    push(ck, out, 10, 20)
    shutil.rmtree(out)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ck("resume", out, *RUN, "--json").json, range(4)))
    assert {answer["path"] for answer in answers} == {f"{out}/checkpoint-20"}
    assert sorted(answer["source"] for answer in answers) == ["local"] * 3 + ["restored"]
    assert_nothing_but(out, "checkpoint-20")


def test_a_killed_caller_is_no_obstacle_to_the_next(repository, out):
    ck = repository.ck
    push(ck, out, 20)
    original = describe(out / "checkpoint-20")
    for delay in (0.01, 0.03, 0.06, 0.1):
        shutil.rmtree(out)
        caller = ck.start("resume", out, *RUN)
        try:
            caller.wait(delay)
        except subprocess.TimeoutExpired:
            caller.kill()
            caller.wait()
        assert ck("resume", out, *RUN).out == f"{out}/checkpoint-20\n"
        assert_same(out / "checkpoint-20", original)
        assert_nothing_but(out, "checkpoint-20")


def test_where_there_is_none_nothing_is_printed_and_nothing_is_made(directory_repository, tmp_path):
    said = directory_repository.ck("resume", tmp_path / "out", *RUN, expect=4)
    assert said.out == "" and "no complete checkpoint" in said.err
    assert_nothing_but(tmp_path)


def test_a_repository_out_of_reach_is_warned_of_and_the_local_checkpoint_is_used(directory_repository, out):
    ck = directory_repository.ck
    dead = ("--repo", "s3://bucket/prefix", "--endpoint", "http://127.0.0.1:9", *RUN)
    ck.environment |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    said = ck("resume", out, *dead)
    assert said.out == f"{out}/checkpoint-20\n" and "warning: the repository cannot be used" in said.err
    shutil.rmtree(out)
    said = ck("resume", out, *dead, expect=1)
    assert said.out == "" and "127.0.0.1:9" in said.err


def test_the_launchers_line_works_with_and_without_a_checkpoint(directory_repository, out):
    ck = directory_repository.ck
    push(ck, out, 20)

    def launch(line):
        """The words that a training started by this line of a shell script gets."""
        words = subprocess.run(["sh", "-c", line, "sh", *ck.command("resume", "out")], cwd=out.parent,
                               env=ck.environment, stdout=subprocess.PIPE, check=True).stdout.decode()
        return words.split("\n")[:-1]

    quoted = """printf '%s\\n' --resume_from_checkpoint "$("$@" --run RUN)" """
    optional = """ckpt=$("$@" --run RUN) || [ $? -eq 4 ] || exit 1
                  printf '%s\\n' train.py ${ckpt:+--resume_from_checkpoint "$ckpt"}"""
    shutil.rmtree(out)
    assert launch(quoted.replace("RUN", "llama-sft")) == ["--resume_from_checkpoint", "out/checkpoint-20"]
    assert launch(optional.replace("RUN", "llama-sft")) == ["train.py", "--resume_from_checkpoint", "out/checkpoint-20"]
    shutil.rmtree(out)
    assert launch(quoted.replace("RUN", "other")) == ["--resume_from_checkpoint", ""]
    assert launch(optional.replace("RUN", "other")) == ["train.py"]


def fake_python(ck, directory, script):
    directory.mkdir()
    (directory / "python3").write_text(script)
    (directory / "python3").chmod(0o755)
    ck.environment["PATH"] = f"{directory}:{ck.environment['PATH']}"


def test_what_will_not_fit_is_told_before_anything_is_fetched(directory_repository, tmp_path):
    ck = directory_repository.ck
    source = copy_fixture("hf_ds_zero2/checkpoint-4", tmp_path)
    ck("push", source, *RUN)
    fake_python(ck, tmp_path / "bin", """#!/bin/sh\necho '{"transformers": "4.36.0"}'\n""")
    ck.environment["WORLD_SIZE"] = "64"
    refused = ck("restore", "llama-sft@4", tmp_path / "strict", "--strict", expect=1)
    assert "ZeRO" in refused.err and "WORLD_SIZE" in refused.err and "ds_to_universal" in refused.err
    assert "transformers 4.36.0" in refused.err or "4.36.0 is installed" in refused.err
    assert not (tmp_path / "strict").exists()
    # The packs are of no need to the answer.
    said = ck("restore", "llama-sft@4", tmp_path / "restored", "--for-world-size", "3")
    assert "--for-world-size" in said.err and "WORLD_SIZE makes" not in said.err
    assert_same(tmp_path / "restored", source)
    resumed = ck("resume", tmp_path / "elsewhere", *RUN)
    assert resumed.out == f"{tmp_path}/elsewhere/checkpoint-4\n" and "WORLD_SIZE" in resumed.err
    assert ck("restore", "llama-sft@4", tmp_path / "record", "--only", "record", "--strict").err == ""


@pytest.mark.parametrize("script", ["#!/bin/sh\nexec sleep 600\n", "#!/bin/sh\nexit 1\n", "#!/bin/sh\necho '[1]'\n"])
def test_a_python_that_hangs_or_fails_is_passed_over(directory_repository, out, tmp_path, script):
    ck = directory_repository.ck
    push(ck, out, 10)
    fake_python(ck, tmp_path / "bin", script)
    assert ck("restore", "llama-sft@10", tmp_path / "restored", "--strict", timeout=30).err == ""


def test_each_part_can_be_had_alone_and_together_they_are_everything(directory_repository, out, tmp_path):
    ck = directory_repository.ck
    push(ck, out, 20)
    found = {}
    for part in ("weights", "training", "record"):
        ck("restore", "llama-sft@20", tmp_path / part, "--only", part)
        found[part] = set(os.listdir(tmp_path / part))
    assert {"model.safetensors", "config.json"} <= found["weights"] and "optimizer.pt" not in found["weights"]
    assert {"optimizer.pt", "trainer_state.json", "rng_state.pth"} <= found["training"]
    assert not found["weights"] & found["training"]
    assert found["weights"] | found["training"] == set(os.listdir(out / "checkpoint-20"))
    assert {"record.json", "SHA256SUMS", "MD5SUMS"} <= found["record"]
    assert json.loads((tmp_path / "record/record.json").read_text())["step"] == 20
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "--ignore-missing", tmp_path / "record/SHA256SUMS"],
                             cwd=tmp_path / "weights")
    assert checked.returncode == 0
