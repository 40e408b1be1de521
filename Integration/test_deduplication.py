"""What the repository has already is not sent again."""

from harness.trees import assert_same, make_checkpoint

CHUNK = 16 << 20


def test_a_second_checkpoint_sends_only_what_changed(repository, tmp_path):
    first = make_checkpoint(tmp_path / "checkpoint-1000", size=512)
    second = make_checkpoint(tmp_path / "checkpoint-1500", size=512, step=1500, change="10%")
    whole = repository.ck.push(first, "--run", "demo")
    assert whole["reused_bytes"] == 0 and not whole["already_present"]
    stored = repository.objects.stored_bytes()
    assert whole["bytes"] <= stored < whole["bytes"] * 1.01

    change = repository.ck.push(second, "--run", "demo")
    # The change is cut at chunks: up to one more at its border in each of the two large files.
    limit = 0.11 * change["bytes"] + 2 * CHUNK
    assert 0.08 * change["bytes"] < change["uploaded_bytes"] < limit
    assert change["uploaded_bytes"] + change["reused_bytes"] >= change["bytes"]
    assert repository.objects.stored_bytes() - stored < limit + (1 << 20)

    for step, source in ((1000, first), (1500, second)):
        repository.ck.restore(f"demo@{step}", tmp_path / f"restored-{step}")
        assert_same(tmp_path / f"restored-{step}", source)


def test_pushing_the_same_again_sends_nothing_and_says_so(repository, checkpoint):
    first = repository.ck.push(checkpoint, "--run", "demo")
    before = repository.objects.keys()
    again = repository.ck.push(checkpoint, "--run", "demo")
    assert again["already_present"] and again["uploaded_bytes"] == 0
    assert again["snapshot"] == first["snapshot"]
    assert repository.objects.keys() == before
    assert "already" in repository.ck("push", checkpoint, "--run", "demo").out.lower()


def test_a_dry_run_writes_nothing(repository, checkpoint):
    before = repository.objects.keys()
    repository.ck("push", checkpoint, "--run", "demo", "--dry-run")
    assert repository.objects.keys() == before


def test_two_files_of_the_same_content_are_stored_once(directory_repository, tmp_path):
    source = make_checkpoint(tmp_path / "checkpoint-1000", size=32)
    (source / "copy.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    pushed = directory_repository.ck.push(source, "--run", "demo")
    once = (source / "model.safetensors").stat().st_size
    assert pushed["uploaded_bytes"] < pushed["bytes"] - 0.9 * once
