"""`ckbackup doctor` names the true cause of each thing that can be wrong with a repository's place, and leaves nothing behind."""

import dataclasses
import http.client
import http.server
import json
import os
import signal
import ssl
import subprocess
import threading
import time

import pytest

from harness.cli import Ckbackup
from harness.clock import moved_clock
from harness.faulty_proxy import FaultyProxy
from harness.servers import Role, free_ports
from harness.trees import assert_same

QUICK = ("doctor", "--no-throughput", "--json")
STORES = ["directory", "seaweedfs", "rclone"]


def examine(ck, *arguments, expect=0):
    """The report as JSON; what it says of itself must fit together."""
    said = ck(*QUICK, *arguments, expect=(0, 1, expect))
    if expect == 0 and "a reader saw" in said.out:
        # rclone shows a reader of an object that is replaced the bytes of both, once in hundreds of runs (1.75.2).
        said = ck(*QUICK, *arguments, expect=(0, 1, expect))
    assert said.code == expect, said
    document = said.json
    assert document["exit_code"] == said.code
    failed = [step["name"] for step in document["steps"] if step["mark"] == "failed"]
    assert (document["verdict"] == "does_not_work") == bool(failed) == (said.code != 0)
    assert document.get("cause") == (failed[0] if failed else None)
    return document


def step(document, name):
    [found] = [step for step in document["steps"] if step["name"] == name]
    return found


def s3(tmp_path, endpoint, bucket="first-bucket", **settings):
    return Ckbackup(tmp_path / "home", f"s3://{bucket}/team/doctor-test", endpoint, **settings)


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """An address, and credentials for it."""

    url: str
    access_key: str = "AKIAABCDEFGHIJKLWXYZ"
    secret_key: str = "NotToBeSeenAnywhere1234"
    region: str = "us-east-1"
    virtual: bool = False
    ca_file: str = ""


# Places that work.

@pytest.mark.parametrize("kind", STORES)
def test_a_good_place_works_and_is_left_as_it_was(new_repository, kind):
    repository = new_repository(kind)
    before = repository.objects.keys()
    document = examine(repository.ck)
    assert document["verdict"].startswith("works")
    assert set(document["commands"].values()) == {"allowed"}
    needed = [probe for probe in document["probes"] if probe["need"] == "needed"]
    assert len(needed) > 15 and {probe["outcome"] for probe in needed} <= {"holds", "unknown"}
    for probe in document["probes"]:
        assert set(probe) == {"name", "outcome", "need", "detail"} and probe["detail"]
        assert probe["outcome"] in ("holds", "does_not_hold", "unknown")
    assert repository.objects.keys() == before and not repository.objects.uploads()


def test_what_servers_do_is_told_truly(new_repository):
    found = {kind: {probe["name"]: probe["outcome"] for probe in examine(new_repository(kind).ck)["probes"]}
             for kind in ("seaweedfs", "rclone")}
    assert found["seaweedfs"]["create-only"] == "holds" and found["rclone"]["create-only"] == "does_not_hold"
    assert found["seaweedfs"]["checksum-crc32"] == "holds" and found["rclone"]["checksum-crc32"] == "does_not_hold"
    assert found["seaweedfs"]["etag-multipart"] == "holds" and found["rclone"]["etag-multipart"] == "does_not_hold"
    assert found["seaweedfs"]["content-md5"] == found["rclone"]["content-md5"] == "holds"


@pytest.mark.parametrize("kind", STORES)
def test_a_place_without_a_repository_is_told_how_to_make_one(new_repository, kind):
    repository = new_repository(kind, init=False)
    if kind == "directory":
        repository.objects.root.mkdir(mode=0o700)
    document = examine(repository.ck)
    assert step(document, "repository")["mark"] == "warning"
    [command] = document["run"]
    assert command == f"ckbackup init --repo {repository.objects.url}"
    repository.ck("init")
    assert examine(repository.ck)["run"] == []


