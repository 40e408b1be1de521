"""The bucket's own rules: shown, set and taken away beside those of others."""

import uuid

import pytest

from harness.cli import Ckbackup
from harness.oss_standin import oss as oss_standin

STRANGERS = (
    '<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule>"
    "</LifecycleConfiguration>"
)


@pytest.fixture
def bucket(seaweedfs):
    """A bucket of its own, without rules."""
    name = f"rules-{uuid.uuid4().hex[:8]}"
    seaweedfs.request("PUT", f"/{name}")
    yield name
    seaweedfs.request("DELETE", f"/{name}")


def rules(document):
    return {rule["id"]: rule for rule in document["rules"]}


def test_rules_are_set_beside_those_of_others_and_taken_away(seaweedfs, bucket, tmp_path):
    ck = Ckbackup(tmp_path, f"s3://{bucket}/team/llama", seaweedfs)
    path = f"/{bucket}"
    seaweedfs.request("PUT", path, {"lifecycle": ""}, STRANGERS.encode())
    before = seaweedfs.request("GET", path, {"lifecycle": ""})
    assert ck("lifecycle", "--json").json == {
        "rules": [], "other_rules": 1, "changed": False, "dry_run": False, "not_kept": []}

    dry = ck("lifecycle", "--abort-uploads", "5", "--dry-run", "--json").json
    assert len(dry["rules"]) == 1 and not dry["changed"]
    assert seaweedfs.request("GET", path, {"lifecycle": ""}) == before

    done = ck("lifecycle", "--abort-uploads", "5", "--json").json
    [rule] = done["rules"]
    assert done["changed"] and rule["is_ours"] and rule["prefix"] == "team/llama/" and not done["not_kept"]
    assert rule["effects"] == ["ends unfinished uploads 5 days after they began"]
    assert done["other_rules"] == 1
    again = ck("lifecycle", "--abort-uploads", "5", "--json").json
    assert not again["changed"] and again["rules"] == done["rules"]

    ck("lifecycle", "--remove")
    assert ck("lifecycle", "--json").json["rules"] == []
    assert seaweedfs.request("GET", path, {"lifecycle": ""}) == before


def test_a_rule_that_deletes_backups_is_warned_of(seaweedfs, bucket, tmp_path):
    ck = Ckbackup(tmp_path, f"s3://{bucket}/logs/llama", seaweedfs)
    seaweedfs.request("PUT", f"/{bucket}", {"lifecycle": ""}, STRANGERS.encode())
    said = ck("lifecycle")
    assert "deletes everything: 30 days" in said.out and "backups are lost" in said.err
    assert rules(ck("lifecycle", "--json").json)["logs"]["warnings"]


@pytest.mark.parametrize("server", ["rclone", "gateway"])
def test_a_server_without_rules_says_so_and_gets_nothing(new_repository, server):
    ck = new_repository(server).ck
    for options in ([], ["--abort-uploads", "7"]):
        assert "this server has no lifecycle rules" in ck("lifecycle", *options, expect=1).err
    ck("list")


def test_a_directory_needs_no_rules(directory_repository):
    assert "prune" in directory_repository.ck("lifecycle", expect=2).err


def test_alibaba_gets_its_own_words(tmp_path):
    name = "s3.oss-cn-hangzhou.aliyuncs.com"
    with oss_standin(name=name) as (endpoint, server):
        ck = Ckbackup(tmp_path, "s3://first-bucket/team/llama", endpoint)
        # The name is the real one: whoever is asked as a proxy is the stand-in.
        ck.config.write_text(ck.config.read_text().replace(endpoint.url, f"http://{name}"))
        ck.environment["http_proxy"] = f"http://127.0.0.1:{endpoint.port}"
        assert ck("lifecycle", "--json").json["rules"] == []
        done = ck("lifecycle", "--training-to", "ColdArchive", "--after", "30", "--json").json
        assert not done["not_kept"]
        assert [rule["prefix"] for rule in done["rules"]] == ["team/llama/", "team/llama/packs/training/"]
        document = server.buckets["first-bucket"].lifecycle.decode()
        assert "<AbortMultipartUpload><Days>7</Days></AbortMultipartUpload>" in document
        assert "<Filter>" not in document and "<StorageClass>ColdArchive</StorageClass>" in document
        ck("lifecycle", "--remove")
        assert server.buckets["first-bucket"].lifecycle is None
