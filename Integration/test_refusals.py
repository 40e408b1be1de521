"""Bad servers, credentials, repositories, addresses and targets end in the right exit code and a sentence."""

import dataclasses
import json
import os

import pytest

from harness.cli import Ckbackup
from harness.servers import free_ports
from harness.trees import PAST, assert_nothing_but, assert_same, make_checkpoint


def s3(tmp_path, endpoint, bucket):
    return Ckbackup(tmp_path / "home", f"s3://{bucket}/ckpt", endpoint)


def test_a_server_that_is_not_there(seaweedfs, checkpoint, tmp_path):
    [port] = free_ports(1)
    ck = s3(tmp_path, dataclasses.replace(seaweedfs, port=port), "bucket")
    for command in (["init"], ["push", checkpoint, "--run", "demo"], ["list"], ["verify"],
                    ["restore", "demo@1", tmp_path / "out"]):
        assert str(port) in ck(*command, expect=1, timeout=180).err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["access_key", "secret_key"])
@pytest.mark.parametrize("server", ["seaweedfs", "rclone"])
def test_wrong_credentials(request, server, checkpoint, tmp_path, wrong):
    endpoint = dataclasses.replace(request.getfixturevalue(server), **{wrong: "NotTheRightOne1234"})
    ck = s3(tmp_path, endpoint, "first-bucket")
    for command in (["init"], ["push", checkpoint, "--run", "demo"], ["list"]):
        said = ck(*command, expect=5)
        assert endpoint.secret_key not in said.out + said.err


def test_no_credentials(seaweedfs, tmp_path):
    ck = s3(tmp_path, seaweedfs, "first-bucket")
    del ck.environment["AWS_ACCESS_KEY_ID"], ck.environment["AWS_SECRET_ACCESS_KEY"]
    assert "AWS_ACCESS_KEY_ID" in ck("list", expect=(1, 5)).err


@pytest.mark.parametrize("server", ["seaweedfs", "rclone"])
def test_a_missing_bucket_is_named_and_not_created(request, server, checkpoint, tmp_path):
    endpoint = request.getfixturevalue(server)
    ck = s3(tmp_path, endpoint, "no-such-bucket")
    for command in (["list"], ["verify"], ["push", checkpoint, "--run", "demo"]):
        assert "no-such-bucket" in ck(*command, expect=1).err
    assert not endpoint.bucket_exists("no-such-bucket")


