"""Packs that were lost or damaged come back, the same bytes under the same names."""

import pytest

from harness.trees import assert_same, make_checkpoint


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A checkpoint with packs of several parts."""
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "checkpoint-1000", size=40)


@pytest.fixture
def pushed(repository, large):
    repository.ck.push(large, "--run", "demo")
    return repository


def contents(repository):
    return {pack: repository.objects.read(pack) for pack in repository.objects.packs()}


@pytest.fixture
def mirror(pushed, new_repository):
    target = new_repository("directory")
    pushed.ck("copy", "--to", target.objects.url)
    return target


@pytest.mark.parametrize("source", ["repository", "files"])
def test_a_deleted_and_a_flipped_pack_come_back(pushed, mirror, large, tmp_path, source):
    before = contents(pushed)
    deleted, flipped = list(before)[:2]
    pushed.objects.delete(deleted)
    pushed.objects.flip_byte(flipped)
    done = pushed.ck("repair", "--deep", "--json", "--from", mirror.objects.url if source == "repository" else large)
    assert sorted(pack["object"] for pack in done.json["repaired"]) == sorted([deleted, flipped])
    assert not done.json["remaining"]
    assert contents(pushed) == before
    pushed.ck("verify")
    pushed.ck("verify", "--deep")
    pushed.ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", large)
    assert "nothing to repair" in pushed.ck("repair", "--from", mirror.objects.url).out


def test_what_cannot_be_had_is_named_and_left_as_it_is(pushed, large, tmp_path):
    for pack in pushed.objects.packs():
        pushed.objects.delete(pack)
    partial = tmp_path / "partial"
    partial.mkdir()
    (partial / "trainer_state.json").write_bytes((large / "trainer_state.json").read_bytes())
    done = pushed.ck("repair", "--json", "--from", partial, expect=3)
    assert not done.json["repaired"] and done.json["remaining"]
    assert "trainer_state.json" in {file for damage in done.json["remaining"] for file in damage["files"]}
    assert done.json["wanted_files"] and "trainer_state.json" not in done.json["wanted_files"]
    assert not pushed.objects.packs()
    pushed.ck("repair", "--from", large)
    pushed.ck("verify", "--deep")


def test_a_place_that_is_none_is_told(pushed, tmp_path):
    pushed.ck("repair", expect=2)
    pushed.ck("repair", "--from", pushed.objects.url, expect=2)
    pushed.ck("repair", "--from", tmp_path / "nothing", expect=1)
