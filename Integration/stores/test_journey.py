"""What a user does with a repository, on each server; a test's name is the row of the table."""

import dataclasses
import os
import random
import subprocess
import sys
import time

import pytest

from harness.cli import BINARY
from harness.clock import moved_clock
from harness.faulty_proxy import KINDS, FaultyProxy
from harness.trees import assert_same, make_checkpoint

PART = 16 << 20


def test_push_in_parts(store, large):
    ck = store.repository()
    pushed = ck.push(large, "--run", "demo")
    sizes = [size for key, size in ck.objects.keys().items() if key.startswith("packs/")]
    assert max(sizes) > PART, "nothing was sent in parts"
    assert sum(sizes) >= pushed["bytes"] == pushed["uploaded_bytes"]


def test_push_again_sends_nothing(store, large, tmp_path):
    ck = store.repository()
    ck.push(large, "--run", "demo")
    before = ck.objects.keys()
    again = ck.push(large, "--run", "demo")
    assert again["already_present"] and again["uploaded_bytes"] == 0
    assert ck.objects.keys() == before
    changed = make_checkpoint(tmp_path / "checkpoint-1500", size=40, step=1500, change="10%")
    assert ck.push(changed, "--run", "demo")["uploaded_bytes"] < 30 << 20


def test_list_and_show(store, large):
    ck = store.repository()
    pushed = ck.push(large, "--run", "demo")
    [entry] = ck("list", "demo", "--json").json["snapshots"]
    assert entry["id"] == pushed["snapshot"] and entry["step"] == 1000
    assert ck("show", "demo@latest", "--json").json["snapshot"]["id"] == pushed["snapshot"]


def test_verify(store, large):
    ck = store.repository()
    ck.push(large, "--run", "demo")
    ck("verify")
    ck("verify", "--deep")


@pytest.mark.parametrize("cut", [100_000, 20 << 20], ids=["by a little", "by much"])
def test_a_pack_that_was_cut_short_is_damage(store, large, cut):
    ck = store.repository()
    ck.push(large, "--run", "demo")
    pack = max(ck.objects.packs(), key=lambda key: ck.objects.keys()[key])
    ck.objects.write(pack, ck.objects.read(pack)[:-cut])
    assert pack in ck("verify", "--deep", expect=3).out
    refused = ck.restore("demo@1000", ck.home / "restored", expect=3)
    assert pack in refused.err


def test_a_flipped_bit_is_damage(store, large):
    ck = store.repository()
    ck.push(large, "--run", "demo")
    pack = ck.objects.packs()[0]
    ck.objects.flip_byte(pack)
    assert pack in ck("verify", "--deep", expect=3).out


def test_restore_bit_for_bit(store, large, tmp_path):
    ck = store.repository()
    ck.push(large, "--run", "demo")
    ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", large)


def test_copy_to_a_directory_and_back(store, large, tmp_path):
    ck, back = store.repository(), store.repository()
    ck.push(large, "--run", "demo", "--tag", "paper")
    directory = tmp_path / "directory"
    ck("init", "--repo", directory)
    ck("copy", "--to", directory)
    back("copy", "--repo", directory, "--to", back.objects.url, "--to-config", back.config)
    back("verify", "--deep")
    back.restore("demo@paper", tmp_path / "restored")
    assert_same(tmp_path / "restored", large)


def test_copy_within_the_store(store, large, tmp_path):
    ck, other = store.repository(), store.repository()
    ck.push(large, "--run", "demo")
    ck("copy", "--to", other.objects.url, "--to-config", other.config)
    other("verify", "--deep")
    other.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", large)


def test_repair_from_a_copy(store, large, tmp_path):
    ck, copy = store.repository(), tmp_path / "copy"
    ck.push(large, "--run", "demo")
    ck("init", "--repo", copy)
    ck("copy", "--to", copy)
    lost, flipped = ck.objects.packs()[:2]
    ck.objects.delete(lost)
    ck.objects.flip_byte(flipped)
    ck("repair", "--deep", "--from", copy)
    ck("verify", "--deep")


def test_tag(store, large):
    ck = store.repository()
    ck.push(large, "--run", "demo")
    ck("tag", "demo@1000", "+paper")
    assert ck("list", "demo", "--json").json["snapshots"][0]["tags"] == ["paper"]
    ck("tag", "demo@paper", "-paper")
    assert ck("list", "demo", "--json").json["snapshots"][0]["tags"] == []


def test_a_killed_push_goes_on(store, tmp_path):
    source = make_checkpoint(tmp_path / "checkpoint-1000", size=160)
    ck = store.repository(pack_size="16MiB")
    push = ck.start("push", source, "--run", "demo")
    deadline = time.monotonic() + 60
    while len(ck.objects.packs()) < 2:
        assert push.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    push.kill()
    push.wait()
    assert not ck.objects.snapshots(), "it was over before it was killed"
    pushed = ck.push(source, "--run", "demo")
    assert pushed["reused_bytes"] > 0
    ck("verify", "--deep")
    ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", source)


