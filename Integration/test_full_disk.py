"""A disk that becomes full ends a push or restore with a sentence; when it has room again, the same command goes on."""

import os
import subprocess

import pytest

from harness.cli import Ckbackup
from harness.promises import Promises
from harness.trees import assert_nothing_but, assert_same, make_checkpoint

MIB = 1 << 20
# A pack's table and its frame, at most.
TABLE = 16 << 10


@pytest.fixture(scope="module")
def promises(tmp_path_factory):
    place = tmp_path_factory.mktemp("sources")
    return Promises({step: make_checkpoint(place / f"checkpoint-{step}", size=size, step=step, seed=step)
                     for step, size in ((100, 4), (200, 64))})


def the_sentence(result):
    """The only line of an error, but for warnings and progress."""
    [sentence] = [line for line in result.err.splitlines() if line.startswith("error: ")]
    return sentence


def test_a_push_to_a_full_disk_goes_on_when_there_is_room(promises, small_disk, tmp_path):
    disk = small_disk(size="40m")
    # The least memory and small packs, so that some packs are finished before the disk is full.
    repository = Ckbackup(tmp_path / "home", str(disk.path / "repository"), memory="128MiB", pack_size="4MiB")
    objects_root = disk.path / "repository"
    repository("init", "--chunk-size", "1MiB")
    repository.push(promises.sources[100], "--run", "demo")
    packs = set(objects_root.glob("packs/*/*/*"))

    for _ in range(2):
        result = repository("push", promises.sources[200], "--run", "demo", expect=1)
        assert "full" in the_sentence(result) and "again" in the_sentence(result), result
        assert [path.name[:12] for path in objects_root.glob("snapshots/*/*.json")] == ["000000000100"]
        repository.restore("demo@100", tmp_path / "restored", "--overwrite")
        assert_same(tmp_path / "restored", promises.trees[100])
    repository("verify", "--deep")

    new = [path.stat().st_size for path in set(objects_root.glob("packs/*/*/*")) - packs]
    assert new, "no pack was finished before the disk was full"
    disk.resize("200m")
    pushed = repository.push(promises.sources[200], "--run", "demo")
    assert pushed["uploaded_bytes"] <= pushed["bytes"] - sum(size - TABLE for size in new)
    repository("verify", "--deep")
    for step in (100, 200):
        repository.restore(f"demo@{step}", tmp_path / f"restored-{step}")
        assert_same(tmp_path / f"restored-{step}", promises.trees[step])


@pytest.fixture
def repository(directory_repository, promises):
    directory_repository.ck.push(promises.sources[200], "--run", "demo")
    return directory_repository


def test_a_restore_that_cannot_fit_writes_nothing(repository, promises, small_disk):
    disk = small_disk(size="8m")
    result = repository.ck.restore("demo@200", disk.path / "checkpoint", expect=1)
    assert "free" in the_sentence(result)
    assert_nothing_but(disk.path)
    disk.resize("100m")
    repository.ck.restore("demo@200", disk.path / "checkpoint")
    assert_same(disk.path / "checkpoint", promises.trees[200])


def test_a_restore_goes_on_where_the_disk_was_full(directory_repository, small_disk, tmp_path):
    # Files of ten bytes take a page each, so that what seems to fit does not, wherever the restore begins.
    source, ck = tmp_path / "source", directory_repository.ck
    source.mkdir()
    (source / "large.bin").write_bytes(os.urandom(32 * MIB))
    for number in range(2000):
        (source / f"small-{number:04}").write_text(f"{number:010}")
    ck.push(source, "--run", "small", "--step", "1")
    disk = small_disk(size=34 * MIB)
    result = ck.restore("small@1", disk.path / "checkpoint", expect=1)
    assert "full" in the_sentence(result) and "again" in the_sentence(result), result
    assert not (disk.path / "checkpoint").exists()

    disk.resize(64 * MIB)
    restored = ck("restore", "small@1", disk.path / "checkpoint", "--json").json
    assert restored["resumed_bytes"] > 0
    assert_same(disk.path / "checkpoint", source)
    assert_nothing_but(disk.path, "checkpoint")


def test_a_restore_without_room_for_names_goes_on_when_there_is(repository, promises, small_disk):
    disk = small_disk(size="100m", nr_inodes=6)
    result = repository.ck.restore("demo@200", disk.path / "checkpoint", expect=1)
    assert "full" in the_sentence(result)
    assert not (disk.path / "checkpoint").exists()
    subprocess.run(["mount", "-o", "remount,nr_inodes=1000", disk.path], check=True)
    repository.ck.restore("demo@200", disk.path / "checkpoint")
    assert_same(disk.path / "checkpoint", promises.trees[200])
    assert_nothing_but(disk.path, "checkpoint")
