"""What was pushed comes back exactly: bytes, names, modes, times, links, empty directories, holes."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.cli import BINARY, Ckbackup
from harness.trees import (FIXTURES, assert_nothing_but, assert_same, copy_fixture, data_ranges, make_checkpoint,
                           set_times)

EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
CHECKPOINTS = {name: facts for name, facts in EXPECTED.items() if not name.startswith("broken/")}
# Their step stands in a pickle, and pickles are not read.
STEP_IN_PICKLE = {"plain_torch/ckpt_legacy.pt", "plain_torch/ckpt_no_optimizer.pt", "lightning/checkpoints/last.ckpt"}


def arguments_for(name, facts):
    """What a user would have to add for a checkpoint whose step cannot be found, or that is not whole."""
    step = [] if facts["step"] is not None and name not in STEP_IN_PICKLE else ["--step", str(facts["step"] or 1)]
    return step + ([] if facts["complete"] else ["--allow-incomplete"])


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_layout_comes_back_exactly(repository, tmp_path, name):
    facts = CHECKPOINTS[name]
    source = copy_fixture(name, tmp_path)
    pushed = repository.ck.push(source, "--run", "fixture", *arguments_for(name, facts))
    assert pushed["step"] == (facts["step"] or 1)
    repository.ck("verify", "--deep")
    repository.ck.restore(pushed["snapshot"], tmp_path / "out/restored")
    assert_same(tmp_path / "out/restored", source)
    assert_nothing_but(tmp_path / "out", "restored")


def test_a_store_that_ignores_conditions_and_invents_etags_will_do(new_repository, tmp_path):
    source = make_checkpoint(tmp_path / "checkpoint-1000", size=48)
    repository = new_repository("rclone")
    repository.ck.push(source, "--run", "demo")
    repository.ck("verify")
    repository.ck("verify", "--deep")
    repository.ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", source)


def test_a_large_checkpoint_of_files_of_many_parts(repository, tmp_path):
    """2 GiB; an optimizer of more than a pack's gibibyte."""
    source = make_checkpoint(tmp_path / "checkpoint-1000", size=2048)
    pushed = repository.ck.push(source, "--run", "large", timeout=600)
    assert pushed["bytes"] > 1.9 * 2**30
    repository.ck("verify")
    repository.ck.restore("large@1000", tmp_path / "restored", timeout=600)
    assert_same(tmp_path / "restored", source)


def test_five_thousand_small_files(repository, tmp_path):
    source = tmp_path / "checkpoint-5"
    for number in range(5000):
        folder = source / f"shard-{number % 97:02}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"part-{number}").write_bytes(random.Random(number).randbytes(number % 3000))
    set_times(source)
    pushed = repository.ck.push(source, "--run", "many", "--step", "5")
    assert pushed["files"] == 5000
    # Small files share objects: no store should get thousands of them.
    assert len(repository.objects.keys()) < 50
    repository.ck.restore("many@5", tmp_path / "restored")
    assert_same(tmp_path / "restored", source)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can push such a directory")
