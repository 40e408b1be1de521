"""Object lock: a locked snapshot outlives prunes and removals, and is gone when its lock has ended."""

import time
import xml.etree.ElementTree as ElementTree

import pytest

from harness.s3 import S3Error
from harness.stores import S3Objects
from harness.trees import assert_same, make_checkpoint


@pytest.fixture(scope="session")
def locking_bucket(seaweedfs):
    """A bucket that was made with object lock."""
    seaweedfs.request("PUT", "/locking", headers={"x-amz-bucket-object-lock-enabled": "true"})
    return "locking"


@pytest.fixture
def locking(new_repository, seaweedfs, locking_bucket):
    """A repository in such a bucket."""
    repository = new_repository("seaweedfs", init=False)
    repository.objects = S3Objects(seaweedfs, locking_bucket, repository.objects.prefix)
    settings = repository.ck.config.read_text().replace("s3://first-bucket/", f"s3://{locking_bucket}/")
    repository.ck.config.write_text(settings)
    repository.ck("init")
    return repository


def retention(repository, key):
    """Mode and end of an object's lock, or None."""
    objects = repository.objects
    try:
        answer = objects.endpoint.request("GET", objects.path(key), {"retention": ""})
    except S3Error:
        return None
    root = ElementTree.fromstring(answer)
    return root.findtext("{*}Mode"), root.findtext("{*}RetainUntilDate")


def needed(repository, snapshot):
    """The keys of all objects that a snapshot needs."""
    manifest = repository.objects.manifest(snapshot)
    keys = [key for key in repository.objects.keys() if f"-{snapshot}" in key]
    return keys + [pack["key"] for pack in manifest["packs"]]


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_a_push_locks_all_that_its_snapshot_needs(locking, checkpoint, mode):
    plain = locking.ck.push(checkpoint, "--run", "demo")
    assert not any(retention(locking, key) for key in needed(locking, plain["snapshot"]))
    pushed = locking.ck.push(checkpoint, "--run", "demo", "--lock-for", "1m", "--lock-mode", mode)
    assert pushed["already_present"]
    keys = needed(locking, pushed["snapshot"])
    assert pushed["locked_objects"] == len(keys) >= 6
    assert {retention(locking, key) for key in keys} == {(mode.upper(), pushed["locked_until"])}
    longer = locking.ck.push(checkpoint, "--run", "demo", "--lock-for", "2m", "--lock-mode", mode)
    assert longer["locked_until"] > pushed["locked_until"]
    shorter = locking.ck.push(checkpoint, "--run", "demo", "--lock-for", "10s", "--lock-mode", mode)
    assert {retention(locking, key) for key in keys} == {(mode.upper(), longer["locked_until"])}
    assert shorter["locked_until"] < longer["locked_until"]
    assert "object-lock" in locking.ck("doctor", "--json", expect=(0, 1, 3)).out


def test_a_locked_snapshot_outlives_prune_and_remove_until_its_lock_ends(locking, tmp_path):
    sources = {step: make_checkpoint(tmp_path / f"checkpoint-{step}", size=2, step=step, seed=step) for step in (1, 2)}
    locked = locking.ck.push(sources[1], "--run", "demo", "--lock-for", "30s")
    ends = time.monotonic() + 32
    locking.ck.push(sources[2], "--run", "demo")
    refused = locking.ck("remove", "demo@1", "--json", expect=5)
    assert refused.json["locked"][0]["until"] == locked["locked_until"] and refused.json["removed"] == []
    pruned = locking.ck("prune", "--keep-last", "1", "--grace", "0s", "--json").json
    assert pruned["locked_snapshots"] == [locked["snapshot"]] and pruned["condemned_objects"] == 0
    locking.ck.restore("demo@1", tmp_path / "out")
    assert_same(tmp_path / "out", sources[1])
    time.sleep(max(0, ends - time.monotonic()))
    locking.ck("prune", "--keep-last", "1", "--grace", "0s")
    last = locking.ck("prune", "--keep-last", "1", "--grace", "0s", "--json").json
    assert last["locked_snapshots"] == [] and last["deleted_objects"] > 0 and last["keeps_old_versions"]
    locking.ck("verify", "--deep")
    assert {marker["step"] for marker in locking.objects.snapshots().values()} == {2}


def test_a_locked_pack_stays_condemned_until_its_lock_ends(locking, tmp_path):
    sources = {step: make_checkpoint(tmp_path / f"checkpoint-{step}", size=2, step=step, seed=step) for step in (1, 2)}
    first = locking.ck.push(sources[1], "--run", "demo", "--lock-for", "30s")
    ends = time.monotonic() + 32
    second = locking.ck.push(sources[2], "--run", "demo")
    own = set(needed(locking, first["snapshot"])) - set(needed(locking, second["snapshot"]))
    # A marker that is written anew has no lock.
    locking.ck("tag", "demo@1", "+old")
    locking.ck("prune", "--keep-last", "1", "--grace", "0s")
    kept = locking.ck("prune", "--keep-last", "1", "--grace", "0s")
    assert "kept by a lock until" in kept.out
    again = locking.ck("prune", "--keep-last", "1", "--grace", "0s", "--json").json
    assert again["locked_objects"] == len(own) - 1 and again["locked_bytes"] > 0
    assert again["locked_until"] == first["locked_until"]
    # The same content is sent anew, since what waits for its deletion is not relied on.
    assert locking.ck.push(sources[1], "--run", "other")["uploaded_bytes"] > 0
    time.sleep(max(0, ends - time.monotonic()))
    assert locking.ck("prune", "--keep-last", "1", "--grace", "0s", "--json").json["locked_objects"] == 0
    locking.ck("verify", "--deep")


def test_where_there_are_no_locks_nothing_is_sent(repository, checkpoint):
    before = repository.objects.keys()
    assert "no object lock" in repository.ck("push", checkpoint, "--run", "demo", "--lock-for", "1d", expect=2).err
    repository.ck("push", checkpoint, "--lock-mode", "compliance", expect=2)
    repository.ck("push", checkpoint, "--lock-for", "1d", "--lock-mode", "strict", expect=2)
    assert repository.objects.keys() == before
