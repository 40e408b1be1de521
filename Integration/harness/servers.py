"""S3 servers for the tests: real ones, on free ports of the loopback interface, with credentials enforced."""

import contextlib
import dataclasses
import enum
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness.s3 import Endpoint, S3Error

ROOT = Path(__file__).resolve().parents[2]


def program(name):
    """The path of a tool that was installed beside this Python, or else of one on PATH."""
    beside = Path(sys.executable).parent / name
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed: run scripts/setup.sh test")
    return path


class Role(enum.Enum):
    """Users of a SeaweedFS besides its administrator, each with a policy of docs/security.md, named by its heading there."""

    PUSHER = "Nodes that push"
    RESTORER = "Nodes that restore"
    PRUNER = "The pruner and verifier"

    def of(self, administrator):
        """The server as this user speaks to it."""
        return dataclasses.replace(administrator, access_key=self.name + administrator.access_key)

    def policy(self, bucket, prefix):
        section = (ROOT / "docs/security.md").read_text().partition(f"### {self.value}\n")[2]
        document = section.partition("```json\n")[2].partition("```")[0]
        # Every test has a prefix of its own below this one.
        keys = document.replace("PREFIX/*\"]}}", f"{prefix}/*\"]}}}}").replace("PREFIX", f"{prefix}/*")
        return keys.replace("BUCKET", bucket)


@contextlib.contextmanager
def seaweedfs(directory, options=(), **reached):
    """SeaweedFS in one process. Each of its HTTP ports has a gRPC port 10,000 above it. `reached` tells how its S3 port is, if not
    as usual."""
    master, volume, filer, s3 = free_ports(4, also=10_000)
    endpoint = new_endpoint(s3, **reached)
    data, config = directory / "data", directory / "s3.json"
    data.mkdir(parents=True)
    identities = [identity("tests", endpoint) | {"actions": ["Admin", "Read", "Write", "List", "Tagging"]}]
    identities += [identity(role.name, role.of(endpoint)) | {"policyNames": [role.name]} for role in Role]
    policies = [{"name": role.name, "content": role.policy("first-bucket", "team")} for role in Role]
    config.write_text(json.dumps({"identities": identities, "policies": policies}))
    command = [
        program("weed"), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={master}", "-master.telemetry=false", "-master.volumeSizeLimitMB=1024",
        "-master.electionTimeout=1s", f"-volume.port={volume}", "-volume.max=200", "-volume.minFreeSpacePercent=1",
        "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-s3.domainName=localhost", f"-s3.config={config}", *options,
    ]
    with running(command, endpoint, directory / "weed.log"):
        yield endpoint


def identity(name, endpoint):
    return {"name": name, "credentials": [{"accessKey": endpoint.access_key, "secretKey": endpoint.secret_key}]}


@contextlib.contextmanager
def rclone(directory):
    """`rclone serve s3`: a store that is careless of conditions and of multipart ETags."""
    [port] = free_ports(1)
    endpoint = new_endpoint(port)
    data = directory / "data"
    data.mkdir(parents=True)
    command = [
        program("rclone"), "serve", "s3", "--config", "/dev/null", "--addr", endpoint.host,
        "--auth-key", f"{endpoint.access_key},{endpoint.secret_key}", "--vfs-cache-mode", "off", str(data),
    ]
    with running(command, endpoint, directory / "rclone.log"):
        yield endpoint


def new_endpoint(port, **reached):
    return Endpoint(port, access_key=f"key{secrets.token_hex(6)}", secret_key=secrets.token_hex(16), **reached)


@contextlib.contextmanager
def running(command, endpoint, log_path, variables=None, limit=30):
    """Runs a server until the block is left; enters it when the server has stored an object."""
    with open(log_path, "wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env=os.environ | (variables or {}))
    try:
        wait_until_it_stores(server, endpoint, log_path, limit)
        yield
    finally:
        # SeaweedFS takes ten seconds and more to end on SIGTERM; its data is thrown away anyhow.
        server.send_signal(signal.SIGKILL)
        server.wait()


def wait_until_it_stores(server, endpoint, log_path, limit):
    deadline = time.monotonic() + limit
    while True:
        try:
            endpoint.request("PUT", "/first-bucket", timeout=limit)
            endpoint.request("PUT", "/first-bucket/first-object", body=b"hello", timeout=limit)
            return
        except (OSError, S3Error) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                tail = log_path.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{server.args[0]} did not start: {error}\n{tail}") from error
            time.sleep(0.1)


def free_ports(count, also=0):
    """So many ports of 127.0.0.1 that nobody listens on, each with the one `also` above it free too."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(1000):
            if len(ports) == count:
                return ports
            with contextlib.suppress(OSError):
                # Outside the kernel's range for outgoing connections, which could take a port before the server does.
                port = 10_000 + secrets.randbelow(12_000)
                for number in {port, port + also}:
                    listener = held.enter_context(socket.socket())
                    listener.bind(("127.0.0.1", number))
                ports.append(port)
    raise RuntimeError("no free ports on 127.0.0.1")