def test_the_screen_shows_each_step_and_ends_with_the_verdict(new_repository):
    repository = new_repository("seaweedfs", init=False)
    said = repository.ck("doctor").out
    lines = said.splitlines()
    assert f"at http://127.0.0.1:{repository.objects.endpoint.port}" in lines[0]
    marks = [line.split()[0] for line in lines[2:lines.index("")] if line.startswith("  ") and line[2] != " "]
    assert set(marks) <= {"ok", "info", "warn", "FAIL", "skip"}
    for name in ("connection", "credentials", "clock", "addressing", "bucket", "push", "prune", "rules", "round-trip"):
        assert any(line.split()[1:2] == [name] for line in lines), name
    assert said.count("throughput") == 2
    assert "verdict: works, with 1 warning" in lines
    assert lines[-1].strip() == f"ckbackup init --repo {repository.objects.url}"
    assert repository.objects.endpoint.secret_key not in said and repository.objects.endpoint.access_key not in said
    quiet = repository.ck("doctor", "--quiet", "--no-throughput").out.splitlines()
    assert [line.split()[0] for line in quiet][:2] == ["warn", "verdict:"]


# Credentials.

@pytest.mark.parametrize("server", ["seaweedfs", "rclone"])
@pytest.mark.parametrize("wrong", ["access_key", "secret_key"])
def test_wrong_credentials(request, server, wrong, tmp_path):
    endpoint = dataclasses.replace(request.getfixturevalue(server), **{wrong: "NotTheRightOne1234"})
    ck = s3(tmp_path, endpoint)
    document = examine(ck, expect=5)
    assert document["cause"] == "credentials"
    said = [step["sentence"] for step in document["steps"] if step["mark"] == "failed"]
    assert ("secret key" in said[0]) == (wrong == "secret_key") and "AWS_ACCESS_KEY_ID" in said[0]
    everything = json.dumps(document)
    assert endpoint.secret_key not in everything and endpoint.access_key not in everything
    assert step(document, "the rest")["mark"] == "skipped"


def test_no_credentials(seaweedfs, tmp_path):
    ck = s3(tmp_path, seaweedfs)
    del ck.environment["AWS_ACCESS_KEY_ID"], ck.environment["AWS_SECRET_ACCESS_KEY"]
    document = examine(ck, expect=5)
    assert document["cause"] == "credentials" and "AWS_ACCESS_KEY_ID" in step(document, "credentials")["sentence"]


@pytest.mark.parametrize("place", ["", "doctor"])
def test_what_is_somebody_elses_is_left_alone_whatever_it_is_called(directory_repository, checkpoint, tmp_path, place):
    """A folder of the name that doctors use may hold anything: a patient's file, or a repository whose name was cut short."""
    home = tmp_path / "home"
    theirs = home / "n" / "doctor"
    if place:
        owner = Ckbackup(home, str(theirs))
        owner("init")
        owner("push", checkpoint, "--run", "demo")
    else:
        theirs.mkdir(parents=True)
        (theirs / "patients.csv").write_text("name\n")
    files = [path for path in (home / "n").rglob("*") if path.is_file()]
    for path in files:
        os.utime(path, (1, 1))
    ck = Ckbackup(tmp_path / "other", str(home / "n"))
    document = examine(ck, expect=1)
    assert document["cause"] == "repository" and step(document, "the rest")["mark"] == "skipped"
    assert sorted(path for path in (home / "n").rglob("*") if path.is_file()) == sorted(files)
    assert "not empty" in ck("init", expect=1).err


# Permissions.

def acting_as(role, repository, home):
    return Ckbackup(home, repository.objects.url, role.of(repository.objects.endpoint))


def test_a_key_that_only_pushes_is_fine(new_repository, checkpoint, tmp_path):
    repository = new_repository("seaweedfs")
    before = repository.objects.keys()
    pusher = acting_as(Role.PUSHER, repository, tmp_path / "pusher")
    document = examine(pusher)
    assert document["commands"] == {"push": "allowed", "restore": "allowed", "verify": "allowed", "prune": "refused"}
    assert repository.objects.keys() == before
    pusher.push(checkpoint, "--run", "demo")
    examine(pusher, "--for", "prune", expect=5)


