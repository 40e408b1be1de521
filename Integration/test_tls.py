"""A server behind TLS with an authority of its own: what is trusted, what is refused and why, and keys that go over TLS alone."""

import secrets
import time
import uuid

import pytest

from harness import tls
from harness.cli import Ckbackup
from harness.stores import S3Objects
from harness.trees import assert_same, make_checkpoint


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return tls.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(seaweedfs, authority):
    with tls.ending(seaweedfs, *authority.issue("server")) as endpoint:
        yield endpoint


@pytest.fixture
def url():
    return f"s3://first-bucket/team/{uuid.uuid4().hex[:12]}"


def failure(ck, *arguments):
    """The words of an error that comes without further tries."""
    start = time.monotonic()
    words = ck("list", *arguments, expect=1).err
    assert time.monotonic() - start < 5
    return words


def round_trip(ck, checkpoint, tmp_path):
    ck("init")
    ck.push(checkpoint, "--run", "demo")
    ck("verify", "--deep")
    ck.restore("demo@1000", tmp_path / "out")
    assert_same(tmp_path / "out", checkpoint)


def test_an_authority_of_its_own_is_trusted_by_its_file(secure, authority, url, checkpoint, tmp_path):
    round_trip(Ckbackup(tmp_path / "home", url, secure, ca_file=str(authority.ca)), checkpoint, tmp_path)
    other = Ckbackup(tmp_path / "other", url, secure)
    assert "--ca-file" in failure(other)
    other("list", "--ca-file", authority.ca)


def test_a_file_that_is_no_certificate_is_named(secure, url, tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate\n")
    assert "ca_file" in failure(Ckbackup(tmp_path / "home", url, secure, ca_file=str(tmp_path / "ca.pem")))


@pytest.mark.parametrize("name, how, words", [
    ("other-name", {"alternative": "DNS:elsewhere.example"}, "another name"), ("ended", {"days": 0}, "Renew")])
def test_a_certificate_that_is_not_right_says_what_is_wrong(seaweedfs, authority, url, tmp_path, name, how, words):
    certificate = authority.issue(name, **how)
    time.sleep(1.1)
    with tls.ending(seaweedfs, *certificate) as endpoint:
        assert words in failure(Ckbackup(tmp_path / "home", url, endpoint, ca_file=str(authority.ca)))


def test_a_client_shows_its_certificate(seaweedfs, authority, url, checkpoint, tmp_path):
    certificate, key = authority.issue("client")
    stranger, strange_key = tls.Authority(tmp_path / "stranger", "stranger").issue("client")
    with tls.ending(seaweedfs, *authority.issue("server"), clients=authority.ca) as endpoint:
        trust = {"ca_file": str(authority.ca)}
        assert "client_certificate and client_key" in failure(Ckbackup(tmp_path / "a", url, endpoint, **trust))
        wrong = {"client_certificate": str(stranger), "client_key": str(strange_key)}
        assert "does not take the client's certificate" in failure(Ckbackup(tmp_path / "b", url, endpoint, **trust, **wrong))
        mixed = {"client_certificate": str(certificate), "client_key": str(strange_key)}
        assert "client_key" in failure(Ckbackup(tmp_path / "c", url, endpoint, **trust, **mixed))
        right = {"client_certificate": str(certificate), "client_key": str(key)}
        round_trip(Ckbackup(tmp_path / "d", url, endpoint, **trust, **right), checkpoint, tmp_path)


def test_a_customers_key_opens_what_it_closed(secure, seaweedfs, authority, url, tmp_path):
    key, other = tmp_path / "key", tmp_path / "other-key"
    key.write_bytes(secrets.token_bytes(32))
    other.write_bytes(secrets.token_bytes(32))
    trust = {"ca_file": str(authority.ca)}
    ck = Ckbackup(tmp_path / "home", url, secure, **trust, sse_customer_key_file=str(key))
    # Packs of several parts too: the ETags of their parts are no MD5s.
    round_trip(ck, make_checkpoint(tmp_path / "checkpoint-1000", size=40), tmp_path)
    objects = S3Objects(seaweedfs, "first-bucket", url.removeprefix("s3://first-bucket/"))
    with pytest.raises(Exception, match="40[03]"):
        objects.read("ckbackup.json")
    Ckbackup(tmp_path / "b", url, secure, **trust, sse_customer_key_file=str(other))("list", expect=(1, 5))
    Ckbackup(tmp_path / "c", url, secure, **trust)("list", expect=(1, 5))
