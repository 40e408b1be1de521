"""A network that goes wrong loses nothing: each fault alone at a high rate, and all of them at once.

`make faulty-network SIZE=1024 RATE=5` runs the last two tests at that size, with a fault in 5 % of all requests.
"""

import contextlib
import os
import secrets
import shutil
import time

import pytest

from harness import faulty_proxy
from harness.cli import Ckbackup
from harness.clock import moved_clock
from harness.faulty_proxy import KINDS, FaultyProxy
from harness.s3 import Endpoint
from harness.servers import free_ports
from harness.stores import S3Objects
from harness.trees import assert_same, make_checkpoint

SIZE = int(os.environ.get("FAULTY_SIZE", 64))
RATE = float(os.environ.get("FAULTY_RATE", 5)) / 100
SEED = int(os.environ.get("FAULTY_SEED", secrets.randbelow(1_000_000)))
slow = pytest.mark.skipif("FAULTY_SIZE" not in os.environ, reason="it takes minutes: make faulty-network runs it")

# How often a fault comes that is alone, if not in 30 % of the requests that it may hit; a stall costs a minute.
RATES = {"corrupted_download": 0.6, "error_in_completion": 0.7, "stall": 1.0}
MOST = {"stall": 1}


class Network:
    """A repository on a real server, and the program that reaches it through a proxy only."""

    def __init__(self, home, server, proxy, **settings):
        self.proxy = proxy
        self.objects = S3Objects(server, "first-bucket", f"faulty/{secrets.token_hex(6)}")
        through = Endpoint(proxy.port, server.access_key, server.secret_key)
        self.ck = Ckbackup(home / "faulty", self.objects.url, through, **settings)
        self.direct = Ckbackup(home / "direct", self.objects.url, server, **settings)


@pytest.fixture
def network(tmp_path, seaweedfs, rclone):
    with contextlib.ExitStack() as running:
        def make(server="seaweedfs", settings=None, **faults):
            server = {"seaweedfs": seaweedfs, "rclone": rclone}[server]
            proxy = running.enter_context(FaultyProxy(server.port, seed=SEED, **faults))
            return Network(tmp_path, server, proxy, **({"pack_size": "16MiB"} | (settings or {})))
        yield make


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("faulty") / "checkpoint-1000", size=64)


def hold(network, checkpoint, tmp_path, timeout=600):
    """Pushes, verifies and restores through the faults, and looks at the result without them."""
    start = time.monotonic()
    try:
        network.ck("init", "--chunk-size", "1MiB" if SIZE < 256 else "16MiB", timeout=timeout)
        network.ck.push(checkpoint, "--run", "demo", timeout=timeout)
        pushed = time.monotonic()
        network.ck("verify", "--deep", timeout=timeout)
        restoring = time.monotonic()
        network.ck.restore("demo@1000", tmp_path / "restored", timeout=timeout)
        end = time.monotonic()
    finally:
        print(f"\nseed {SEED}: {network.proxy.report()}")
    assert_same(tmp_path / "restored", checkpoint)
    assert not network.proxy.accepted_damage, "the server took damaged uploads"
    network.direct("verify", "--deep", timeout=timeout)
    print(f"push {pushed - start:.1f} s, verify --deep {restoring - pushed:.1f} s, restore {end - restoring:.1f} s")


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=slow) if kind == "stall" else kind for kind in KINDS])
def test_a_fault_that_comes_often_loses_nothing(network, small, tmp_path, kind):
    net = network(kinds=[kind], rate=RATES.get(kind, 0.3), most=MOST.get(kind))
    hold(net, small, tmp_path)
    assert net.proxy.faults[kind] > 0


def test_a_server_that_is_careless_of_much_loses_nothing_either(network, small, tmp_path):
    net = network("rclone", kinds=KINDS.keys() - {"stall"}, rate=0.1)
    hold(net, small, tmp_path)


@pytest.mark.parametrize("seconds", [1200, -1200])
def test_a_clock_that_is_20_minutes_off_is_put_right_by_the_servers(network, small, tmp_path, seconds):
    net = network()
    net.ck.environment |= moved_clock(tmp_path, seconds)
    hold(net, small, tmp_path)
    assert net.proxy.answers[403] > 0, "its clock was right"


