"""Damage in the store is found before it is needed, named, and never restored."""

import shutil

import pytest

from harness.trees import assert_nothing_but, assert_same, copy_fixture, make_checkpoint


@pytest.fixture
def pushed(repository, checkpoint):
    repository.ck.push(checkpoint, "--run", "demo")
    return repository


def assert_no_restore(repository, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    repository.ck.restore("demo@1000", place / "checkpoint", expect=3)
    assert not (place / "checkpoint").exists()


def test_an_undamaged_repository_verifies(pushed):
    pushed.ck("verify")
    pushed.ck("verify", "--deep")
    pushed.ck("verify", "demo@1000")


def test_every_flipped_byte_is_found_by_a_deep_verify(pushed, tmp_path):
    packs = pushed.objects.packs()
    assert len(packs) >= 2
    for pack in packs:
        pushed.objects.flip_byte(pack)
    found = pushed.ck("verify", "--deep", "--json", expect=3)
    for pack in packs:
        assert pack in found.out, f"{pack} is not named\n{found}"
    assert_no_restore(pushed, tmp_path)


def test_a_damaged_marker_that_may_be_the_latest_is_told_and_nothing_is_changed_in_its_stead(
        new_repository, checkpoint, tmp_path):
    repository = new_repository("directory")
    for step in ("1", "2"):
        repository.ck.push(checkpoint, "--run", "demo", "--step", step)
    newest = max(repository.objects.snapshots())
    repository.objects.write(newest, repository.objects.read(newest)[:80])
    for command in (("verify", "demo@latest"), ("remove", "demo@latest"), ("tag", "demo@latest", "+paper")):
        assert newest in repository.ck(*command, expect=3).err
    assert newest in repository.ck("verify", "demo@2", expect=3).err
    said = repository.ck.restore("demo@latest", tmp_path / "out")
    assert newest in said.err and "demo@1" in said.err
    assert_same(tmp_path / "out", checkpoint)
    assert "warning" not in repository.ck("show", "demo@1").err


def test_a_missing_pack_is_found_by_a_quick_verify(pushed, tmp_path):
    pack = pushed.objects.packs()[0]
    pushed.objects.delete(pack)
    found = pushed.ck("verify", "--json", expect=3)
    assert pack in found.out
    assert_no_restore(pushed, tmp_path)


def test_a_short_pack_is_found_by_a_quick_verify(pushed, tmp_path):
    pack = pushed.objects.packs()[0]
    pushed.objects.write(pack, pushed.objects.read(pack)[:-1])
    assert pack in pushed.ck("verify", "--json", expect=3).out


@pytest.mark.parametrize("kind", ["missing", "flipped"])
def test_a_damaged_manifest_is_found(pushed, tmp_path, kind):
    [marker] = pushed.objects.snapshots().values()
    key = marker["manifest"]["key"]
    pushed.objects.delete(key) if kind == "missing" else pushed.objects.flip_byte(key)
    pushed.ck("verify", expect=3)
    # A cached copy that matches the marker's digest is as good as the object, so this asks as a fresh machine would.
    shutil.rmtree(pushed.ck.home / "cache", ignore_errors=True)
    assert_no_restore(pushed, tmp_path)


def test_a_damaged_marker_is_told_and_spares_the_others(pushed, checkpoint, tmp_path):
    other = make_checkpoint(tmp_path / "checkpoint-2000", step=2000, seed=2)
    pushed.ck.push(other, "--run", "demo")
    broken = next(key for key, marker in pushed.objects.snapshots().items() if marker["step"] == 2000)
    pushed.objects.write(broken, b'{"format": 1, "id": "')
    pushed.ck("verify", expect=3)
    pushed.ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", checkpoint)


def test_a_push_after_a_loss_sends_what_is_gone(pushed, checkpoint, tmp_path):
    """Another snapshot never counts on a pack that is no longer there."""
    pushed.objects.delete(pushed.objects.packs()[0])
    next_one = make_checkpoint(tmp_path / "checkpoint-1500", size=4, step=1500, change="10%")
    pushed.ck.push(next_one, "--run", "demo")
    pushed.ck.restore("demo@1500", tmp_path / "out/restored")
    assert_same(tmp_path / "out/restored", next_one)
    assert_nothing_but(tmp_path / "out", "restored")


def test_a_local_copy_is_compared_without_a_download(new_repository, tmp_path):
    repository = new_repository("directory")
    checkpoint = copy_fixture("hf_full/checkpoint-10", tmp_path)
    repository.ck.push(checkpoint, "--run", "demo")
    for key in repository.objects.packs():
        repository.objects.delete(key)
    assert "every byte the same" in repository.ck("verify", "demo@10", "--local", checkpoint).out
    with open(checkpoint / "config.json", "r+b") as file:
        file.write(b"[")
    (checkpoint / "rng_state.pth").unlink()
    told = repository.ck("verify", "demo@10", "--local", checkpoint, "--json", expect=3).json["differences"]
    assert told == [{"kind": "has other content", "path": "config.json"}, {"kind": "is missing", "path": "rng_state.pth"}]
    repository.ck("verify", "--local", checkpoint, expect=2)
    repository.ck("verify", "demo@10", "--local", checkpoint, "--deep", expect=2)
