"""Credentials from where people keep them: programs, metadata services, containers; and proxies on the way."""

import contextlib
import dataclasses
import socket
import time

import pytest

from harness import credentials
from harness.cli import Ckbackup
from harness.faulty_proxy import FaultyProxy
from harness.s3 import Endpoint
from harness.trees import assert_same, make_checkpoint


@pytest.fixture
def anonymous(new_repository):
    """Makes repositories on a real server whose program is told of no credentials."""

    def make(kind="seaweedfs"):
        repository = new_repository(kind)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            repository.ck.environment.pop(name)
        return repository

    return make


def write_config(ck, text):
    folder = ck.home / ".aws"
    folder.mkdir(exist_ok=True)
    (folder / "config").write_text(text)


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def assert_pushes(repository, checkpoint, tmp_path):
    repository.ck.push(checkpoint, "--run", "demo")
    repository.ck.restore("demo@1000", tmp_path / "restored")
    assert_same(tmp_path / "restored", checkpoint)


def assert_refused(repository, checkpoint, *words):
    """A push ends with exit code 5 and one sentence or two on one line, which has these words and no secret."""
    secret = repository.objects.endpoint.secret_key
    failed = repository.ck("push", checkpoint, "--run", "demo", "--quiet", expect=5)
    assert len(failed.err.strip().splitlines()) == 1, failed.err
    for word in words:
        assert word in failed.err, failed.err
    assert secret not in failed.err + failed.out


def test_no_credentials_say_where_was_looked(anonymous, checkpoint):
    assert_refused(anonymous(), checkpoint, "no credentials were found", "AWS_ACCESS_KEY_ID", ".aws/config",
                   "docs/credentials.md")


def test_a_program_gives_credentials(anonymous, checkpoint, tmp_path):
    repository = anonymous()
    helper = tmp_path / "my helper.sh"
    helper.write_text(f"#!/bin/sh\necho {repository.objects.endpoint.secret_key} >&2\n[ \"$1\" = 'a b' ] || exit 1\n"
                      f"echo '{credentials.keys(repository.objects.endpoint, Version=1)}'\n")
    helper.chmod(0o755)
    write_config(repository.ck, f"[default]\nregion = us-east-1\ncredential_process = \"{helper}\" \"a b\"\n")
    assert_pushes(repository, checkpoint, tmp_path)
    write_config(repository.ck, f"[default]\ncredential_process = \"{helper}\" c\n")
    assert_refused(repository, checkpoint, "credential_process of the profile [default]", "my helper.sh")


def test_a_profile_tells_the_endpoint(anonymous, checkpoint, tmp_path):
    repository = anonymous()
    endpoint = repository.objects.endpoint
    repository.ck.config.write_text(f'repository = "{repository.objects.url}"\n')
    write_config(repository.ck, f"[profile team]\nendpoint_url = {endpoint.url}\nregion = {endpoint.region}\n"
                                f"aws_access_key_id = {endpoint.access_key}\naws_secret_access_key = {endpoint.secret_key}\n")
    repository.ck.environment["AWS_PROFILE"] = "team"
    assert_pushes(repository, checkpoint, tmp_path)
    repository.ck.environment["AWS_PROFILE"] = "none"
    assert_refused(repository, checkpoint, "the profile [none]")


def test_an_instance_gives_credentials_in_a_session(anonymous, checkpoint, tmp_path):
    repository = anonymous()

    def answer(request):
        if request.command == "PUT":
            return 200, "s3ss10n"
        if request.headers["x-aws-ec2-metadata-token"] != "s3ss10n":
            return 401, ""
        if request.path.endswith("/"):
            return 200, "backup"
        return 200, credentials.keys(repository.objects.endpoint, Code="Success")

    with credentials.service(answer) as instance:
        repository.ck.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = instance.url
        assert_pushes(repository, checkpoint, tmp_path)
        path = "/latest/meta-data/iam/security-credentials/"
        assert instance.requests == ["PUT /latest/api/token", f"GET {path}", f"GET {path}backup"] * 2


def test_a_metadata_service_that_swallows_packets_is_given_up_after_a_second(anonymous, checkpoint):
    repository = anonymous()
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # A queue that is full answers nobody.
        for _ in range(8):
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        address = "http://{}:{}".format(*listener.getsockname())
        repository.ck.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = address
        start = time.monotonic()
        assert_refused(repository, checkpoint, "the EC2 metadata service (", "after 1")
        assert time.monotonic() - start < 5


