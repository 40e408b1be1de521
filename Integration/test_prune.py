"""Prune keeps just what the policy says, and deletes bytes only in a second, later look."""

import os
import time

import pytest

from harness.trees import assert_same, copy_fixture, digest, make_checkpoint

STEPS = [100, 200, 300, 400, 500, 600]


@pytest.fixture
def sources(tmp_path):
    return {step: make_checkpoint(tmp_path / f"checkpoint-{step}", size=2, step=step, seed=step)
            for step in STEPS}


@pytest.fixture
def pushed(repository, sources):
    """Six checkpoints that share nothing; the first is a milestone."""
    for step, source in sources.items():
        repository.ck.push(source, "--run", "demo", *(["--milestone"] if step == STEPS[0] else []))
    return repository


def steps(repository):
    return sorted(marker["step"] for marker in repository.objects.snapshots().values())


def needed_packs(repository):
    return {pack["key"] for marker in repository.objects.snapshots().values()
            for pack in repository.objects.manifest(marker["id"])["packs"]}


def assert_all_restore(repository, sources, tmp_path):
    repository.ck("verify", "--deep")
    for step in steps(repository):
        repository.ck.restore(f"demo@{step}", tmp_path / f"restored/{step}")
        assert_same(tmp_path / f"restored/{step}", sources[step])


def test_a_dry_run_says_what_would_go_and_touches_nothing(pushed):
    before = pushed.objects.keys()
    said = pushed.ck("prune", "--keep-last", "2", "--dry-run")
    for step in (200, 300, 400):
        assert str(step) in said.out
    assert pushed.objects.keys() == before


def test_the_newest_and_the_milestones_stay_and_bytes_go_in_the_second_phase(pushed, sources, tmp_path):
    packs = set(pushed.objects.packs())
    pushed.ck("prune", "--keep-last", "2", "--yes")
    assert steps(pushed) == [100, 500, 600]
    assert set(pushed.objects.packs()) == packs, "bytes went without a grace period"
    pushed.ck("prune", "--keep-last", "2", "--yes")
    assert set(pushed.objects.packs()) == packs, "bytes went within the grace period"

    pushed.ck("prune", "--keep-last", "2", "--grace", "0s", "--yes")
    assert set(pushed.objects.packs()) == needed_packs(pushed) < packs
    assert_all_restore(pushed, sources, tmp_path)


def test_every_so_many_steps(pushed, sources, tmp_path):
    pushed.ck("prune", "--keep-every", "300", "--keep-last", "1", "--yes")
    assert steps(pushed) == [100, 300, 600]
    assert_all_restore(pushed, sources, tmp_path)


def test_a_tag_keeps_a_snapshot(pushed):
    pushed.ck("tag", "demo@300", "+paper")
    pushed.ck("prune", "--keep-tag", "paper", "--keep-last", "1", "--yes")
    assert steps(pushed) == [100, 300, 600]
    pushed.ck("tag", "demo@300", "-paper")
    pushed.ck("prune", "--keep-tag", "paper", "--keep-last", "1", "--yes")
    assert steps(pushed) == [100, 600]


def test_what_is_pushed_again_within_the_grace_period_is_saved(pushed, sources, tmp_path):
    pushed.ck("prune", "--keep-last", "2", "--yes")
    pushed.ck.push(sources[300], "--run", "demo")
    pushed.ck("prune", "--keep-last", "9", "--grace", "0s", "--yes")
    assert steps(pushed) == [100, 300, 500, 600]
    assert_all_restore(pushed, sources, tmp_path)


def test_no_policy_is_wrong_use_and_prunes_nothing(pushed):
    pushed.ck("prune", "--yes", expect=2)
    assert steps(pushed) == STEPS


def test_a_large_share_of_a_run_needs_a_yes(pushed):
    pushed.ck("prune", "--keep-last", "1", expect=(1, 2))
    assert steps(pushed) == STEPS


def test_an_unreadable_snapshot_stops_every_deletion(pushed):
    key = next(key for key, marker in pushed.objects.snapshots().items() if marker["step"] == 500)
    pushed.objects.write(key, b"{")
    before = pushed.objects.keys()
    pushed.ck("prune", "--keep-last", "2", "--yes", "--grace", "0s", expect=(1, 3))
    assert pushed.objects.keys() == before


def test_old_snapshots_can_be_thinned_to_their_weights(repository, tmp_path):
    ck, kept = repository.ck, {}
    # The newer first: what both have is then in its packs, and those of the older one go.
    for step in (20, 10):
        source = copy_fixture(f"hf_full/checkpoint-{step}", tmp_path / "out")
        ck("push", source, "--run", "demo", "--tag", f"t{step}", "--metric", f"eval_loss={9 - step / 10}")
        kept[step] = source
    time.sleep(2.1)
    before = repository.objects.keys()
    said = ck("prune", "--thin-after", "1s", "--dry-run")
    assert "thin" in said.out and repository.objects.keys() == before
    ck("prune", "--thin-after", "1s", "--grace", "0s")
    thinned = {entry["step"]: entry for entry in ck("list", "demo", "--json").json["snapshots"]}
    assert [thinned[step]["thinned"] for step in (10, 20)] == [True, False]
    assert thinned[10]["tags"] == ["t10"] and "weights only" in ck("list", "demo").out
    ck("prune", "--keep-last", "5", "--grace", "0s")
    assert repository.objects.stored_bytes("packs/") < sum(
        size for key, size in before.items() if key.startswith("packs/"))
    ck("verify", "--deep")

    refused = ck.restore("demo@10", tmp_path / "strict", "--strict", expect=1)
    assert "thinned" in refused.err and not (tmp_path / "strict").exists()
    ck.restore("demo@t10", tmp_path / "weights")
    names = set(os.listdir(tmp_path / "weights"))
    assert "model.safetensors" in names and not names & {"optimizer.pt", "trainer_state.json"}
    for name in names:
        assert digest(tmp_path / "weights" / name) == digest(kept[10] / name)
    ck.restore("demo@20", tmp_path / "whole")
    assert_same(tmp_path / "whole", kept[20])
    ck("remove", "demo@20", "--yes")
    ck("resume", tmp_path / "fresh", "--run", "demo", expect=4)