def test_a_key_that_only_reads_is_found_out_and_stores_nothing(new_repository, tmp_path):
    repository = new_repository("seaweedfs")
    before = repository.objects.keys()
    reader = acting_as(Role.RESTORER, repository, tmp_path / "reader")
    document = examine(reader, expect=5)
    assert document["cause"] == "push" and "write" in step(document, "push")["sentence"]
    assert document["commands"] == {"push": "refused", "restore": "allowed", "verify": "allowed", "prune": "refused"}
    assert examine(reader, "--for", "restore", "--for", "verify")["verdict"].startswith("works")
    assert repository.objects.keys() == before


class WithoutDeletes(http.server.BaseHTTPRequestHandler):
    """Forwards everything to a server but deletions, which it refuses as a policy would."""

    protocol_version = "HTTP/1.1"

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "DELETE" or (self.command == "POST" and self.path.endswith("?delete=")):
            status, fields = 403, [("Content-Type", "application/xml")]
            data = b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
        else:
            upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            data, status = answer.read(), answer.status
            fields = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            if self.command == "HEAD":
                fields.append(("Content-Length", answer.getheader("Content-Length") or "0"))
            upstream.close()
        self.send_response_only(status)
        for name, value in fields:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

    def log_message(self, *_):
        pass


HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


def test_where_nothing_may_be_deleted_one_tiny_object_is_left_and_named(new_repository, tmp_path):
    repository = new_repository("seaweedfs")
    before = repository.objects.keys()
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), WithoutDeletes)
    proxy.upstream = repository.objects.endpoint.port
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        endpoint = dataclasses.replace(repository.objects.endpoint, port=proxy.server_address[1])
        ck = Ckbackup(tmp_path / "pusher", repository.objects.url, endpoint)
        for _ in range(2):
            document = examine(ck)
            assert document["permissions"]["delete"] == "refused" and document["commands"]["push"] == "allowed"
            assert document["commands"]["prune"] == "refused"
            assert document["left_behind"] == ["doctor/undeletable"]
        assert repository.objects.keys() == before | {"doctor/undeletable": 16}
        assert ck("doctor").out.splitlines()[-1].strip() == "doctor/undeletable"
    finally:
        proxy.shutdown()
        proxy.server_close()
    # Whoever may, takes it away.
    repository.objects.delete("doctor/undeletable")


def test_the_pruner_may_do_everything(new_repository, tmp_path):
    repository = new_repository("seaweedfs")
    pruner = acting_as(Role.PRUNER, repository, tmp_path / "pruner")
    assert set(examine(pruner, "--for", "prune")["commands"].values()) == {"allowed"}


# The way to the server.

def test_nothing_listens(seaweedfs, tmp_path):
    [port] = free_ports(1)
    document = examine(s3(tmp_path, dataclasses.replace(seaweedfs, port=port)), expect=1)
    assert document["cause"] == "connection" and str(port) in step(document, "connection")["sentence"]
    assert any(line.startswith("endpoint = ") for line in document["configuration"])


def test_a_host_without_an_address(tmp_path):
    document = examine(s3(tmp_path, Elsewhere("http://no-such-host.invalid:9000")), expect=1)
    assert document["cause"] == "name" and "no-such-host.invalid" in step(document, "name")["sentence"]


def test_addressing_that_the_server_does_not_know(seaweedfs, rclone, tmp_path):
    document = examine(s3(tmp_path, seaweedfs, addressing="virtual"), expect=1)
    assert document["configuration"] == ['addressing = "path"'] and document["cause"] == "name"
    local = Elsewhere(f"http://localhost:{rclone.port}", rclone.access_key, rclone.secret_key)
    document = examine(s3(tmp_path, local, addressing="virtual"), expect=1)
    assert document["configuration"] == ['addressing = "path"'] and document["cause"] == "addressing"
    # Everything else was tried with the one that works.
    assert document["commands"]["push"] == "allowed"
    local = Elsewhere(f"http://localhost:{seaweedfs.port}", seaweedfs.access_key, seaweedfs.secret_key)
    assert examine(s3(tmp_path, local, addressing="virtual"))["configuration"] == []