def test_credentials_of_a_container_are_renewed_in_the_middle_of_a_push(anonymous, tmp_path, rclone):
    """The server refuses the first ones after a few requests; the agent has new ones by then, and keeps the push going."""
    repository = anonymous("rclone")
    checkpoint = make_checkpoint(tmp_path / "checkpoint-1000", size=64)
    with FaultyProxy(rclone.port) as proxy:
        through = dataclasses.replace(rclone, port=proxy.port)
        ck = Ckbackup(tmp_path / "home", repository.objects.url, through, pack_size="16MiB")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            ck.environment.pop(name)
        token = "first"

        def expire(_):
            nonlocal token
            if proxy.requests == 6:
                token = "second"
                proxy.expired_tokens.add("first")

        def answer(request):
            if request.headers["authorization"] != "pod's token":
                return 403, ""
            return 200, credentials.keys(rclone, token=token)

        proxy.on_request = expire
        (tmp_path / "token").write_text("pod's token\n")
        with credentials.service(answer) as agent:
            ck.environment |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{agent.url}/v1/credentials",
                               "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token")}
            ck.push(checkpoint, "--run", "demo")
            assert agent.requests == ["GET /v1/credentials"] * 2
        assert proxy.expired_tokens and proxy.requests > 6
    repository.ck.environment |= {"AWS_ACCESS_KEY_ID": rclone.access_key, "AWS_SECRET_ACCESS_KEY": rclone.secret_key}
    repository.ck("verify", "--deep")


def test_credentials_that_end_soon_are_renewed_before_the_server_refuses_them(anonymous, tmp_path, rclone):
    """Each lives for four seconds, and the proxy holds requests up so that a push takes longer."""
    repository = anonymous("rclone")
    checkpoint = make_checkpoint(tmp_path / "checkpoint-1000", size=64)
    count = 0

    def answer(_):
        nonlocal count
        count += 1
        return 200, credentials.keys(rclone, seconds=4, token=f"token-{count}")

    seen = set()
    with FaultyProxy(rclone.port, kinds=["pause"], rate=1.0, most=5) as proxy:
        through = Endpoint(proxy.port, rclone.access_key, rclone.secret_key)
        ck = Ckbackup(tmp_path / "home", repository.objects.url, through, pack_size="16MiB", connections=1)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            ck.environment.pop(name)
        proxy.on_request = lambda request: seen.add(request["x-amz-security-token"])
        with credentials.service(answer) as agent:
            ck.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = agent.url
            ck.push(checkpoint, "--run", "demo")
    assert len(seen) >= 3, seen
    assert not proxy.answers[403], proxy.answers


def test_an_agent_that_sends_elsewhere_gets_nothing(anonymous, checkpoint):
    repository = anonymous()
    with credentials.service(lambda _: (200, "")) as thief:
        with credentials.service(lambda _: (307, "")) as agent:
            repository.ck.environment |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.url,
                                          "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t0k3n"}
            assert_refused(repository, checkpoint, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "redirect")
            repository.ck.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://agent.example/x"
            assert_refused(repository, checkpoint, "none that credentials are taken from")
        assert not thief.requests


def test_a_server_behind_tls_is_asked_through_its_proxy(anonymous):
    repository = anonymous()
    endpoint = repository.objects.endpoint
    repository.ck.environment |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    with credentials.service(lambda _: (403, "")) as proxy:
        repository.ck.environment["HTTPS_PROXY"] = proxy.url
        process = repository.ck.start("list", "--endpoint", f"https://{endpoint.host}")
        try:
            wait_for(lambda: proxy.requests)
        finally:
            process.kill()
            process.wait()
        assert proxy.requests[0] == f"CONNECT {endpoint.host}"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxies_are_used_and_left_out_as_the_environment_says(anonymous, checkpoint, tmp_path, variable):
    repository = anonymous()
    endpoint = repository.objects.endpoint
    with credentials.service(lambda _: (502, "")) as proxy, \
            credentials.service(lambda _: (200, credentials.keys(endpoint))) as agent:
        repository.ck.environment |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.url, variable: proxy.url}
        process = repository.ck.start("list")
        try:
            wait_for(lambda: proxy.requests)
        finally:
            process.kill()
            process.wait()
        # The server is asked through the proxy, the agent never.
        assert all(endpoint.host in request for request in proxy.requests), proxy.requests
        assert agent.requests
        proxy.requests.clear()
        repository.ck.environment["NO_PROXY"] = "example.com,127.0.0.1"
        assert_pushes(repository, checkpoint, tmp_path)
        assert not proxy.requests
