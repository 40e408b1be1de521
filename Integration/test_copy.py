"""Snapshots go whole from one repository to another, whatever the two are kept in, and damaged ones do not."""

import time

import pytest

from harness.trees import assert_same, make_checkpoint

PAIRS = [("seaweedfs", "directory"), ("directory", "seaweedfs"), ("seaweedfs", "seaweedfs"), ("rclone", "seaweedfs"),
         ("directory", "directory")]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two checkpoints, the first large enough for packs of several parts."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {1000: make_checkpoint(root / "checkpoint-1000", size=40, step=1000, seed=1),
            2000: make_checkpoint(root / "checkpoint-2000", size=2, step=2000, seed=2)}


@pytest.fixture
def pair(new_repository):
    """Makes a source and a target; the target's configuration names variables of its own for its credentials."""

    def make(source, target, **settings):
        source, target = new_repository(source, **settings), new_repository(target)
        if "AWS_ACCESS_KEY_ID" in target.ck.environment:
            keys = {"TARGET_KEY": target.ck.environment["AWS_ACCESS_KEY_ID"],
                    "TARGET_SECRET": target.ck.environment["AWS_SECRET_ACCESS_KEY"]}
            for program in (source.ck, target.ck):
                program.environment |= keys
            with open(target.ck.config, "a") as file:
                file.write('access_key_variable = "TARGET_KEY"\nsecret_key_variable = "TARGET_SECRET"\n')
        return source, target

    return make


def copy(source, target, *arguments, **how):
    return source.ck("copy", *arguments, "--to", target.objects.url, "--to-config", target.ck.config, "--json", **how)


@pytest.mark.parametrize("kinds", PAIRS, ids="-to-".join)
def test_copied_snapshots_restore_bit_for_bit(pair, checkpoints, tmp_path, kinds):
    source, target = pair(*kinds)
    for step, checkpoint in checkpoints.items():
        source.ck.push(checkpoint, "--run", "demo", "--tag", f"t{step}")
    first = copy(source, target).json
    assert sorted(snapshot["step"] for snapshot in first["copied"]) == [1000, 2000] and not first["damages"]
    assert source.objects.packs() == target.objects.packs()
    target.ck("verify", "--deep")
    target.ck("verify")
    for step, checkpoint in checkpoints.items():
        target.ck.restore(f"demo@t{step}", tmp_path / str(step))
        assert_same(tmp_path / str(step), checkpoint)

    again = copy(source, target).json
    assert not again["copied"] and len(again["already_present"]) == 2 and again["packs"] == 0
    assert target.ck.push(checkpoints[1000], "--run", "demo")["already_present"]


def test_only_what_is_chosen_is_copied(pair, checkpoints):
    source, target = pair("directory", "directory")
    for step, checkpoint in checkpoints.items():
        source.ck.push(checkpoint, "--run", "demo", "--tag", f"t{step}")
    copy(source, target, "--tag", "paper", expect=4)
    copy(source, target, "--run", "other", expect=4)
    assert [snapshot["step"] for snapshot in copy(source, target, "--tag", "t2000").json["copied"]] == [2000]
    assert [snapshot["step"] for snapshot in copy(source, target, "demo@1000").json["copied"]] == [1000]


@pytest.mark.parametrize("kinds", [("seaweedfs", "seaweedfs"), ("directory", "seaweedfs")], ids="-to-".join)
def test_a_damaged_snapshot_is_named_and_left_out(pair, checkpoints, kinds):
    source, target = pair(*kinds)
    small = source.ck.push(checkpoints[2000], "--run", "demo")
    large = source.ck.push(checkpoints[1000], "--run", "demo")
    pack = source.objects.manifest(large["snapshot"])["packs"][0]["key"]
    source.objects.flip_byte(pack)
    done = copy(source, target, expect=3)
    assert [snapshot["id"] for snapshot in done.json["copied"]] == [small["snapshot"]]
    assert [(snapshot["id"], snapshot["step"]) for snapshot in done.json["not_copied"]] == [(large["snapshot"], 1000)]
    assert [damage["object"] for damage in done.json["damages"]] == [pack]
    target.ck("verify", "--deep")


def test_a_killed_copy_goes_on(pair, checkpoints, tmp_path):
    source, target = pair("directory", "seaweedfs", pack_size="4MiB")
    source.ck.push(checkpoints[1000], "--run", "demo")
    count = len(source.objects.packs())
    command = ("copy", "--to", target.objects.url, "--to-config", target.ck.config)
    running = source.ck.start(*command)
    deadline = time.monotonic() + 60
    while not target.objects.packs() and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.005)
    running.kill()
    running.wait()
    there = target.objects.packs()
    assert there
    if len(there) < count:
        assert not target.objects.snapshots()
    again = copy(source, target).json
    assert again["packs"] == count - len(there)
    target.ck("verify", "--deep")
    target.ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", checkpoints[1000])


def test_what_cannot_be_a_target_is_refused(pair, new_repository, checkpoint):
    source, target = pair("directory", "directory")
    source.ck.push(checkpoint, "--run", "demo")
    source.ck("copy", expect=2)
    source.ck("copy", "--to", source.objects.url, expect=2)
    empty = new_repository("directory", init=False)
    source.ck("copy", "--to", empty.objects.url, expect=1)
    source.ck("copy", "demo@1000", "--tag", "t", "--to", target.objects.url, expect=2)