def test_a_region_that_is_not_the_buckets(seaweedfs, tmp_path):
    with FaultyProxy(seaweedfs.port, ("moved_region",), rate=1, most=1) as proxy:
        document = examine(s3(tmp_path, dataclasses.replace(seaweedfs, port=proxy.port)))
    assert step(document, "region")["mark"] == "warning"
    assert document["configuration"] == ['region = "eu-north-9"']


@pytest.mark.parametrize("server", ["seaweedfs", "rclone"])
@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_an_hour_off(request, server, seconds, tmp_path):
    ck = s3(tmp_path, request.getfixturevalue(server))
    ck.environment |= moved_clock(tmp_path, seconds)
    document = examine(ck)
    clock = step(document, "clock")
    assert clock["mark"] == "warning" and any(time in clock["sentence"] for time in ("1h 00m", "59m 5"))
    assert ("ahead" in clock["sentence"]) == (seconds > 0)


@pytest.mark.parametrize("server", ["seaweedfs", "rclone"])
def test_a_bucket_that_is_not_there_is_not_made(request, server, tmp_path):
    endpoint = request.getfixturevalue(server)
    document = examine(s3(tmp_path, endpoint, bucket="no-such-bucket"), expect=1)
    assert document["cause"] == "bucket" and "no-such-bucket" in step(document, "bucket")["sentence"]
    assert document["run"] and "s3://no-such-bucket" in document["run"][0]
    assert not endpoint.bucket_exists("no-such-bucket")


class Page(http.server.BaseHTTPRequestHandler):
    """A web server's page for everything."""

    def do_GET(self):
        body = b"<!DOCTYPE html><html><body>Welcome</body></html>"
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    """Starts web servers: `web(status=502, certificate=(file, key))` gives the port."""
    servers = []

    def start(status=200, certificate=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        server.status = status
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_web_server_that_is_no_s3(web, tmp_path, status):
    document = examine(s3(tmp_path, Elsewhere(f"http://127.0.0.1:{web(status)}")), expect=1)
    assert document["cause"] == "server" and "HTML" in step(document, "server")["sentence"]


def test_a_gateway_without_a_server_behind(web, tmp_path):
    document = examine(s3(tmp_path, Elsewhere(f"http://127.0.0.1:{web(502)}")), expect=1)
    assert document["cause"] == "server" and "502" in step(document, "server")["sentence"]


def certificate(directory, name, *extra):
    """A certificate that signed itself, for a name."""
    file, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", file, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", *extra],
                   check=True, capture_output=True)
    return file, key


def test_a_certificate_that_nobody_trusts(web, tmp_path):
    own = certificate(tmp_path, "localhost", "-days", "30")
    server = Elsewhere(f"https://localhost:{web(certificate=own)}")
    document = examine(s3(tmp_path, server), expect=1)
    assert document["cause"] == "certificate"
    assert "CN = localhost" in step(document, "certificate")["sentence"] and "itself" in step(document, "certificate")["sentence"]
    assert any(line.startswith("ca_file = ") for line in document["configuration"])
    # With it as the authority the way is free, up to a server that is no S3.
    document = examine(s3(tmp_path, server, ca_file=str(own[0])), expect=1)
    assert document["cause"] == "server" and step(document, "certificate")["mark"] == "ok"
    other = certificate(tmp_path, "elsewhere.example", "-days", "30")
    document = examine(s3(tmp_path, Elsewhere(f"https://localhost:{web(certificate=other)}"), ca_file=str(other[0])), expect=1)
    assert document["cause"] == "certificate" and "elsewhere.example" in step(document, "certificate")["sentence"]


