import os
import shutil
import subprocess
import sys
import uuid

import pytest

from harness import more_servers, servers
from harness.cli import BINARY, Ckbackup
from harness.oss_standin import oss as oss_standin
from harness.stores import DirectoryObjects, S3Objects
from harness.trees import make_checkpoint


class Repository:
    """A fresh repository in one store: its objects, and the program that is told of it."""

    def __init__(self, home, objects, endpoint=None, **settings):
        self.objects = objects
        self.ck = Ckbackup(home, objects.url, endpoint, **settings)


@pytest.fixture(scope="session", autouse=True)
def binary():
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"{BINARY} is not there: run make build, or set CKBACKUP_BIN", returncode=2)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory):
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def rclone(tmp_path_factory):
    with servers.rclone(tmp_path_factory.mktemp("rclone")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    with more_servers.gateway(tmp_path_factory.mktemp("gateway")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def localbucket(tmp_path_factory):
    with more_servers.localbucket(tmp_path_factory.mktemp("localbucket")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def oss_and_server():
    with oss_standin() as both:
        yield both


@pytest.fixture(scope="session")
def oss(oss_and_server):
    return oss_and_server[0]


@pytest.fixture(scope="session")
def oss_server(oss_and_server):
    """The stand-in itself: what it refused, and buckets that it says are elsewhere."""
    return oss_and_server[1]


@pytest.fixture
def new_repository(tmp_path_factory, request):
    """Makes repositories: `new_repository("seaweedfs", pack_size="16MiB")`, ready unless `init` is false."""

    homes = []

    def make(kind, init=True, **settings):
        home = tmp_path_factory.mktemp("home")
        homes.append(home)
        if kind == "directory":
            repository = Repository(home, DirectoryObjects(home / "repository"), **settings)
        else:
            endpoint = request.getfixturevalue(kind)
            # One bucket for all: SeaweedFS sets aside volumes for each.
            prefix = f"team/{uuid.uuid4().hex[:12]}"
            repository = Repository(home, S3Objects(endpoint, "first-bucket", prefix), endpoint, **settings)
        if init:
            repository.ck("init")
        return repository

    yield make
    for home in homes:
        shutil.rmtree(home)


@pytest.fixture(params=["directory", "seaweedfs"])
def store(request):
    """The kinds of store that a rule is held against."""
    return request.param


@pytest.fixture
def repository(new_repository, store):
    return new_repository(store)


@pytest.fixture
def directory_repository(new_repository):
    return new_repository("directory")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A small checkpoint that no test may change."""
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "checkpoint-1000", size=4)


class SmallDisk:
    """A tmpfs."""

    def __init__(self, path):
        self.path = path

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """Makes file systems: `small_disk(size="8m")`, with the options of a tmpfs."""
    path = tmp_path / "small"

    def make(**options):
        path.mkdir()
        words = ",".join(f"{name}={value}" for name, value in options.items())
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", words, "tmpfs", path], capture_output=True, text=True)
        if mount.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {mount.stderr.strip()}")
        return SmallDisk(path)

    yield make
    if os.path.ismount(path):
        subprocess.run(["umount", path], check=True)


def pytest_report_header():
    return [f"ckbackup: {BINARY}", f"python: {sys.executable}"]
