"""Stores that differ most from SeaweedFS, a little each; make test-stores takes the whole journey on more of them."""

import http.server
import random
import socket
import threading
import time

import pytest

from harness.faulty_proxy import FaultyProxy
from harness.s3 import S3Error
from harness.trees import assert_same, make_checkpoint

STORES = ["gateway", "localbucket", "oss"]


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """What shares nothing with the checkpoint; large enough to be sent in parts."""
    path = tmp_path_factory.mktemp("old") / "model.pt"
    path.write_bytes(random.Random(1).randbytes(20 << 20))
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkpoint of which an optimizer is sent in parts."""
    return make_checkpoint(tmp_path_factory.mktemp("source") / "checkpoint-1000", size=24)


@pytest.mark.parametrize("name", STORES)
def test_what_was_pushed_comes_back_and_what_is_pruned_goes(new_repository, old, source, tmp_path, name):
    repository = new_repository(name)
    ck = repository.ck
    ck.push(old, "--run", "demo", "--step", "1")
    ck.push(source, "--run", "demo")
    assert ck.push(source, "--run", "demo")["already_present"]
    ck("verify", "--deep")
    # What a push that was killed leaves behind.
    key = f"packs/weights/aa/{'a' * 32}"
    repository.objects.endpoint.request("POST", repository.objects.path(key), {"uploads": ""})
    ck("prune", "--keep-last", "1", "--grace", "0s", "--yes")
    time.sleep(1.1)
    ck("prune", "--keep-last", "1", "--grace", "0s", "--yes")
    assert repository.objects.stored_bytes("packs/") < 30 << 20
    try:
        assert repository.objects.uploads() == []
    except S3Error as error:
        assert error.status == 501  # it has no list of uploads
    ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", source)


def test_of_alibaba_nothing_is_asked_that_it_does_not_offer(new_repository, oss_server, source):
    oss_server.refused.clear()
    repository = new_repository("oss")
    repository.ck.push(source, "--run", "demo")
    repository.ck("verify")
    # What is looked for and is not there is no fault.
    assert set(oss_server.refused) <= {"NoSuchKey"}
    # Whoever deletes asks for locks and versions first, and takes it for an answer that there are none.
    repository.ck("remove", "demo@1000", "--yes")
    assert set(oss_server.refused) <= {"NoSuchKey", "NotImplemented"}


def test_a_completion_that_alibaba_answered_to_nobody_is_settled(new_repository, oss, source):
    """It joins the parts although nobody waits for the answer any more, knows the upload no more then, and its ETags prove nothing."""
    ck = new_repository("oss", pack_size="16MiB").ck
    with FaultyProxy(oss.port, kinds=["lost_answer"], rate=0.5, seed=random.randrange(1_000_000)) as proxy:
        ck.config.write_text(ck.config.read_text().replace(f":{oss.port}", f":{proxy.port}"))
        ck.push(source, "--run", "demo")
        print(proxy.report())
    ck.config.write_text(ck.config.read_text().replace(f":{proxy.port}", f":{oss.port}"))
    ck("verify", "--deep")


def test_a_name_that_only_has_no_address_with_the_bucket_before_it_is_told(new_repository):
    ck = new_repository("gateway", init=False, addressing="virtual").ck
    said = ck("list", expect=1)
    assert "first-bucket.127.0.0.1" in said.err and 'addressing = "path"' in said.err


@pytest.mark.parametrize("body", [b"<html><body>Please sign in.</body></html>", b""], ids=["page", "nothing"])
def test_a_network_that_asks_to_sign_in_is_no_damage(new_repository, body):
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    ck = new_repository("gateway", init=False).ck
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as portal:
        threading.Thread(target=portal.serve_forever, args=(0.05,), daemon=True).start()
        for command in ("verify", "list"):
            said = ck(command, "--endpoint", f"http://127.0.0.1:{portal.server_port}", expect=1)
            assert "does not answer as an S3 server does" in said.err and "sign-in page" in said.err
        portal.shutdown()


def test_alibaba_wants_the_bucket_in_the_hosts_name(new_repository):
    ck = new_repository("oss", init=False).ck
    ck.config.write_text(ck.config.read_text().replace('"virtual"', '"path"'))
    refused = ck("init", expect=5)
    assert 'addressing = "virtual"' in refused.err


def test_a_bucket_of_another_region_of_alibabas_is_told(new_repository, oss_server):
    oss_server.elsewhere["other-bucket"] = "oss-cn-shanghai.aliyuncs.com"
    ck = new_repository("oss", init=False).ck
    refused = ck("list", "--repo", "s3://other-bucket/team", expect=5)
    assert "oss-cn-shanghai.aliyuncs.com" in refused.err and "--endpoint" in refused.err


def test_a_pack_of_which_only_the_beginning_arrived_is_not_relied_on(new_repository, old, source, tmp_path):
    """localbucket keeps the beginning of an upload that broke off, under its name."""
    repository = new_repository("localbucket")
    repository.ck.push(source, "--run", "demo")
    whole = repository.objects.read(repository.objects.packs()[0])
    key = f"packs/weights/aa/{'a' * 32}"
    with socket.create_connection(("127.0.0.1", repository.objects.endpoint.port)) as connection:
        connection.sendall(f"PUT {repository.objects.path(key)} HTTP/1.1\r\nHost: localhost\r\n"
                           f"Content-Length: {len(whole)}\r\n\r\n".encode() + whole[:300_000])
    deadline = time.monotonic() + 10
    while repository.objects.keys().get(key) != 300_000:
        assert time.monotonic() < deadline, "this server does not keep beginnings any more"
        time.sleep(0.05)
    repository.ck.push(old, "--run", "demo", "--step", "1")
    repository.ck("verify", "--deep")
    repository.ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", source)
