"""One push to several repositories: the checkpoint is read once, and one that fails does not hold up the others."""

import json
import re
import secrets
import shutil
import subprocess

import pytest

from harness.cli import Ckbackup
from harness.trees import assert_same, make_checkpoint

MIB = 1 << 20


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("large") / "checkpoint-2000", size=80, step=2000, seed=5)


@pytest.fixture
def ck(seaweedfs, tmp_path):
    """The program with two repositories by name: `bucket` and `nas`."""
    ck = Ckbackup(tmp_path / "home", "bucket", seaweedfs)
    ck.config.write_text(f"""
pack_size = "16MiB"
[repositories.bucket]
repository = "s3://first-bucket/team/{secrets.token_hex(6)}"
endpoint = "{seaweedfs.url}"
[repositories.nas]
repository = "{tmp_path / "nas"}"
""")
    for name in ("bucket", "nas"):
        ck("init", "--repo", name)
    return ck


def assert_whole(ck, name, checkpoint, target):
    ck("verify", "--deep", "--repo", name)
    ck.restore("demo@latest", target, "--repo", name)
    assert_same(target, checkpoint)


def push(ck, checkpoint, *arguments, **how):
    return ck("push", checkpoint, "--run", "demo", "--to", "bucket", "--to", "nas", *arguments, **how)


def test_both_have_it_and_a_second_push_sends_nothing(ck, large, tmp_path):
    first = push(ck, large, "--milestone", "--json").json
    assert first["exit_code"] == 0 and [entry["repository"] for entry in first["repositories"]] == ["bucket", "nas"]
    pushed = [entry["pushed"] for entry in first["repositories"]]
    assert pushed[0]["snapshot"] == pushed[1]["snapshot"] and pushed[0]["uploaded_bytes"] == pushed[1]["uploaded_bytes"]
    for name in ("bucket", "nas"):
        assert_whole(ck, name, large, tmp_path / f"out-{name}")
    again = push(ck, large)
    assert again.out.count("is in the repository already") == 2
    # In the order in which they end.
    assert sorted(line.split(":")[0] for line in again.out.splitlines()) == ["bucket", "nas"]


@pytest.mark.skipif(not shutil.which("strace"), reason="strace counts what is read")
def test_the_checkpoint_is_read_once(ck, large, tmp_path):
    trace = tmp_path / "trace"
    # A file a thread: in a common one, calls of two threads at once are told in two halves.
    command = ["strace", "-ff", "-qq", "-e", "trace=read,pread64,readv,preadv,preadv2,mmap", "-y", "-o", trace,
               *ck.command("push", large, "--run", "demo", "--to", "bucket", "--to", "nas", "--json")]
    done = subprocess.run(command, env=ck.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and json.loads(done.stdout)["exit_code"] == 0, done.stderr
    size = sum(path.stat().st_size for path in large.rglob("*") if path.is_file())
    told = "".join(path.read_text() for path in tmp_path.glob("trace.*"))
    calls = re.findall(rf"(?:p?readv?(?:64|2)?)\(\d+<{re.escape(str(large))}.* = (\d+)$", told, re.MULTILINE)
    # Headers are looked at before, and chunks that tensors share are looked at after.
    assert size <= sum(map(int, calls)) < 1.5 * size


def test_a_dry_run_tells_for_both_and_sends_nothing(ck, checkpoint):
    said = push(ck, checkpoint, "--dry-run")
    assert sorted(line.split(":")[0] for line in said.out.splitlines()) == ["bucket", "nas"]
    assert said.out.count("would be") == 2
    for name in ("bucket", "nas"):
        assert "demo" not in ck("list", "--repo", name).out


def test_a_repository_that_is_not_there_does_not_stop_the_other(ck, checkpoint, tmp_path):
    shutil.rmtree(tmp_path / "nas")
    done = push(ck, checkpoint, expect=1)
    assert "bucket: pushed demo@1000" in done.out and "nas" not in done.out
    assert "error: nas: there is no repository" in done.err
    assert "done: bucket; failed: nas" in done.err
    answer = push(ck, checkpoint, "--json", expect=1).json
    assert answer["repositories"][0]["pushed"]["already_present"] and answer["exit_code"] == 1
    assert answer["repositories"][1]["exit_code"] == 1 and "no repository" in answer["repositories"][1]["error"][0]
    ck("init", "--repo", "nas")
    push(ck, checkpoint)
    assert_whole(ck, "nas", checkpoint, tmp_path / "out")


def test_refused_credentials_of_one_are_its_own_exit_code(ck, checkpoint):
    ck.environment |= {"AWS_SECRET_ACCESS_KEY": "wrong"}
    done = push(ck, checkpoint, expect=5)
    assert "nas: pushed" in done.out and "error: bucket: " in done.err


def test_a_disk_that_becomes_full_in_mid_push_leaves_the_other_whole(ck, large, small_disk, tmp_path):
    disk = small_disk(size="40m")
    text = ck.config.read_text()
    ck.config.write_text(text.replace(str(tmp_path / "nas"), str(disk.path / "nas")))
    ck("init", "--repo", "nas")
    done = push(ck, large, expect=1)
    assert "bucket: pushed" in done.out and "done: bucket; failed: nas" in done.err
    # The failure is told when it happens, and once more at the end.
    assert "warning: nas: the store is full" in done.err and "The push to the others goes on." in done.err
    assert_whole(ck, "bucket", large, tmp_path / "bucket-out")
    disk.resize("200m")
    push(ck, large)
    assert_whole(ck, "nas", large, tmp_path / "nas-out")


def test_a_torn_checkpoint_is_one_error_and_pushed_nowhere(ck, large, tmp_path):
    torn = tmp_path / "torn"
    shutil.copytree(large, torn)
    weights = next(torn.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1000])
    done = push(ck, torn, expect=3)
    assert "nas" not in done.err and "bucket" not in done.err
    assert done.err.count(f"{weights.name} is torn") == 1, done.err
    for name in ("bucket", "nas"):
        assert "demo" not in ck("list", "--repo", name).out