def test_prune_and_abandoned_uploads(store, tmp_path, record_property):
    ck = store.repository()
    sources = {step: make_checkpoint(tmp_path / f"checkpoint-{step}", size=4, step=step, seed=step) for step in (1, 2, 3)}
    for source in sources.values():
        ck.push(source, "--run", "demo")
    # What a push that was killed leaves.
    key = "packs/weights/aa/" + "a" * 32
    ck.objects.endpoint.request("POST", ck.objects.path(key), {"uploads": ""})
    prune_to_one(ck)
    assert [marker["step"] for marker in ck.objects.snapshots().values()] == [3]
    assert ck.objects.stored_bytes("packs/") < 8 << 20
    if store.lacks("uploads"):
        record_property("cell", "yes; it cannot list uploads")
    else:
        assert ck.objects.uploads() == []
    ck.restore("demo@3", tmp_path / "restored")
    assert_same(tmp_path / "restored", sources[3])


def test_prune_where_there_never_was_an_upload(store, tmp_path):
    store.endpoint.request("PUT", "/second-bucket")
    ck = store.repository(bucket="second-bucket")
    source = tmp_path / "model.pt"
    for step in ("1", "2"):
        source.write_bytes(os.urandom(1000))
        ck.push(source, "--run", "demo", "--step", step)
    prune_to_one(ck)
    assert len(ck.objects.packs()) == 1


def prune_to_one(ck):
    """What was there before is older than no time at all only when the store's clock has gone on by a second."""
    for _ in range(2):
        time.sleep(1.1)
        ck("prune", "--keep-last", "1", "--yes", "--grace", "0s")


def test_remove(store, large):
    ck = store.repository()
    ck.push(large, "--run", "demo")
    ck("remove", "demo@1000", "--yes")
    ck("list", "demo", expect=4)


def test_recover_py_restores_a_copy(store, large, tmp_path):
    ck = store.repository()
    ck.push(large, "--run", "demo")
    ck.objects.copy_to(tmp_path / "copy")
    [script] = (tmp_path / "copy").rglob("recover.py")
    subprocess.run([sys.executable, "-I", "-S", script, tmp_path / "copy", "restore", "demo@1000", tmp_path / "restored"], check=True,
                   stdout=subprocess.DEVNULL)
    assert_same(tmp_path / "restored", large)


def test_names_that_XML_and_URLs_escape(store, tmp_path):
    run = "a run/ü & <b> 'c' \"d\" +e %20 100%"
    ck = store.repository(below=f"{run};~(e)*!@:,$[f]=?#")
    source = tmp_path / "model.pt"
    for step in range(1, 6):
        source.write_bytes(os.urandom(1000))
        ck.push(source, "--run", run, "--step", str(step))
    assert len(ck("list", run, "--json").json["snapshots"]) == 5
    prune_to_one(ck)
    assert len(ck("list", run, "--json").json["snapshots"]) == 1
    assert len(ck.objects.packs()) == 1
    ck.restore(f"{run}@5", tmp_path / "restored")
    assert (tmp_path / "restored").read_bytes() == source.read_bytes()


def test_wrong_credentials(store, record_property):
    wrong = dataclasses.replace(store.endpoint, secret_key="wrong" * 8)
    ck = store.repository(init=False, endpoint=wrong)
    if store.lacks("credentials"):
        record_property("cell", "not checked")
        ck("init")
    else:
        refused = ck("init", expect=5)
        assert "secret key" in refused.err and wrong.secret_key not in refused.err


def test_no_such_bucket(store, record_property):
    ck = store.repository(init=False)
    result = ck("list", "--repo", "s3://no-such-bucket/team", expect=(0, 1))
    if result.code == 0:
        record_property("cell", "makes buckets by itself")
    else:
        assert "no-such-bucket" in result.err


def test_a_network_that_fails_in_every_tenth_request(store, large, tmp_path, record_property):
    if store.endpoint.ca_file:
        pytest.skip("not through TLS")
    kinds = KINDS.keys() - {"stall"}
    if store.endpoint.region != "us-east-1":
        kinds -= {"moved_region"}  # it plays others
    if store.lacks("digests"):
        kinds -= {"corrupted_upload", "truncated_upload"}  # nothing but a look at every byte would notice
    if store.lacks("whole objects"):
        kinds -= {"reset_upload"}  # what it keeps of one may overtake its repetition
        record_property("cell", "yes, but for uploads that break off")
    with FaultyProxy(store.endpoint.port, kinds=kinds, rate=0.1, seed=random.randrange(1_000_000)) as proxy:
        ck = store.repository(endpoint=dataclasses.replace(store.endpoint, port=proxy.port), pack_size="16MiB")
        ck.push(large, "--run", "demo", timeout=300)
        ck("verify", "--deep", timeout=300)
        ck.restore("demo@1000", tmp_path / "restored", timeout=300)
        print(f"seed {proxy.seed}: {proxy.report()}")
    assert_same(tmp_path / "restored", large)


def test_a_clock_two_hours_off(store, large, tmp_path):
    ck = store.repository()
    ck.environment |= moved_clock(tmp_path, -7200)
    ck.push(large, "--run", "demo")
    ck("verify")


def test_doctor(store, add_probe):
    ck = store.repository()
    if subprocess.run([BINARY, "doctor", "--help"], capture_output=True, env=ck.environment).returncode != 0:
        pytest.skip("no such command")
    for probe in ck("doctor", "--json", expect=(0, 1, 3)).json["probes"]:
        add_probe(probe["name"], probe["outcome"])