def test_https_and_http_that_are_mixed_up(seaweedfs, web, tmp_path):
    document = examine(s3(tmp_path, Elsewhere(f"https://127.0.0.1:{seaweedfs.port}")), expect=1)
    assert document["cause"] == "certificate"
    assert document["configuration"] == [f'endpoint = "http://127.0.0.1:{seaweedfs.port}"']
    port = web(certificate=certificate(tmp_path, "localhost", "-days", "30"))
    document = examine(s3(tmp_path, Elsewhere(f"http://localhost:{port}")), expect=1)
    assert document["cause"] == "server"
    assert document["configuration"] == [f'endpoint = "https://localhost:{port}"']


@pytest.mark.parametrize("address", ["s3:/bucket/x", "ftp://host/x", ""])
def test_an_address_that_is_none_is_wrong_use(tmp_path, address):
    ck = Ckbackup(tmp_path / "home", "unused")
    ck("doctor", "--repo", address, expect=2, cwd=tmp_path)
    ck("doctor", "--for", "tea", expect=2, cwd=tmp_path)


# Directories.

def test_a_directory_that_is_not_there(tmp_path):
    document = examine(Ckbackup(tmp_path / "home", str(tmp_path / "none")), expect=1)
    assert document["cause"] == "directory" and "ckbackup init" in document["run"][0]
    assert not (tmp_path / "none").exists()


@pytest.fixture
def file_system(tmp_path):
    """A tmpfs with some options, unmounted afterwards."""
    path = tmp_path / "mounted"
    path.mkdir()

    def mount(options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        return path

    yield mount
    if os.path.ismount(path):
        subprocess.run(["umount", path], check=True)


def test_a_full_directory(file_system, tmp_path):
    path = file_system("size=1m")
    ck = Ckbackup(tmp_path / "home", str(path))
    ck("init")
    with open(path / "filler", "wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(4096))
    document = examine(ck, expect=1)
    assert document["cause"] == "permissions" and "full" in step(document, "permissions")["sentence"]


def test_a_directory_that_may_not_be_written(file_system, tmp_path):
    path = file_system("size=8m")
    ck = Ckbackup(tmp_path / "home", str(path))
    ck("init")
    subprocess.run(["mount", "-o", "remount,ro", path], check=True)
    document = examine(ck, expect=5)
    assert document["cause"] == "push"
    assert document["commands"]["restore"] == "allowed" and document["commands"]["push"] == "refused"


# What it leaves.

# Not rclone: one that is interrupted within a completion now and then lists an object that it does not have (1.75.2).
@pytest.mark.parametrize("kind", ["directory", "seaweedfs"])
def test_an_interrupted_doctor_leaves_nothing(new_repository, kind):
    repository = new_repository(kind)
    before = repository.objects.keys()
    for wait in (0.05, 0.2, 0.5, 1.0):
        process = repository.ck.start("doctor")
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        # The first may come before the program takes signals.
        assert process.wait(timeout=20) in (130, 0, -signal.SIGINT)
        assert repository.objects.keys() == before and not repository.objects.uploads()


def test_a_killed_doctor_s_objects_hurt_nobody_and_go_after_a_day(new_repository, checkpoint, tmp_path):
    repository = new_repository("directory")
    ck, root = repository.ck, repository.objects.root
    ck.push(checkpoint, "--run", "demo")
    old, young = root / "doctor/01AAAAAAAAAAAAAAAAAAAAAAAA/object", root / "doctor/01BBBBBBBBBBBBBBBBBBBBBBBB/object"
    for path in (old, young):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"left")
    os.utime(old, (time.time() - 2 * 86_400,) * 2)
    ck("verify", "--deep")
    ck("prune", "--keep-last", "1", "--yes")
    ck("list", "--pending")
    ck.restore("demo@latest", tmp_path / "out")
    assert_same(tmp_path / "out", checkpoint)
    document = examine(ck)
    assert "1 object" in step(document, "leftovers")["sentence"]
    assert not old.exists() and young.exists()


def test_what_a_doctor_left_does_not_keep_a_repository_from_being_made(new_repository):
    repository = new_repository("directory", init=False)
    left = repository.objects.root / "doctor/01BBBBBBBBBBBBBBBBBBBBBBBB/object"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"left")
    examine(repository.ck)
    repository.ck("init")
