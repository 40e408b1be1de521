"""Credentials that may do only what the policies of docs/security.md allow, and what other users of the machine can see."""

import stat
import time
from pathlib import Path

import pytest

from harness.cli import Ckbackup
from harness.servers import Role
from harness.stores import S3Objects
from harness.trees import assert_same, make_checkpoint


def acting_as(role, repository, home):
    """The program with the credentials of a role, told of the same repository."""
    return Ckbackup(home, repository.objects.url, role.of(repository.objects.endpoint))


@pytest.fixture
def shared(new_repository):
    return new_repository("seaweedfs")


def test_a_node_pushes_without_the_right_to_delete(shared, tmp_path):
    source = make_checkpoint(tmp_path / "checkpoint-1000", size=24)
    pusher = acting_as(Role.PUSHER, shared, tmp_path / "pusher")
    pusher.push(source, "--run", "demo")
    pusher.push(source, "--run", "demo")
    pusher("tag", "demo@1000", "+good")
    pusher("verify", "--deep")
    before = shared.objects.keys()
    assert "Denied" in pusher("remove", "demo@1000", "--yes", expect=1).err
    pusher("prune", "--keep-last", "1", expect=5)
    assert before.items() <= shared.objects.keys().items()
    shared.ck.restore("demo@1000", tmp_path / "out")
    assert_same(tmp_path / "out", source)


def test_ranks_push_with_the_pushing_policy(shared, checkpoint, tmp_path):
    pusher = acting_as(Role.PUSHER, shared, tmp_path / "pusher")
    for _ in range(2):
        for rank in range(2):
            done = pusher.push(checkpoint, "--run", "demo", "--rank", str(rank), "--world-size", "2", "--rank-wait", "1s")
    assert done["state"] == "present"
    assert not [key for key in shared.objects.keys() if key.startswith("parts/")]
    shared.ck.restore("demo@1000", tmp_path / "out")
    assert_same(tmp_path / "out", checkpoint)


def test_the_pushing_policy_lets_nothing_be_deleted_or_condemned(shared, tmp_path, checkpoint):
    shared.ck.push(checkpoint, "--run", "demo")
    endpoint = Role.PUSHER.of(shared.objects.endpoint)
    objects = S3Objects(endpoint, shared.objects.bucket, shared.objects.prefix)
    [pack] = shared.objects.packs()[:1]
    for forbidden in (lambda: objects.delete(pack), lambda: objects.write("deletions/x.json", b"{}"),
                      lambda: objects.write("ckbackup.json", b"{}")):
        with pytest.raises(Exception, match="403"):
            forbidden()


def test_a_node_restores_without_the_right_to_write(shared, checkpoint, tmp_path):
    shared.ck.push(checkpoint, "--run", "demo")
    before = shared.objects.keys()
    restorer = acting_as(Role.RESTORER, shared, tmp_path / "restorer")
    restorer.restore("demo@1000", tmp_path / "out")
    assert_same(tmp_path / "out", checkpoint)
    restorer("verify")
    restorer("push", checkpoint, "--run", "other", expect=5)
    assert shared.objects.keys() == before


def test_the_pruner_may_do_its_work(shared, checkpoint, tmp_path):
    pruner = acting_as(Role.PRUNER, shared, tmp_path / "pruner")
    pruner.push(checkpoint, "--run", "demo")
    pruner("verify", "--deep")
    pruner("prune", "--keep-last", "1")
    pruner("remove", "demo@1000", "--yes")
    assert not shared.objects.snapshots()


def test_a_repository_directory_is_its_owners_alone(directory_repository, checkpoint):
    directory_repository.ck.push(checkpoint, "--run", "demo")
    for path in [directory_repository.objects.root, *directory_repository.objects.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_running_program_leaves_no_core_and_no_secret_in_its_arguments(shared, tmp_path):
    source = make_checkpoint(tmp_path / "checkpoint-1000", size=64)
    process = shared.ck.start("push", source, "--run", "demo")
    try:
        deadline = time.monotonic() + 10
        while core_limit(process) != "0" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert core_limit(process) == "0"
        assert shared.objects.endpoint.secret_key not in Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.kill()
        process.wait()


def core_limit(process):
    limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    return [line.split()[4] for line in limits if line.startswith("Max core file size")][0]
