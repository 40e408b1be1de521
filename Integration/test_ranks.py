"""Many processes that push one checkpoint together, some of which die."""

import random

import pytest

from harness.trees import assert_same, copy_fixture, make_checkpoint

WORLD = 8


@pytest.fixture
def repository(new_repository, store):
    return new_repository(store, pack_size="16MiB")


def push(repository, path, rank, *more, world=WORLD):
    return repository.ck.start("push", path, "--run", "group", "--rank", str(rank), "--world-size", str(world), *more)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("shared") / "checkpoint-1000", size=96)


def test_killed_processes_are_run_again_and_the_snapshot_is_whole(repository, checkpoint, tmp_path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    running = {rank: push(repository, checkpoint, rank) for rank in range(WORLD)}
    for rank in chance.sample(range(WORLD), 3):
        with pytest.raises(Exception):
            running[rank].wait(chance.uniform(0.02, 0.6))
            raise TimeoutError
        running[rank].kill()
        running[rank].wait()
        running[rank] = push(repository, checkpoint, rank)
    for rank, process in running.items():
        assert process.wait(100) == 0, f"rank {rank}"
    for rank in range(WORLD):
        assert push(repository, checkpoint, rank).wait(100) == 0, f"rank {rank}, once more"
    listed = repository.ck("list", "group", "--json").json["snapshots"]
    assert len(listed) == 1 and listed[0]["complete"]
    repository.ck("verify", "--deep")
    repository.ck.restore("group@1000", tmp_path / "out")
    assert_same(checkpoint, tmp_path / "out")
    assert repository.ck("list", "--pending", "--json").json["groups"] == []


def test_a_missing_process_is_named_and_awaited(repository, tmp_path):
    checkpoint = copy_fixture("hf_full/checkpoint-10", tmp_path)
    assert push(repository, checkpoint, 0, "--group", "job", "--rank-wait", "1s", world=3).wait(100) == 0
    assert push(repository, checkpoint, 2, "--group", "job", "--rank-wait", "1s", world=3).wait(100) == 0
    repository.ck("list", "group", expect=4)
    pending = repository.ck("list", "--pending", "--json").json["groups"]
    assert [(group["stored_ranks"], group["absent_ranks"]) for group in pending] == [([0, 2], [1])]
    assert "rank 1 did not begin" in repository.ck("list", "--pending").out
    done = repository.ck.push(checkpoint, "--run", "group", "--rank", "1", "--world-size", "3", "--group", "job")
    assert done["state"] == "committed"
    repository.ck.restore("group@10", tmp_path / "out")
    assert_same(checkpoint, tmp_path / "out")


def test_the_launchers_environment_tells_the_rank(repository, tmp_path):
    checkpoint = copy_fixture("hf_full/checkpoint-10", tmp_path)
    ck = repository.ck
    for name, size in [("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"),
                       ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")]:
        ck.environment |= {name: "0", size: "1"}
        assert ck.push(checkpoint, "--run", name.lower(), "--distributed")["state"] == "committed"
        del ck.environment[name], ck.environment[size]
    ck("push", checkpoint, "--distributed", expect=2)
    ck("push", checkpoint, "--rank", "3", "--world-size", "3", expect=2)
    ck("push", checkpoint, "--rank", "0", expect=2)


def test_a_process_restores_its_own_files_and_those_for_all(repository, tmp_path):
    checkpoint = copy_fixture("ds_zero3_bf16", tmp_path)
    repository.ck.push(checkpoint, "--run", "deepspeed", "--step", "4")
    repository.ck.restore("deepspeed@4", tmp_path / "out", "--rank", "1")
    names = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt" in names and "latest" in names
    assert not any("rank_0_" in name for name in names)