def test_chunks_of_other_sizes_are_read_for_themselves(ck, checkpoint, tmp_path):
    other = tmp_path / "other"
    ck("init", "--repo", other, "--chunk-size", "1MiB")
    done = ck("push", checkpoint, "--run", "demo", "--to", "nas", "--to", other)
    assert "is read 2 times" in done.err and done.out.count("pushed demo@1000") == 2
    assert_whole(ck, other, checkpoint, tmp_path / "out")


def test_ranks_push_to_several(ck, large, tmp_path):
    ranks = [subprocess.Popen(
        ck.command("push", large, "--run", "demo", "--rank", str(rank), "--world-size", "2", "--group", "job-7",
                   "--to", "nas", "--to", "bucket", "--json"),
        env=ck.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for rank in range(2)]
    answers = []
    for process in ranks:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        answers.append(json.loads(out))
    assert all(len(answer["repositories"]) == 2 for answer in answers)
    for name in ("bucket", "nas"):
        assert_whole(ck, name, large, tmp_path / f"out-{name}")


@pytest.mark.parametrize("arguments, said", [
    (["--to", "bucket", "--repo", "nas"], "--to stands in place of --repo"),
    (["--to", "bucket", "--endpoint", "http://127.0.0.1:1"], "--endpoint does not go with --to bucket"),
    (["--to", "nas", "--to", "nas"], "are the same repository"),
    (["--to", "nsa"], "it has bucket, nas"),
])
def test_contradictions_are_told_before_anything_is_done(ck, checkpoint, arguments, said):
    assert said in ck("push", checkpoint, *arguments, expect=2).err


def test_a_shares_warnings_are_told_once_also_where_the_first_repository_fails(ck, tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "notes.bin").write_bytes(b"no checkpoint of any framework" * 100)
    shutil.rmtree(tmp_path / "nas")
    done = ck("push", plain, "--run", "demo", "--step", "1", "--rank", "0", "--world-size", "1", "--group", "job",
              "--to", "nas", "--to", "bucket", expect=1)
    assert "bucket: pushed demo@1" in done.out
    assert done.err.count("is no checkpoint of a known layout") == 1, done.err