def test_a_directory_that_is_no_repository(checkpoint, tmp_path):
    ck = Ckbackup(tmp_path / "home", str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    assert "init" in ck("push", checkpoint, "--run", "demo", expect=1).err
    assert_nothing_but(tmp_path / "empty")


def test_a_newer_format_is_refused_by_every_command(repository, checkpoint, tmp_path):
    ck, objects = repository.ck, repository.objects
    objects.write("ckbackup.json", json.dumps(json.loads(objects.read("ckbackup.json")) | {"format": 99}).encode())
    before = objects.keys()
    for command in (["push", checkpoint, "--run", "demo"], ["list"], ["verify"], ["prune", "--keep-last", "1"],
                    ["restore", "demo@1", tmp_path / "out"]):
        said = ck(*command, expect=1).err
        assert "format" in said and "99" in said
    assert objects.keys() == before


@pytest.mark.parametrize("address", ["demo@999", "other@1000", "demo@no-such-tag", "ffffffffffff", "other@best"])
def test_an_address_that_matches_nothing(repository, checkpoint, tmp_path, address):
    repository.ck.push(checkpoint, "--run", "demo")
    repository.ck.restore(address, tmp_path / "out", expect=4)
    repository.ck("show", address, expect=4)
    assert not (tmp_path / "out").exists()


def test_two_checkpoints_under_one_step_are_told_apart_by_id(repository, checkpoint, tmp_path):
    other = make_checkpoint(tmp_path / "checkpoint-1000", seed=8)
    sources = {repository.ck.push(source, "--run", "demo")["snapshot"]: source for source in (checkpoint, other)}
    said = repository.ck.restore("demo@1000", tmp_path / "out", expect=(1, 2)).err
    for identity, source in sources.items():
        assert identity[:8] in said
        repository.ck.restore(identity, tmp_path / identity)
        assert_same(tmp_path / identity, source)


def test_wrong_use(repository, checkpoint, tmp_path):
    for command in (["no-such-command"], ["push"], ["push", checkpoint, "--no-such-option"], ["restore", "demo@1"],
                    ["push", checkpoint, "--step", "minus one"]):
        repository.ck(*command, expect=2)
    assert "push" in repository.ck("push", "--help").out
    assert not repository.objects.snapshots()


def test_an_unknown_key_of_the_configuration_names_its_line_and_the_nearest(directory_repository):
    ck = directory_repository.ck
    ck.config.write_text(ck.config.read_text() + 'pack_sise = "16MiB"\n')
    said = ck("list", expect=2).err
    line = len(ck.config.read_text().splitlines())
    assert "pack_sise" in said and "pack_size" in said and str(line) in said


# Repositories that somebody has tampered with.

def rename_file(path):
    return lambda manifest: manifest["files"][0].update(path=path)


def add_link_under_a_file(manifest):
    manifest["links"].append({"path": "way-out", "target": "/tmp", "mtime": PAST})
    manifest["files"][0]["path"] = "way-out/escaped"


def add_directory(manifest):
    manifest["directories"].append({"path": "../escaped", "mode": "0755", "mtime": PAST})


def add_link(manifest):
    manifest["links"].append({"path": "../escaped", "target": "/", "mtime": PAST})


HOSTILE = {
    "above": rename_file("../escaped"),
    "absolute": rename_file("/tmp/ckbackup-escaped"),
    "through above": rename_file("a/../../escaped"),
    "a dot": rename_file("."),
    "no name": rename_file(""),
    "a NUL": rename_file("a\0b"),
    "through a link": add_link_under_a_file,
    "a directory above": add_directory,
    "a link above": add_link,
    "a huge size": lambda manifest: manifest["files"][0].update(size=1 << 62),
    "a negative size": lambda manifest: manifest["files"][0].update(size=-1),
    "a pack that is not listed": lambda manifest: manifest.update(packs=[]),
    "no files": lambda manifest: manifest.pop("files"),
}


@pytest.mark.parametrize("edit", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_manifest_is_refused_and_nothing_leaves_the_target(directory_repository, checkpoint, tmp_path, edit):
    ck, objects = directory_repository.ck, directory_repository.objects
    identity = ck.push(checkpoint, "--run", "demo")["snapshot"]
    manifest = objects.manifest(identity)
    edit(manifest)
    objects.replace_manifest(identity, manifest)
    place = tmp_path / "place"
    place.mkdir()
    ck.restore("demo@1000", place / "checkpoint", expect=(1, 3))
    assert not (place / "checkpoint").exists()
    assert not (place / "escaped").exists() and not (tmp_path / "escaped").exists()
    assert not os.path.lexists("/tmp/escaped") and not os.path.lexists("/tmp/ckbackup-escaped")


# Targets that must not be written.

@pytest.mark.parametrize("address", ["s3:/bucket/x", "s3//bucket/x", "", "ftp://host/x"])
def test_a_mistyped_address_makes_no_directory(checkpoint, tmp_path, address):
    ck = Ckbackup(tmp_path / "home", "unused")
    ck("init", "--repo", address, expect=2, cwd=tmp_path)
    assert_nothing_but(tmp_path, "home")


def test_a_repository_is_never_a_target_nor_a_source(directory_repository, checkpoint, tmp_path):
    ck, root = directory_repository.ck, directory_repository.objects.root
    ck.push(checkpoint, "--run", "demo")
    before = directory_repository.objects.keys()
    for target in (root, root.parent, root / "below"):
        ck.restore("demo@1000", target, "--overwrite", expect=2)
    ck("push", root / "packs", "--run", "demo", expect=2)
    assert directory_repository.objects.keys() == before


def test_overwriting_takes_neither_the_working_directory_nor_a_part(directory_repository, checkpoint, tmp_path):
    ck = directory_repository.ck
    ck.push(checkpoint, "--run", "demo")
    inside = tmp_path / "outer/inner"
    inside.mkdir(parents=True)
    ck.restore("demo@1000", "..", "--overwrite", expect=2, cwd=inside)
    ck.restore("demo@1000", tmp_path / "outer", "--overwrite", expect=2, cwd=inside)
    ck.restore("demo@1000", inside, "--overwrite", "--only", "weights", expect=2)
    assert inside.exists()


def test_removed_snapshots_are_gone_and_milestones_need_a_yes(repository, checkpoint, tmp_path):
    ck = repository.ck
    ck.push(checkpoint, "--run", "demo", "--milestone")
    ck("remove", "demo@1000", expect=2)
    ck("remove", "demo@1000", "--yes")
    ck("show", "demo@1000", expect=4)
    assert not repository.objects.snapshots()
