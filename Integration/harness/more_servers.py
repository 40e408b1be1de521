"""The S3 servers beside SeaweedFS and rclone that ckbackup is held against, each of a kind of its own."""

import contextlib
import os
import subprocess
from pathlib import Path

from harness import servers
from harness.s3 import Endpoint
from harness.servers import free_ports, new_endpoint, program, running


class CannotStart(Exception):
    """Why a server does not run on this machine."""


@contextlib.contextmanager
def gateway(directory, port=None):
    """MinIO's S3 front end, as JuiceFS has it, over a directory and SQLite. It is not today's MinIO: no conditions, no CRC-64."""
    directory.mkdir(parents=True, exist_ok=True)
    free, metrics = free_ports(2)
    endpoint = new_endpoint(port or free)
    database = f"sqlite3://{directory}/meta.db"
    subprocess.run([program("juicefs"), "format", "--storage", "file", "--bucket", f"{directory}/data/", "--trash-days", "0",
                    "--no-update", database, "tests"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command = [
        program("juicefs"), "gateway", "--multi-buckets", "--keep-etag", "--object-tag", "--object-meta",
        "--domain", "localhost", "--no-banner", "--no-usage-report", "--log", f"{directory}/gateway.log",
        "--cache-dir", f"{directory}/cache", "--metrics", f"127.0.0.1:{metrics}", database, endpoint.host,
    ]
    keys = {"MINIO_ROOT_USER": endpoint.access_key, "MINIO_ROOT_PASSWORD": endpoint.secret_key}
    with running(command, endpoint, directory / "juicefs.log", keys):
        yield endpoint


@contextlib.contextmanager
def localbucket(directory):
    """A store without credentials, digests, lists of uploads and deletions of many keys, that keeps uploads which broke off."""
    [port] = free_ports(1)
    endpoint = new_endpoint(port)
    data = directory / "data"
    data.mkdir(parents=True)
    command = [program("localbucket"), "--port", str(port), str(data)]
    with running(command, endpoint, directory / "localbucket.log"):
        yield endpoint


@contextlib.contextmanager
def moto(directory):
    """AWS's rules for conditions and parts, without credentials and digests."""
    directory.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    endpoint = new_endpoint(port)
    command = [program("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, endpoint, directory / "moto.log"):
        yield endpoint


@contextlib.contextmanager
def ministack(directory):
    """AWS's rules for conditions, parts and digests, without credentials. It may listen on all interfaces, so it runs only
    where there is none but loopback."""
    others = [line.split(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]]
    if others != ["lo"]:
        raise CannotStart("it may listen on all interfaces: run it by make test-stores, where there is none but loopback")
    directory.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    endpoint = new_endpoint(port)
    variables = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "HOME": str(directory), "SERVICES": "s3"}
    with running([program("ministack")], endpoint, directory / "ministack.log", variables):
        yield endpoint


@contextlib.contextmanager
def seaweedfs_tls(directory):
    """SeaweedFS behind TLS, with a certificate of an authority that no system knows."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key, authority = make_certificate(directory, "localhost")
    options = [f"-s3.cert.file={certificate}", f"-s3.key.file={key}"]
    with servers.seaweedfs(directory, options, name="localhost", ca_file=authority) as endpoint:
        yield endpoint


def make_certificate(directory, *names):
    """A certificate for these names, its key, and that of the authority that signed it, made for this run."""
    authority, key, certificate = directory / "ca.pem", directory / "key.pem", directory / "certificate.pem"
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    usage = ["-addext", f"subjectAltName={','.join(f'DNS:{name}' for name in names)}",
             "-addext", "basicConstraints=critical,CA:FALSE"]
    for arguments in (["-subj", "/CN=tests' authority", "-keyout", directory / "ca.key", "-out", authority],
                      ["-subj", f"/CN={names[0]}", "-keyout", key, "-out", certificate, *usage,
                       "-CA", authority, "-CAkey", directory / "ca.key"]):
        subprocess.run([*openssl, *arguments], check=True, stderr=subprocess.DEVNULL)
    return str(certificate), str(key), str(authority)


CEPH = """
[global]
fsid = {fsid}
keyring = {root}/keyring
mon host = v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
osd pool default pg num = 4
osd pool default pgp num = 4
mon max pg per osd = 2000
osd pool default pg autoscale mode = off
run dir = {root}/run
admin socket = {root}/run/$name.$pid.asok
log file = {root}/log/$name.log
mon data avail crit = 1
[mon.a]
mon data = {root}/mon
[osd.0]
osd data = {root}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{rgw}
rgw dns name = localhost
rgw data = {root}/rgw
"""
CEPH_KEYS = {
    "mon.": ["--cap", "mon", "allow *"],
    "client.admin": ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"],
    "client.rgw": ["--cap", "mon", "allow *", "--cap", "osd", "allow *"],
    "osd.0": ["--cap", "mon", "allow profile osd", "--cap", "osd", "allow *"],
}


@contextlib.contextmanager
def ceph(directory):
    """Ceph's RADOS gateway over one monitor and one storage daemon that keeps all in memory."""
    root = directory.resolve()
    for name in ("run", "log", "mon", "osd", "rgw"):
        (root / name).mkdir(parents=True)
    v1, v2, rgw = free_ports(3)
    endpoint = new_endpoint(rgw)
    identity = Path("/proc/sys/kernel/random/uuid").read_text().strip()
    configuration, keyring, map_file = f"{root}/ceph.conf", f"{root}/keyring", f"{root}/monmap"
    Path(configuration).write_text(CEPH.format(root=root, fsid=identity, v1=v1, v2=v2, rgw=rgw))
    environment = os.environ | {"CEPH_ARGS": f"-c {configuration} -k {keyring}"}

    def run(name, *arguments, check=True):
        with open(root / "log/commands.log", "ab") as log:
            subprocess.run([ceph_program(name), *arguments], check=check, env=environment, stdout=log, stderr=log, timeout=60)

    for name, capabilities in CEPH_KEYS.items():
        create = [] if Path(keyring).exists() else ["--create-keyring"]
        run("ceph-authtool", *create, keyring, "--gen-key", "-n", name, *capabilities)
    run("monmaptool", "--create", "--fsid", identity, "--addv", "a", f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]",
        "--enable-all-features", map_file)
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", map_file)
    with contextlib.ExitStack() as stack:
        stack.enter_context(daemon([ceph_program("ceph-mon"), "-f", "-i", "a"], environment, root / "log/mon.out"))
        run("ceph", "-n", "client.admin", "auth", "import", "-i", keyring, check=False)
        run("ceph", "-n", "client.admin", "osd", "new", identity)
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)
        stack.enter_context(daemon([ceph_program("ceph-osd"), "-f", "-i", "0"], environment, root / "log/osd.out"))
        run("radosgw-admin", "-n", "client.admin", "user", "create", "--uid=tests", "--display-name=tests",
            f"--access-key={endpoint.access_key}", f"--secret-key={endpoint.secret_key}")
        gateway_command = [ceph_program("radosgw"), "-f", "-n", "client.rgw"]
        with running(gateway_command, endpoint, root / "log/rgw.out", environment, limit=60):
            yield endpoint


def ceph_program(name):
    try:
        return program(name)
    except FileNotFoundError:
        raise CannotStart(f"{name} is not installed: Debian's packages radosgw, ceph-mon, ceph-osd and ceph-common") from None


@contextlib.contextmanager
def daemon(command, environment, log_path):
    with open(log_path, "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def as_virtual(endpoint):
    """The same server, with the bucket in the host's name."""
    return Endpoint(endpoint.port, endpoint.access_key, endpoint.secret_key, endpoint.region, "localhost", True)
