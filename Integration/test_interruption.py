"""A push or restore that was cut short goes on from its last pack, and leaves nothing half done."""

import os
import signal
import time

import pytest

from harness.trees import assert_nothing_but, assert_same, make_checkpoint

SIZE = 512
PACK = 16 << 20


@pytest.fixture(scope="module")
def large_checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("large") / "checkpoint-1000", size=SIZE)


@pytest.fixture
def repository(new_repository, store):
    return new_repository(store, pack_size="16MiB")


def wait_until(process, happened, limit=60):
    """Returns once `happened()`; fails if the process ends first."""
    deadline = time.monotonic() + limit
    while not happened():
        assert process.poll() is None, f"it ended with {process.returncode} before it could be interrupted"
        assert time.monotonic() < deadline, "it made no progress"
        time.sleep(0.005)


def disk_usage(directory):
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def finished_packs(repository):
    return [size for key, size in repository.objects.keys().items() if key.startswith("packs/")]


def test_a_killed_push_goes_on_where_it_was(repository, large_checkpoint, tmp_path):
    push = repository.ck.start("push", large_checkpoint, "--run", "demo")
    wait_until(push, lambda: len(finished_packs(repository)) >= 4)
    push.kill()
    push.wait()
    assert not repository.objects.snapshots(), "it was over before it was killed"
    done = sum(finished_packs(repository)[:-1])

    repository.ck("list", expect=(0, 4))
    pushed = repository.ck.push(large_checkpoint, "--run", "demo")
    assert pushed["uploaded_bytes"] <= pushed["bytes"] - done + PACK
    repository.ck("verify", "--deep")
    repository.ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", large_checkpoint)


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_push_ends_in_two_seconds_and_cleans_up(repository, store, large_checkpoint, interrupt):
    push = repository.ck.start("push", large_checkpoint, "--run", "demo")
    wait_until(push, lambda: len(finished_packs(repository)) >= 4)
    start = time.monotonic()
    push.send_signal(interrupt)
    push.wait(timeout=20)
    assert time.monotonic() - start < 2
    assert push.returncode == 130
    assert not repository.objects.snapshots()
    if store == "seaweedfs":
        assert repository.objects.uploads() == []
    assert repository.ck.push(large_checkpoint, "--run", "demo")["reused_bytes"] > 0


def test_a_killed_restore_shows_nothing_and_goes_on(repository, large_checkpoint, tmp_path):
    repository.ck.push(large_checkpoint, "--run", "demo")
    place = tmp_path / "place"
    place.mkdir()
    restore = repository.ck.start("restore", "demo@1000", place / "checkpoint")
    wait_until(restore, lambda: disk_usage(place) > 64 << 20)
    restore.kill()
    restore.wait()
    assert not (place / "checkpoint").exists()
    repository.ck.restore("demo@1000", place / "checkpoint")
    assert_same(place / "checkpoint", large_checkpoint)
    assert_nothing_but(place, "checkpoint")


def test_an_interrupted_restore_ends_within_two_seconds(repository, large_checkpoint, tmp_path):
    repository.ck.push(large_checkpoint, "--run", "demo")
    place = tmp_path / "place"
    place.mkdir()
    restore = repository.ck.start("restore", "demo@1000", place / "checkpoint")
    wait_until(restore, lambda: disk_usage(place) > 64 << 20)
    start = time.monotonic()
    restore.send_signal(signal.SIGINT)
    restore.wait(timeout=20)
    assert time.monotonic() - start < 2
    assert restore.returncode == 130
    assert not (place / "checkpoint").exists()