def with_session_token(net, token):
    """Credentials in a file, as programs that renew them leave them there; the server here is one that takes any token."""
    folder = net.ck.home / ".aws"
    folder.mkdir(exist_ok=True)
    new = folder / "new"
    new.write_text(f"[default]\naws_access_key_id={net.objects.endpoint.access_key}\n"
                   f"aws_secret_access_key={net.objects.endpoint.secret_key}\naws_session_token={token}\n")
    new.replace(folder / "credentials")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        net.ck.environment.pop(name, None)


def test_an_expired_session_is_told_from_any_other_refusal(network, small):
    net = network("rclone")
    with_session_token(net, "old")
    net.ck("init")
    net.proxy.expired_tokens.add("old")
    failed = net.ck("push", small, "--run", "demo", "--quiet", expect=5)
    assert "credentials (ExpiredToken)" in failed.err and "Get new session credentials" in failed.err
    assert len(failed.err.strip().splitlines()) == 1


def test_a_session_that_was_renewed_meanwhile_goes_on(network, small, tmp_path):
    net = network("rclone")
    with_session_token(net, "old")
    net.ck("init")
    before = net.proxy.requests

    def expire(request):
        if net.proxy.requests == before + 6:
            with_session_token(net, "new")
            net.proxy.expired_tokens.add("old")

    net.proxy.on_request = expire
    net.ck.push(small, "--run", "demo")
    assert net.proxy.expired_tokens
    net.ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", small)


def fails_within(seconds, ck, *arguments):
    """Runs a command that must fail in time with one sentence, and gives that."""
    start = time.monotonic()
    failed = ck(*arguments, "--quiet", expect=1, timeout=seconds + 60)
    took = time.monotonic() - start
    print(f"\n{took:.1f} s: {failed.err.strip()}")
    assert took < seconds
    assert len(failed.err.strip().splitlines()) == 1 and "cannot be reached" in failed.err
    return failed.err


def elsewhere(home, port):
    return Ckbackup(home, "s3://bucket/prefix", Endpoint(port, "key", "secret"))


def test_an_endpoint_that_refuses_connections_fails_at_once(tmp_path, small):
    [port] = free_ports(1)
    words = fails_within(10, elsewhere(tmp_path, port), "push", small, "--run", "demo")
    assert f"http://127.0.0.1:{port} cannot be reached" in words and "tried 3 times" in words


def test_an_endpoint_that_swallows_packets_fails_after_half_a_minute(tmp_path, small):
    with faulty_proxy.unconnectable_port() as port:
        words = fails_within(40, elsewhere(tmp_path, port), "push", small, "--run", "demo")
    assert "tried 3 times" in words


@slow
def test_an_endpoint_that_never_answers_fails_after_two_minutes(tmp_path, small):
    with faulty_proxy.silent_port() as port:
        words = fails_within(140, elsewhere(tmp_path, port), "push", small, "--run", "demo")
    assert "tried 2 times" in words


@slow
@pytest.mark.parametrize("way", ["die", "fall_silent"])
def test_a_server_that_dies_in_mid_push_fails_in_a_few_minutes(network, tmp_path, way):
    net = network()
    net.ck("init")
    large = make_checkpoint(tmp_path / "checkpoint-1000", size=256)
    limit = net.proxy.requests + 15

    def end(request):
        if net.proxy.requests == limit:
            getattr(net.proxy, way)()

    net.proxy.on_request = end
    words = fails_within({"die": 180, "fall_silent": 300}[way], net.ck, "push", large, "--run", "demo")
    assert "tried" in words
    assert not net.objects.snapshots()


def test_all_kinds_of_faults_at_once_lose_nothing(network, tmp_path):
    checkpoint = make_checkpoint(tmp_path / "checkpoint-1000", size=SIZE)
    net = network(kinds=KINDS, rate=RATE, settings={"pack_size": "128MiB" if SIZE >= 256 else "8MiB"})
    net.ck.environment |= moved_clock(tmp_path, 1200)
    start = time.monotonic()
    hold(net, checkpoint, tmp_path, timeout=3600)
    shutil.rmtree(checkpoint)
    print(f"{SIZE} MiB at {RATE:.0%}, a clock 20 minutes ahead, {time.monotonic() - start:.0f} s in all: nothing lost")