def test_directories_without_search_permission_come_back_for_any_user():
    """Root may look up names in every directory, so that the restore has to be another user's."""
    user = 65534
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "checkpoint-7"
        (source / "closed").mkdir(parents=True)
        (source / "data").write_bytes(b"data")
        set_times(source)
        (source / "closed").chmod(0o444)
        ck = Ckbackup(folder / "home", str(folder / "repository"))
        ck("init")
        ck("push", source, "--run", "modes")
        for directory, folders, files in os.walk(folder):
            for path in [directory, *(os.path.join(directory, entry) for entry in folders + files)]:
                os.chown(path, user, -1)
        binary = shutil.copy(BINARY, folder / "ckbackup")
        os.chmod(binary, 0o755)
        command = [binary, *ck.command("restore", "modes@7", folder / "restored")[1:]]
        done = subprocess.run(command, user=user, env=ck.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert_same(folder / "restored", source)
        # Such a copy is found again, and not restored once more beside it.
        (folder / "out").mkdir()
        os.chown(folder / "out", user, -1)
        command = [binary, *ck.command("resume", folder / "out", "--run", "modes")[1:]]
        for _ in range(2):
            done = subprocess.run(command, user=user, env=ck.environment, capture_output=True, text=True)
            assert done.returncode == 0 and "aside" not in done.stderr, done.stderr
            assert os.listdir(folder / "out") == ["checkpoint-7"]


def test_modes_times_links_and_empty_directories(repository, tmp_path):
    source = tmp_path / "checkpoint-7"
    (source / "empty/inside").mkdir(parents=True)
    (source / "data").mkdir()
    for mode in (0o400, 0o600, 0o644, 0o755, 0o664):
        (source / f"data/{mode:o}").write_bytes(b"x" * mode)
        (source / f"data/{mode:o}").chmod(mode)
    (source / "nothing").write_bytes(b"")
    (source / "latest").symlink_to("data")
    (source / "best").symlink_to("/runs/llama/checkpoint-5")
    (source / "itself").symlink_to("itself")
    (source / "upwards").symlink_to("../..")
    os.link(source / "data/644", source / "hard link")
    set_times(source)
    os.utime(source / "nothing", ns=(1, 1))
    (source / "data").chmod(0o750)
    (source / "empty").chmod(0o700)
    repository.ck.push(source, "--run", "modes", "--step", "7")
    repository.ck.restore("modes@7", tmp_path / "restored")
    assert_same(tmp_path / "restored", source)


def test_sparse_files_keep_their_holes(repository, tmp_path):
    source = tmp_path / "checkpoint-8"
    source.mkdir()
    layouts = {"middle": ([0, 40 << 20], 64 << 20), "tail": ([0], 50 << 20), "head": ([33 << 20], (33 << 20) + 5000),
               "all": ([], 20 << 20)}
    for name, (offsets, size) in layouts.items():
        with open(source / name, "wb") as file:
            for offset in offsets:
                file.seek(offset)
                file.write(random.Random(offset).randbytes(5000))
            file.truncate(size)
    holes = {name: data_ranges(source / name) for name in layouts}
    if holes["all"]:
        pytest.skip("this file system has no holes")
    pushed = repository.ck.push(source, "--run", "sparse", "--step", "8")
    assert pushed["uploaded_bytes"] < 34 << 20
    repository.ck.restore("sparse@8", tmp_path / "restored")
    assert_same(tmp_path / "restored", source)
    assert {name: data_ranges(tmp_path / "restored" / name) for name in layouts} == holes


AWKWARD = [
    b"with space", b" leading and trailing ", b"new\nline", b"carriage\rreturn", b"back\\slash", b"back\\nslash-n",
    b"-leading-dash", b"--help", b"percent%20", b"100%", b"quote'\"`$x", b"*?[glob]", b"tab\tbell\a", b"#hash",
    "größe-模型-🦙".encode(), "e\u0301 decomposed".encode(), "\u00e9 composed".encode(), b"latin1-\xe9\xff",
    b"\xc3(",
    b"n" * 255, "ü".encode() * 127, b".hidden", b"...", b"CON", b"a:b", b"semi;colon", b"~", b"\x7f",
]


def test_awkward_names_and_the_digest_lists_as_coreutils_reads_them(repository, tmp_path):
    source = os.fsencode(tmp_path / "checkpoint-9")
    os.mkdir(source)
    for number, name in enumerate(AWKWARD):
        with open(os.path.join(source, name), "wb") as file:
            file.write(name * number)
    os.mkdir(os.path.join(source, b"dir\n\xff"))
    with open(os.path.join(source, b"dir\n\xff/in\\side"), "wb") as file:
        file.write(b"inside")
    os.symlink(b"\xff\n", os.path.join(source, b"link \xfe"))
    set_times(tmp_path / "checkpoint-9")
    pushed = repository.ck.push(tmp_path / "checkpoint-9", "--run", "awkward names/ü", "--step", "9")
    restored = tmp_path / "restored"
    repository.ck.restore("awkward names/ü@9", restored)
    assert_same(restored, tmp_path / "checkpoint-9")

    for program, name in (("sha256sum", "SHA256SUMS"), ("md5sum", "MD5SUMS")):
        sums = repository.objects.record(pushed["snapshot"], name)
        assert sums.count(b"\n") == len(AWKWARD) + 1
        (tmp_path / name).write_bytes(sums)
        subprocess.run([program, "--check", "--strict", "--quiet", tmp_path / name], cwd=restored, check=True)
    sums = repository.objects.record(pushed["snapshot"], "SHA256SUMS")
    assert hashlib.sha256(sums).hexdigest()[:16] == pushed["snapshot"], "the id is not that of the content"


def test_only_a_part_can_be_restored(directory_repository, checkpoint, tmp_path):
    ck = directory_repository.ck
    ck.push(checkpoint, "--run", "demo")
    ck.restore("demo@1000", tmp_path / "weights", "--only", "weights")
    names = {path.name for path in (tmp_path / "weights").iterdir()}
    assert "model.safetensors" in names and "config.json" in names
    assert not names & {"optimizer.pt", "scheduler.pt", "rng_state.pth"}
    ck.restore("demo@1000", tmp_path / "some", "--include", "*.json", "--exclude", "trainer_*")
    assert {path.name for path in (tmp_path / "some").iterdir()} == {"config.json", "generation_config.json"}


def test_an_existing_target_is_kept_unless_told_otherwise(directory_repository, checkpoint, tmp_path):
    ck = directory_repository.ck
    ck.push(checkpoint, "--run", "demo")
    target = tmp_path / "target"
    target.mkdir()
    (target / "precious").write_text("mine")
    ck.restore("demo@1000", target, expect=(1, 2))
    assert_nothing_but(target, "precious")
    ck.restore("demo@1000", target, "--overwrite")
    assert (target / "model.safetensors").read_bytes() == (checkpoint / "model.safetensors").read_bytes()


def test_a_repository_moves_as_plain_files(new_repository, checkpoint, tmp_path):
    """Objects copied from a bucket to a directory are the same repository."""
    bucket, directory = new_repository("seaweedfs"), new_repository("directory", init=False)
    bucket.ck.push(checkpoint, "--run", "demo")
    bucket.objects.copy_to(directory.objects.root)
    directory.ck("verify", "--deep")
    directory.ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", checkpoint)


def test_a_fresh_machine_needs_nothing_but_the_repository(repository, checkpoint, tmp_path):
    repository.ck.push(checkpoint, "--run", "demo")
    shutil.rmtree(repository.ck.home / "cache", ignore_errors=True)
    repository.ck.restore("demo@latest", tmp_path / "restored")
    assert_same(tmp_path / "restored", checkpoint)
